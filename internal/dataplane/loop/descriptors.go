// Package loop is what the event loops of all data paths share. It knows no load balancer and no protocol.
//
// So far it holds the budget of file descriptors: [Descriptors] is what the data plane may have of them, an [Account] what one
// load balancer holds.
package loop

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// othersReserve descriptors of the process are left to databases and whatever else is not the data plane; one in apiShare, maxAPI
	// at most, to clients of the APIs (rest); and one in checkShare, maxChecks at most, to health checks (probe).
	othersReserve = 1000
	checkShare    = 16
	maxChecks     = 8192
	apiShare      = 16
	maxAPI        = 8192
	// reserveShare is the part of the limit, one in so many, that new connections of an account above its share leave free.
	// Half of that stays free for accounts below their share alone.
	reserveShare = 16
	// lowLimit is the limit of open files below which the start warns: it is some 1,500 connections.
	lowLimit = 4096
	// After EMFILE the budget drops by retreat below what is used, and grows back by regrowth per second.
	retreat  = 32
	regrowth = 20
	// exhaustionLogInterval is the shortest time between two log lines about missing descriptors.
	exhaustionLogInterval = time.Minute
	// raiseLimit says what an operator can do.
	raiseLimit = "raise the limit of open files (LimitNOFILE= in a systemd unit, ulimit -n in a shell)"
)

// Sentence is why a socket could not be made, as people say it: the kernel's words without our layers' prefixes, and what an
// operator can do.
func Sentence(err error) string {
	var errno syscall.Errno
	switch {
	case !errors.As(err, &errno):
		return err.Error()
	case errno == syscall.EMFILE || errno == syscall.ENFILE:
		return errno.Error() + ": " + raiseLimit
	}
	return errno.Error()
}

// Descriptors is how many file descriptors the data plane may have, and who holds them. It is safe for concurrent use; taking
// and giving back costs a few atomic operations.
//
// Every load balancer has an [Account]. Its fair share is the limit divided by the accounts that hold descriptors, and one more
// who may come. While there are enough, an account may hold more than its share. Once they run short, accounts above their share
// get no more, and those below take from the reserve; a [Collection] then fills the reserve up again, by having connections
// closed of those who are above.
type Descriptors struct {
	limit   int64
	reserve int64
	log     *slog.Logger

	used   atomic.Int64
	held   atomic.Int64 // of them, what nobody can be asked to give back: listening sockets
	active atomic.Int64 // accounts that hold some

	lowered   atomic.Int64 // the limit at loweredAt, Unix time in ns; it grows from there
	loweredAt atomic.Int64 // 0: never
	nextLine  atomic.Int64 // Unix time in s from which the next log line may be written

	collections
}

// NewDescriptors makes a budget of limit descriptors.
func NewDescriptors(limit int64, log *slog.Logger) *Descriptors {
	return &Descriptors{limit: limit, reserve: limit / reserveShare, log: log}
}

// OfProcess makes the budget of a process by its limit of open files (RLIMIT_NOFILE), and warns where that is low.
func OfProcess(log *slog.Logger) (*Descriptors, error) {
	limit, err := openFiles()
	if err != nil {
		return nil, err
	}
	available := max(limit-othersReserve-min(limit/apiShare, maxAPI)-min(limit/checkShare, maxChecks), limit/2)
	if limit < lowLimit {
		log.Warn("the limit of open files is low", "limit", limit, "for_traffic", available, "hint", raiseLimit)
	}
	return NewDescriptors(available, log), nil
}

// ChecksOfProcess is how many health checks may be under way at once, each with a descriptor of its own.
func ChecksOfProcess() (int, error) {
	limit, err := openFiles()
	return int(min(limit/checkShare, maxChecks)), err
}

// openFiles is the process's limit of open files.
func openFiles() (int64, error) {
	var rlimit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &rlimit); err != nil {
		return 0, fmt.Errorf("limit of open files: %w", err)
	}
	return int64(min(rlimit.Cur, 1<<30)), nil
}

// Limit is how many descriptors there are at most.
func (d *Descriptors) Limit() int64 { return d.limit }

// Used is how many are in use.
func (d *Descriptors) Used() int64 { return d.used.Load() }

// NewAccount opens the account of a load balancer.
func (d *Descriptors) NewAccount() *Account { return &Account{descriptors: d} }

// Hold counts n descriptors of listening sockets, which are there already; Release gives them back. Shares are of the rest.
func (d *Descriptors) Hold(n int64) {
	d.used.Add(n)
	d.held.Add(n)
}

// Release gives back what was held.
func (d *Descriptors) Release(n int64) { d.Hold(-n) }

// Take reserves n descriptors for what can be given up at any time, such as connections to members that wait for a request; all
// or none. It leaves the reserve alone.
func (d *Descriptors) Take(n int64) bool {
	d.used.Add(n)
	if d.free() >= d.reserve {
		return true
	}
	d.Give(n)
	return false
}

// Give gives back what was taken.
func (d *Descriptors) Give(n int64) { d.used.Add(-n) }

func (d *Descriptors) free() int64 { return d.limitNow() - d.used.Load() }

func (d *Descriptors) limitNow() int64 {
	at := d.loweredAt.Load()
	if at == 0 {
		return d.limit
	}
	return min(d.limit, d.lowered.Load()+(time.Now().UnixNano()-at)*regrowth/int64(time.Second))
}

// share is what each account may hold in any case.
func (d *Descriptors) share() int64 { return (d.limitNow() - d.held.Load()) / (d.active.Load() + 1) }

// Lower has the budget follow the kernel, which has refused a descriptor: others in the process have more than was left
// to them. Without it every waiting client would be accepted, and turned away for want of a socket to the member.
func (d *Descriptors) Lower() {
	d.lowered.Store(max(d.used.Load()-retreat, 0))
	d.loweredAt.Store(time.Now().UnixNano())
}

// Exhausted tells the operator, once in a while.
func (d *Descriptors) Exhausted(cause error) {
	now, next := time.Now().Unix(), d.nextLine.Load()
	if now < next || !d.nextLine.CompareAndSwap(next, now+int64(exhaustionLogInterval/time.Second)) {
		return
	}
	d.log.Warn("out of file descriptors, new connections wait", "used", d.used.Load(), "limit", d.limit, "cause", cause, "hint", raiseLimit)
}

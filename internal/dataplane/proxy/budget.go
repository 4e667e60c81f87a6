package proxy

import (
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	// exhaustionLogInterval is the shortest time between two log lines about missing descriptors.
	exhaustionLogInterval = time.Minute
	// After the kernel has refused a descriptor, as many as retreat fewer are used, and regrowth more each second.
	retreat  = 32
	regrowth = 20
)

// lentShare of the limit, at most, stays free for those who have lent a descriptor: a sixteenth of all want theirs back at once.
const lentShare = 16

// budget counts the file descriptors that listening sockets, connections and pipes hold, and refuses more than there may be: a process
// without a free descriptor could not even open its own files.
type budget struct {
	limit    int64
	used     atomic.Int64
	log      *slog.Logger
	nextLine atomic.Int64 // Unix time, seconds, from which the next log line may be written

	lent atomic.Int64 // descriptors that clients have given back until their next request

	lowered   atomic.Int64 // the limit at loweredAt, Unix time in ns; it grows from there
	loweredAt atomic.Int64 // 0: never
}

func newBudget(limit int64, log *slog.Logger) *budget { return &budget{limit: limit, log: log} }

// take reserves n descriptors, all or none.
func (b *budget) take(n int64) bool {
	if b.used.Add(n) > b.limitNow() {
		b.used.Add(-n)
		return false
	}
	return true
}

// takeNew is take for who comes new: it leaves some for those who have lent theirs and may want them back.
func (b *budget) takeNew(n int64) bool {
	kept := min(b.lent.Load(), b.limit/lentShare)
	if !b.take(n + kept) {
		return false
	}
	b.give(kept)
	return true
}

// lend gives a descriptor back until it is needed again; reclaim takes it back, false: there is none.
func (b *budget) lend() {
	b.lent.Add(1)
	b.give(1)
}

func (b *budget) reclaim() bool {
	if !b.take(1) {
		return false
	}
	b.lent.Add(-1)
	return true
}

func (b *budget) limitNow() int64 {
	at := b.loweredAt.Load()
	if at == 0 {
		return b.limit
	}
	return min(b.limit, b.lowered.Load()+(time.Now().UnixNano()-at)*regrowth/int64(time.Second))
}

// lower has the budget follow the kernel, which has refused a descriptor: others in the process have more than was left
// to them. Without it every waiting client would be accepted, and turned away for want of a socket to the member.
func (b *budget) lower() {
	b.lowered.Store(max(b.used.Load()-retreat, 0))
	b.loweredAt.Store(time.Now().UnixNano())
}

// reserve counts n descriptors that are there already.
func (b *budget) reserve(n int64) { b.used.Add(n) }

func (b *budget) give(n int64) { b.used.Add(-n) }

// exhausted tells the operator, once in a while.
func (b *budget) exhausted(cause error) {
	now, next := time.Now().Unix(), b.nextLine.Load()
	if now < next || !b.nextLine.CompareAndSwap(next, now+int64(exhaustionLogInterval/time.Second)) {
		return
	}
	b.log.Warn("out of file descriptors, new connections wait", "used", b.used.Load(), "limit", b.limit, "cause", cause)
}

package probe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
)

// check makes one check of a member in a way, and returns nil when the member is healthy. It ends with its context, whose
// deadline is the monitor's timeout. An error that is made for people is a failure or unable; of others explain makes one.
type check func(ctx context.Context, network dataplane.Net, w *way, at netip.AddrPort) error

// checks holds the check of each monitor type. A new type is one line here and one function; members of a pool with
// a type that is not here are not checked.
var checks = map[dataplane.MonitorType]check{
	dataplane.MonitorTCP:        locating(checkTCP),
	dataplane.MonitorHTTP:       locating(checkHTTP),
	dataplane.MonitorHTTPS:      locating(checkHTTPS),
	dataplane.MonitorTLSHello:   locating(checkTLSHello),
	dataplane.MonitorPing:       locating(checkPing),
	dataplane.MonitorUDPConnect: locating(checkUDPConnect),
}

// locating is a check that says of silence where it begins: at the member's address, or at the gateway on the way there.
func locating(c check) check {
	return func(ctx context.Context, network dataplane.Net, w *way, at netip.AddrPort) error {
		err := c(ctx, network, w, at)
		if !isTimeout(err) && !errors.Is(err, unix.EHOSTUNREACH) {
			return err
		}
		hop, absent, hopErr := neighbourOf(network, at.Addr())
		if hopErr != nil || !absent {
			return err
		}
		return errAbsent(hop, at.Addr(), w.subject(at))
	}
}

// errAbsent says that the neighbour that packets to the address go to does not answer for itself.
func errAbsent(hop, to netip.Addr, subject string) error {
	if hop == to.Unmap() {
		return failure("nobody has the address " + hop.String())
	}
	return failure(fmt.Sprintf("no route to %s: the gateway %s does not answer", subject, hop))
}

// failure is a sentence for people about what a check has seen.
type failure string

func (f failure) Error() string { return string(f) }

// unable is a sentence for people about why a check cannot be made. It says nothing about the member, whose state stays.
type unable string

func (u unable) Error() string { return string(u) }

// isShortage says whether a check could not be made just now; a later one will be.
func isShortage(err error) bool {
	for _, lack := range []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EADDRNOTAVAIL} {
		if errors.Is(err, lack) {
			return true
		}
	}
	return false
}

// explain makes a sentence for people out of a check's error.
func explain(err error, subject string, timeout time.Duration) string {
	var made failure
	var unmade unable
	var errno syscall.Errno
	switch {
	case errors.As(err, &made):
		return string(made)
	case errors.As(err, &unmade):
		return string(unmade)
	case isTimeout(err):
		return fmt.Sprintf("no answer from %s within %s", subject, timeout)
	case errors.Is(err, unix.ECONNREFUSED):
		return fmt.Sprintf("connection refused by %s", subject)
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH):
		return fmt.Sprintf("no route to %s", subject)
	case errors.As(err, &errno):
		return fmt.Sprintf("cannot reach %s: %s", subject, errno)
	}
	return fmt.Sprintf("cannot reach %s: %s", subject, err)
}

func isTimeout(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, unix.ETIMEDOUT)
}

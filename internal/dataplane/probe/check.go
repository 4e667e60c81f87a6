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

// check makes one check of a member and returns nil when the member is healthy. It ends with its context, whose
// deadline is the monitor's timeout. An error that is made for people is of type failure; of others explain makes one.
type check func(ctx context.Context, network dataplane.Net, at netip.AddrPort) error

// checks holds the check of each monitor type. A new type is one line here and one function; members of a pool with
// a type that is not here are not checked.
var checks = map[dataplane.MonitorType]check{
	dataplane.MonitorTCP: checkTCP,
}

// failure is a sentence for people about what a check has seen.
type failure string

func (f failure) Error() string { return string(f) }

// checkTCP succeeds when a connection can be opened. It ends the connection with a reset: the member is not troubled by
// a client with nothing to say, and no socket stays behind.
func checkTCP(ctx context.Context, network dataplane.Net, at netip.AddrPort) error {
	file, err := connect(ctx, network, at)
	if err != nil {
		return err
	}
	return file.Close()
}

// connect opens a TCP connection; closing it resets it. The caller closes it.
func connect(ctx context.Context, network dataplane.Net, at netip.AddrPort) (*os.File, error) {
	family, address := sockaddr(at)
	fd, err := network.Socket(family, unix.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}),
		unix.Connect(fd, address))
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		_ = unix.Close(fd)
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "check of "+at.String())
	if err := await(ctx, file); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// await waits for a connect under way, as long as ctx allows.
func await(ctx context.Context, file *os.File) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return fmt.Errorf("connection's descriptor: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = file.SetWriteDeadline(time.Unix(1, 0)) })()
	var connectErr error
	err = raw.Write(func(fd uintptr) bool {
		connectErr = connectResult(int(fd))
		return !errors.Is(connectErr, unix.EINPROGRESS)
	})
	if err != nil {
		return err
	}
	return connectErr
}

// connectResult is EINPROGRESS until the kernel knows.
func connectResult(fd int) error {
	value, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if value != 0 {
		return syscall.Errno(value)
	}
	if _, err := unix.Getpeername(fd); errors.Is(err, unix.ENOTCONN) {
		return unix.EINPROGRESS
	}
	return nil
}

func sockaddr(at netip.AddrPort) (family int, address unix.Sockaddr) {
	ip := at.Addr().Unmap()
	if ip.Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(at.Port()), Addr: ip.As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(at.Port()), Addr: ip.As16()}
}

// isOwnFault says whether a check could not be made at all; it then says nothing about the member.
func isOwnFault(err error) bool {
	for _, lack := range []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EADDRNOTAVAIL} {
		if errors.Is(err, lack) {
			return true
		}
	}
	return false
}

// explain makes a sentence for people out of a check's error.
func explain(err error, at netip.AddrPort, timeout time.Duration) string {
	var made failure
	var errno syscall.Errno
	switch {
	case errors.As(err, &made):
		return string(made)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, unix.ETIMEDOUT):
		return fmt.Sprintf("no answer from %s within %s", at, timeout)
	case errors.Is(err, unix.ECONNREFUSED):
		return fmt.Sprintf("connection refused by %s", at)
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH):
		return fmt.Sprintf("no route to %s", at)
	case errors.As(err, &errno):
		return fmt.Sprintf("cannot reach %s: %s", at, errno)
	}
	return fmt.Sprintf("cannot reach %s: %s", at, err)
}

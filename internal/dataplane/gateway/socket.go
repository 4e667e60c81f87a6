package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
)

// socket is a TCP connection to a member. It is a net.Conn.
type socket struct {
	*os.File
	fd     int
	member netip.AddrPort
	links  *links
	closes sync.Once
}

var errBudget = errors.New("out of file descriptors")

// dial connects to a member within the time that ctx has. The caller closes the socket.
func (l *links) dial(ctx context.Context, network dataplane.Net, key linkKey) (*socket, error) {
	if !l.budget.Take(1) {
		return nil, errBudget
	}
	s, err := l.connect(network, key)
	if err != nil {
		l.budget.Give(1)
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	_ = s.SetDeadline(deadline)
	if err := s.await(); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("connect to %s: %w", key.member, err)
	}
	_ = s.SetDeadline(time.Time{})
	return s, nil
}

// connect begins to connect.
func (l *links) connect(network dataplane.Net, key linkKey) (*socket, error) {
	member := key.member
	family, address := sockaddr(member)
	fd, err := network.Socket(family, unix.SOCK_STREAM)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if door := l.hops.Leads(member); door != nil && err == nil {
		door.Enter(key.passed, func() netip.AddrPort {
			err = unix.Connect(fd, address)
			return localAddr(fd)
		})
	} else if err == nil {
		err = unix.Connect(fd, address)
	}
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("connect to %s: %w", member, err)
	}
	s := &socket{File: os.NewFile(uintptr(fd), member.String()), fd: fd, member: member, links: l}
	l.sockets.Store(s, nil)
	return s, nil
}

// localAddr is where a connection comes from; the zero AddrPort when that cannot be told.
func localAddr(fd int) netip.AddrPort {
	address, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}
	}
	switch a := address.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	return netip.AddrPort{}
}

func sockaddr(at netip.AddrPort) (family int, address unix.Sockaddr) {
	ip := at.Addr().Unmap()
	if ip.Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(at.Port()), Addr: ip.As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(at.Port()), Addr: ip.As16()}
}

// await waits until the connection is made.
func (s *socket) await() error {
	raw, err := s.SyscallConn()
	if err != nil {
		return fmt.Errorf("connection's descriptor: %w", err)
	}
	var failed error
	err = raw.Write(func(fd uintptr) (done bool) {
		var value int
		value, failed = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if failed == nil && value != 0 {
			failed = syscall.Errno(value)
		}
		if failed != nil {
			return true
		}
		_, err := unix.Getpeername(int(fd))
		return !errors.Is(err, unix.ENOTCONN)
	})
	if err != nil {
		return err
	}
	return failed
}

// Read gives the end of the stream as io.EOF and the errors of the network as they are.
func (s *socket) Read(p []byte) (int, error) {
	n, err := s.File.Read(p)
	return n, unwrapped(err)
}

// Write implements net.Conn.
func (s *socket) Write(p []byte) (int, error) {
	n, err := s.File.Write(p)
	return n, unwrapped(err)
}

func unwrapped(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if wrapped, ok := err.(*os.PathError); ok {
		return wrapped.Err
	}
	return err
}

// Close gives the descriptor back.
func (s *socket) Close() (err error) {
	s.closes.Do(func() {
		err = s.File.Close()
		s.links.sockets.Delete(s)
		s.links.budget.Give(1)
	})
	return err
}

// abort ends all reads and writes, now and later.
func (s *socket) abort() { _ = s.SetDeadline(time.Unix(1, 0)) }

// isQuiet says of a connection that nobody uses whether it is still open and the member has said nothing. The descriptor cannot
// be closed meanwhile.
func (s *socket) isQuiet() bool {
	var b [1]byte
	_, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(s.fd), uintptr(unsafe.Pointer(&b[0])), 1, unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	return errno == unix.EAGAIN
}

// unacknowledged is how many bytes of what was written the member's kernel has not taken (tcp(7), SIOCOUTQ).
func (s *socket) unacknowledged() int {
	n, err := unix.IoctlGetInt(s.fd, unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}

// LocalAddr implements net.Conn.
func (s *socket) LocalAddr() net.Addr { return &net.TCPAddr{} }

// RemoteAddr implements net.Conn.
func (s *socket) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.member) }

package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
	"poise/internal/dataplane/proxyproto"
)

// checkTCP succeeds when a connection can be opened.
func checkTCP(ctx context.Context, network dataplane.Net, w *way, at netip.AddrPort) error {
	c, err := open(ctx, network, w, at)
	if err != nil {
		return err
	}
	return c.Close()
}

// connection is a socket of a check, connected to the member. What is done with it fails when the check's time is over.
type connection struct {
	*os.File
	peer netip.AddrPort
	stop func() bool
}

// Close ends the connection. A TCP connection is reset: no socket stays behind.
func (c *connection) Close() error {
	c.stop()
	return c.File.Close()
}

// LocalAddr and RemoteAddr make a connection a net.Conn.
func (c *connection) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(netip.AddrPort{}) }
func (c *connection) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.peer) }

// open opens a TCP connection, and says the PROXY header where the pool's members expect one. The caller closes it.
func open(ctx context.Context, network dataplane.Net, w *way, at netip.AddrPort) (*connection, error) {
	c, err := dial(ctx, network, unix.SOCK_STREAM, at)
	if err != nil {
		return nil, err
	}
	if w.proxy == dataplane.NoProxy {
		return c, nil
	}
	own := proxyproto.AppendHeader(nil, w.proxy, netip.AddrPort{}, netip.AddrPort{}, nil)
	if _, err := c.Write(own); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// dial connects a socket of that kind. The caller closes it.
func dial(ctx context.Context, network dataplane.Net, kind int, at netip.AddrPort) (*connection, error) {
	family, address := sockaddr(at)
	fd, err := network.Socket(family, kind)
	if err != nil {
		return nil, err
	}
	if kind == unix.SOCK_STREAM {
		err = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	if err == nil {
		err = unix.Connect(fd, address)
	}
	underWay := errors.Is(err, unix.EINPROGRESS)
	if err != nil && !underWay {
		_ = unix.Close(fd)
		return nil, err
	}
	c := &connection{File: os.NewFile(uintptr(fd), "check of "+at.String()), peer: at}
	c.stop = context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	if !underWay {
		return c, nil
	}
	if err := c.await(); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// hearUnreachable has a socket of datagrams fail when a router says that it finds no host (ip(7): IP_RECVERR), and not only
// when the host says that it has no such port.
func (c *connection) hearUnreachable() error {
	raw, err := c.SyscallConn()
	if err != nil {
		return fmt.Errorf("connection's descriptor: %w", err)
	}
	level, option := unix.IPPROTO_IP, unix.IP_RECVERR
	if !c.peer.Addr().Unmap().Is4() {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	var optionErr error
	err = raw.Control(func(fd uintptr) { optionErr = unix.SetsockoptInt(int(fd), level, option, 1) })
	return errors.Join(err, optionErr)
}

// await waits for a connect under way.
func (c *connection) await() error {
	raw, err := c.SyscallConn()
	if err != nil {
		return fmt.Errorf("connection's descriptor: %w", err)
	}
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

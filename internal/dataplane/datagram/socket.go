package datagram

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
)

// listenBuffer is how many bytes may wait at a listening socket, either way, with what the kernel needs for each datagram.
// Without the right to exceed it, net.core.rmem_max and wmem_max are the limit.
const listenBuffer = 4 << 20

func family(a netip.Addr) int {
	if a.Unmap().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	ip := a.Addr().Unmap()
	if ip.Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: ip.As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: ip.As16()}
}

// listen opens a listening socket. It is bound to the one address, which so is the source of all answers. The kernel tells
// it nothing of ICMP errors (ip(7), IP_RECVERR).
func listen(network dataplane.Net, addr netip.AddrPort) (int, error) {
	fd, err := network.Socket(family(addr.Addr()), unix.SOCK_DGRAM)
	if err != nil {
		return none, fmt.Errorf("socket: %w", err)
	}
	if err := bind(fd, addr); err != nil {
		_ = unix.Close(fd)
		return none, err
	}
	return fd, nil
}

func bind(fd int, addr netip.AddrPort) error {
	if family(addr.Addr()) == unix.AF_INET6 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return fmt.Errorf("socket options: %w", err)
		}
	}
	err := errors.Join(
		setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF),
		setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF),
		sharePort(fd, true))
	if err != nil {
		return fmt.Errorf("socket options: %w", err)
	}
	if err := unix.Bind(fd, sockaddr(addr)); err != nil {
		return err
	}
	return sharePort(fd, false)
}

// localAddr is where a connected socket has its end; the zero address when it has none.
func localAddr(fd int) netip.AddrPort {
	switch name, _ := unix.Getsockname(fd); a := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// sharePort says whether the socket may have the port of another one that says so too. The kernel may have given a flow
// the port of a listener that is configured later; what the flow's member sends still goes to the flow, whose socket is
// connected. So a flow may have to share after it got its port, and a listener shares until it has its own: two listeners
// never have one port, nor two flows.
func sharePort(fd int, shared bool) error {
	value := 0
	if shared {
		value = 1
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, value)
}

func setBuffer(fd, force, ask int) error {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, listenBuffer) == nil {
		return nil
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, ask, listenBuffer)
}

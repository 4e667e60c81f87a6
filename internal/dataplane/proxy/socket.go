package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
)

// listenBacklog is asked of the kernel, which has its own limit (net.core.somaxconn).
const listenBacklog = 4096

// The calls below are made on non-blocking descriptors and return at once; they bypass the scheduler's book-keeping,
// which costs as much as a small read.

// read is recvfrom(2): read(2) takes the way through the file system's layer.
func read(fd int32, p []byte) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)),
		unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

// write does not raise SIGPIPE.
func write(fd int32, p []byte) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)),
		unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

// isSilent says whether a socket is open and nothing is there to be read, not even its end.
func isSilent(fd int32) bool {
	var p [1]byte
	_, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), 1,
		unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	return errno == syscall.EAGAIN
}

func splice(from, to int32, n int) (int, syscall.Errno) {
	moved, _, errno := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(n),
		unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
	return int(moved), errno
}

func shutdownWrite(fd int32) {
	_, _, _ = unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0)
}

// closeSocket gives the descriptor back; with reset the peer gets a RST and nothing lingers.
func closeSocket(fd int32, reset bool) {
	if reset {
		linger := unix.Linger{Onoff: 1}
		_, _, _ = unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER,
			uintptr(unsafe.Pointer(&linger)), unix.SizeofLinger, 0)
	}
	_, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
}

// unsent is how many bytes the peer has not acknowledged yet, the end among them (tcp(7), SIOCOUTQ).
func unsent(fd int32) int {
	n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}

func setNoDelay(fd int32) {
	one := int32(1)
	_, _, _ = unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY,
		uintptr(unsafe.Pointer(&one)), 4, 0)
}

// rawAddr is an address as the kernel reads and writes it.
type rawAddr struct {
	raw unix.RawSockaddrInet6 // large enough for IPv4 as well
	len uint32
}

func (a *rawAddr) set(addr netip.AddrPort) {
	ip := addr.Addr().Unmap()
	*a = rawAddr{}
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&a.raw.Port))[:], addr.Port())
	if ip.Is4() {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(&a.raw))
		v4.Family, v4.Addr, a.len = unix.AF_INET, ip.As4(), unix.SizeofSockaddrInet4
		return
	}
	a.raw.Family, a.raw.Addr, a.len = unix.AF_INET6, ip.As16(), unix.SizeofSockaddrInet6
}

func (a *rawAddr) addrPort() netip.AddrPort {
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&a.raw.Port))[:])
	if a.raw.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(&a.raw)).Addr), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(a.raw.Addr), port)
}

// accept4 leaves the client's address in a.
func accept4(fd int, a *rawAddr) (int32, syscall.Errno) {
	a.len = unix.SizeofSockaddrInet6
	accepted, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&a.raw)),
		uintptr(unsafe.Pointer(&a.len)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	return int32(accepted), errno
}

// localAddr is where a connected socket has its end; the zero address when it has none.
func localAddr(fd int32) netip.AddrPort {
	a := rawAddr{len: unix.SizeofSockaddrInet6}
	_, _, errno := unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&a.raw)), uintptr(unsafe.Pointer(&a.len)))
	if errno != 0 {
		return netip.AddrPort{}
	}
	return a.addrPort()
}

func connect(fd int32, a *rawAddr) syscall.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&a.raw)), uintptr(a.len))
	return errno
}

func family(a netip.Addr) int {
	if a.Unmap().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// listen opens a listening socket; accepted sockets inherit its options.
func listen(network dataplane.Net, addr netip.AddrPort) (int, error) {
	fd, err := network.Socket(family(addr.Addr()), unix.SOCK_STREAM)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if err := bindAndListen(fd, addr); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func bindAndListen(fd int, addr netip.AddrPort) error {
	v6Only := error(nil)
	if !addr.Addr().Unmap().Is4() {
		v6Only = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	err := errors.Join(v6Only,
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	if err != nil {
		return fmt.Errorf("socket options: %w", err)
	}
	var raw rawAddr
	raw.set(addr)
	_, _, errno := unix.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(&raw.raw)), uintptr(raw.len))
	if errno != 0 {
		return errno
	}
	return unix.Listen(fd, listenBacklog)
}

package datagram

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// batchSize is how many datagrams one system call takes or sends.
	batchSize = 32
	// maxDatagram is above the longest payload there is (65,527 bytes, over IPv6), so that nothing is cut.
	maxDatagram = 64 << 10
)

// batch is room for datagrams with the addresses of those who sent them or are to get them. A place that is not used is
// ready to receive; the kernel gives it memory only for what is received.
type batch struct {
	headers [batchSize]mmsghdr
	vectors [batchSize]unix.Iovec
	names   [batchSize]unix.RawSockaddrInet6 // large enough for IPv4 as well
	buffers [batchSize][maxDatagram]byte
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	length uint32
}

func newBatch() *batch {
	b := &batch{}
	for i := range b.headers {
		b.vectors[i].Base = &b.buffers[i][0]
		b.headers[i].Iov = &b.vectors[i]
		b.headers[i].SetIovlen(1)
	}
	b.reset(0, batchSize)
	return b
}

// reset makes places ready to receive.
func (b *batch) reset(from, to int) {
	for i := from; i < to; i++ {
		b.vectors[i].SetLen(maxDatagram)
		b.headers[i].Name = (*byte)(unsafe.Pointer(&b.names[i]))
		b.headers[i].Namelen = unix.SizeofSockaddrInet6
	}
}

// receive fills places, from one on, with what has arrived. The socket is non-blocking, so the call returns at once and
// bypasses the scheduler's book-keeping; so does send.
func (b *batch) receive(fd, from int) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.headers[from])),
		uintptr(batchSize-from), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// send sends what is in the places. It says how many were sent, and why no more.
func (b *batch) send(fd, from, to int) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.headers[from])),
		uintptr(to-from), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// address makes received datagrams ready to be sent: to a client, or with nil to whom the socket is connected. It says how
// many bytes they are.
func (b *batch) address(from, to int, client *unix.RawSockaddrInet6) (bytes uint64) {
	for i := from; i < to; i++ {
		h := &b.headers[i]
		bytes += uint64(h.length)
		b.vectors[i].SetLen(int(h.length))
		if client == nil {
			h.Name, h.Namelen = nil, 0
			continue
		}
		b.names[i] = *client
		h.Namelen = unix.SizeofSockaddrInet6
		if client.Family == unix.AF_INET {
			h.Namelen = unix.SizeofSockaddrInet4
		}
	}
	return bytes
}

// clientKey is what tells clients apart.
type clientKey struct {
	ip    [16]byte // of IPv4 the first four
	zone  uint32   // of link-local addresses
	port  uint16
	isIP4 bool
}

// client is who has sent the datagram at that place.
func (b *batch) client(i int) clientKey {
	name := &b.names[i]
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&name.Port))[:])
	if name.Family == unix.AF_INET {
		key := clientKey{port: port, isIP4: true}
		ip := (*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr
		copy(key.ip[:], ip[:])
		return key
	}
	return clientKey{ip: name.Addr, zone: name.Scope_id, port: port}
}

func (k clientKey) addrPort() netip.AddrPort {
	if k.isIP4 {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(k.ip[:4])), k.port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(k.ip), k.port)
}

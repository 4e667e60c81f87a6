package dataplane

import "golang.org/x/sys/unix"

// Net is the network in which a load balancer lives, and what a data plane needs of it. A socket belongs
// to the network namespace in which it was created; after its creation it is used from anywhere.
type Net interface {
	// Socket creates a socket (non-blocking, close-on-exec) in the load balancer's network; the caller closes it.
	// family is unix.AF_INET or AF_INET6, kind unix.SOCK_STREAM, SOCK_DGRAM or [EchoSocket]; errors are of type
	// syscall.Errno, wrapped.
	Socket(family, kind int) (fd int, err error)
}

// EchoSocket is a kind of socket beside the kernel's: a datagram socket of ICMP, or ICMPv6, that sends echo requests and
// gets their answers (icmp(7), net.ipv4.ping_group_range). Whoever's group is not in that range gets EACCES.
const EchoSocket = 1 << 8 // out of the kernel's kinds (SOCK_TYPE_MASK) and flags

// OpenSocket is how a Net makes a socket once it is in its network.
func OpenSocket(family, kind int) (fd int, err error) {
	protocol := 0
	if kind == EchoSocket {
		kind, protocol = unix.SOCK_DGRAM, unix.IPPROTO_ICMP
		if family == unix.AF_INET6 {
			protocol = unix.IPPROTO_ICMPV6
		}
	}
	return unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
}

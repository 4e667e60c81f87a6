package linux

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// announcement is what the neighbours of a namespace should hear: that addresses are now at these cards. Without
// it they go on sending to where an address was before, for a minute or so.
type announcement struct {
	space *namespace
	cards []freshCard
}

// freshCard is a card and the addresses that it has just been given.
type freshCard struct {
	index     int // of the interface, in its namespace
	mac       net.HardwareAddr
	addresses []netip.Prefix
}

func (a announcement) announce() error {
	for _, c := range a.cards {
		for _, p := range c.addresses {
			tell := c.tellARP
			if p.Addr().Is6() {
				tell = c.tellNDP
			}
			if err := a.space.enter(func() error { return tell(p.Addr()) }); err != nil {
				return fmt.Errorf("announcement of %s: %w", p.Addr(), err)
			}
		}
	}
	return nil
}

var everyStation = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// tellARP broadcasts a gratuitous request (RFC 5227 §3), in the namespace of the calling thread.
func (c freshCard) tellARP(address netip.Addr) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	to := &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ARP), Ifindex: c.index, Halen: 6}
	copy(to.Addr[:], everyStation)
	return unix.Sendto(fd, gratuitousARP(c.mac, address), 0, to)
}

// gratuitousARP is a request for the sender's own address (RFC 826).
func gratuitousARP(mac net.HardwareAddr, address netip.Addr) []byte {
	packet := []byte{0, 1, 8, 0, 6, 4, 0, 1} // Ethernet, IPv4, their address lengths, request
	packet = append(packet, mac...)
	packet = append(packet, address.AsSlice()...)
	packet = append(packet, 0, 0, 0, 0, 0, 0)
	return append(packet, address.AsSlice()...)
}

// tellNDP sends an unsolicited neighbour advertisement (RFC 4861 §7.2.6), in the namespace of the calling thread.
func (c freshCard) tellNDP(address netip.Addr) error {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return nil // no IPv6, hence no neighbours
	}
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	// Receivers drop advertisements with any other hop limit (§7.1.2).
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, c.index); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet6{Addr: address.As16()}); err != nil {
		return err
	}
	allNodes := &unix.SockaddrInet6{Addr: netip.MustParseAddr("ff02::1").As16(), ZoneId: uint32(c.index)}
	return unix.Sendto(fd, advertisement(c.mac, address), 0, allNodes)
}

// advertisement is a neighbour advertisement with the override flag and the target's link-layer address (RFC 4861
// §4.4, §4.6.1); the kernel fills in the checksum.
func advertisement(mac net.HardwareAddr, address netip.Addr) []byte {
	packet := []byte{136, 0, 0, 0, 0x20, 0, 0, 0}
	packet = append(packet, address.AsSlice()...)
	packet = append(packet, 2, 1)
	return append(packet, mac...)
}

// networkOrder swaps the bytes of a protocol number as AF_PACKET wants it.
func networkOrder(protocol uint16) uint16 { return protocol<<8 | protocol>>8 }

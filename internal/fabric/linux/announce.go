package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// news is what the neighbours of a card should hear: that these addresses are now at this MAC address. Without it they
// go on sending to where an address was before, for a minute or so.
type news struct {
	bridge    int // interface index, in the switch
	mac       net.HardwareAddr
	addresses []netip.Prefix
	moved     []netip.Addr // of them, those that were known by another MAC address
}

// announce tells everybody on the bridge, in the card's name; those beside it are told where they may know better and be
// wrong. It sends from the switch, by one socket for all:
// the kernel takes some 15 ms to close a packet socket, which would be most of the time that Plug takes.
func (f *Fabric) announce(all []news) error {
	for _, n := range all {
		for _, p := range n.addresses {
			if err := f.tell(n.bridge, n.mac, p.Addr()); err != nil {
				return err
			}
		}
		for _, address := range n.moved {
			for _, plug := range f.forward.beside(n.bridge) {
				if err := f.tell(plug, n.mac, address); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// tell sends the announcement out of an interface of the switch.
func (f *Fabric) tell(link int, mac net.HardwareAddr, address netip.Addr) error {
	frame := gratuitousARP(mac, address)
	if address.Is6() {
		frame = advertisement(mac, address)
	}
	err := unix.Sendto(f.megaphone, frame, 0, &unix.SockaddrLinklayer{Ifindex: link})
	// ENOBUFS, ENETDOWN: it has no carrier, so there are no neighbours either. ENXIO: it has gone just now.
	if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.ENETDOWN) && !errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("announcement of %s: %w", address, err)
	}
	return nil
}

var (
	everyStation = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	// allNodes is ff02::1 and its Ethernet address (RFC 2464 §7).
	allNodes    = netip.MustParseAddr("ff02::1")
	allNodesMAC = net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
)

func ethernet(to, from net.HardwareAddr, protocol uint16) []byte {
	frame := append([]byte{}, to...)
	frame = append(frame, from...)
	return binary.BigEndian.AppendUint16(frame, protocol)
}

// gratuitousARP is a broadcast request for the sender's own address (RFC 826, RFC 5227 §3).
func gratuitousARP(mac net.HardwareAddr, address netip.Addr) []byte {
	frame := ethernet(everyStation, mac, unix.ETH_P_ARP)
	frame = append(frame, 0, 1, 8, 0, 6, 4, 0, 1) // Ethernet, IPv4, their address lengths, request
	frame = append(frame, mac...)
	frame = append(frame, address.AsSlice()...)
	frame = append(frame, 0, 0, 0, 0, 0, 0)
	return append(frame, address.AsSlice()...)
}

// advertisement is an unsolicited neighbour advertisement to all nodes, with the override flag and the sender's
// link-layer address (RFC 4861 §4.4, §7.2.6).
func advertisement(mac net.HardwareAddr, address netip.Addr) []byte {
	message := []byte{136, 0, 0, 0, 0x20, 0, 0, 0}
	message = append(message, address.AsSlice()...)
	message = append(message, 2, 1)
	message = append(message, mac...)
	binary.BigEndian.PutUint16(message[2:], checksumICMPv6(address, allNodes, message))

	frame := ethernet(allNodesMAC, mac, unix.ETH_P_IPV6)
	frame = append(frame, 0x60, 0, 0, 0, 0, byte(len(message)), unix.IPPROTO_ICMPV6, 255)
	frame = append(frame, address.AsSlice()...)
	frame = append(frame, allNodes.AsSlice()...)
	return append(frame, message...)
}

// checksumICMPv6 is the Internet checksum over the pseudo-header and the message, of even length (RFC 8200 §8.1).
func checksumICMPv6(from, to netip.Addr, message []byte) uint16 {
	covered := append(from.AsSlice(), to.AsSlice()...)
	covered = append(covered, 0, 0, 0, byte(len(message)), 0, 0, 0, unix.IPPROTO_ICMPV6)
	covered = append(covered, message...)
	var sum uint32
	for i := 0; i < len(covered); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(covered[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

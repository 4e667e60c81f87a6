package probe

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
)

// neighbourOf names the neighbour that packets to the address go to: the host itself, or the gateway on the way there. It is
// absent when it does not answer to the kernel's question for it (ARP, NDP). Without a route, and for an address of one's own,
// the neighbour is the zero Addr.
func neighbourOf(network dataplane.Net, to netip.Addr) (hop netip.Addr, absent bool, err error) {
	fd, err := network.Socket(unix.AF_NETLINK, unix.SOCK_RAW) // protocol 0 is NETLINK_ROUTE
	if err != nil {
		return netip.Addr{}, false, err
	}
	defer unix.Close(fd)
	hop, link, err := nextHop(fd, to.Unmap())
	if err != nil || link == 0 {
		return netip.Addr{}, false, err
	}
	state, err := neighbourState(fd, hop, link)
	return hop, state&(unix.NUD_INCOMPLETE|unix.NUD_FAILED) != 0, err
}

// nextHop is who gets packets to the address, and the interface; 0 for an address of the host's own.
func nextHop(fd int, to netip.Addr) (hop netip.Addr, link uint32, err error) {
	request := make([]byte, unix.SizeofRtMsg)
	request[0], request[1] = familyByte(to), byte(to.BitLen())
	reply, err := rtnetlink(fd, unix.RTM_GETROUTE, append(request, attribute(unix.RTA_DST, to.AsSlice())...))
	if err != nil || reply == nil {
		return netip.Addr{}, 0, err
	}
	attributes, err := syscall.ParseNetlinkRouteAttr(reply)
	if err != nil {
		return netip.Addr{}, 0, fmt.Errorf("route: %w", err)
	}
	hop = to
	for _, a := range attributes {
		switch a.Attr.Type {
		case unix.RTA_OIF:
			link = binary.NativeEndian.Uint32(a.Value)
		case unix.RTA_GATEWAY:
			hop, _ = netip.AddrFromSlice(a.Value)
		}
	}
	if reply.Data[7] == unix.RTN_LOCAL { // rtm_type
		link = 0
	}
	return hop, link, nil
}

// neighbourState is a NUD_ value (linux/neighbour.h), 0 for a neighbour that the kernel does not know.
func neighbourState(fd int, neighbour netip.Addr, link uint32) (uint16, error) {
	request := make([]byte, unix.SizeofNdMsg)
	request[0] = familyByte(neighbour)
	binary.NativeEndian.PutUint32(request[4:], link)
	reply, err := rtnetlink(fd, unix.RTM_GETNEIGH, append(request, attribute(unix.NDA_DST, neighbour.AsSlice())...))
	if err != nil || reply == nil || len(reply.Data) < unix.SizeofNdMsg {
		return 0, err
	}
	return binary.NativeEndian.Uint16(reply.Data[8:]), nil
}

// rtnetlink sends one request of rtnetlink and returns its answer, nil for an error of the kernel: no route, no neighbour. The
// kernel answers before the request returns.
func rtnetlink(fd int, kind uint16, body []byte) (*syscall.NetlinkMessage, error) {
	message := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	message = binary.NativeEndian.AppendUint16(message, kind)
	message = binary.NativeEndian.AppendUint16(message, unix.NLM_F_REQUEST)
	message = append(append(message, make([]byte, 8)...), body...) // sequence number and port: any
	if err := unix.Sendto(fd, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("rtnetlink: %w", err)
	}
	buffer := make([]byte, 4096)
	n, err := unix.Read(fd, buffer)
	if err != nil {
		return nil, fmt.Errorf("rtnetlink: %w", err)
	}
	replies, err := syscall.ParseNetlinkMessage(buffer[:n])
	if err != nil || len(replies) == 0 || replies[0].Header.Type == unix.NLMSG_ERROR {
		return nil, err
	}
	return &replies[0], nil
}

func attribute(kind uint16, value []byte) []byte { // addresses: a multiple of four bytes
	a := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofRtAttr+len(value)))
	return append(binary.NativeEndian.AppendUint16(a, kind), value...)
}

func familyByte(a netip.Addr) byte {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

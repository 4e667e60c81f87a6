package fabric

import "net/netip"

// Filter is what a port lets through; answers to what was let through always pass, and so does what keeps the network
// itself going (neighbour and router discovery).
type Filter struct {
	In  []Pass // from others to the port
	Out []Pass
}

// Pass lets one kind of packet through.
type Pass struct {
	IPv6     bool
	Protocol uint8 // IANA protocol number; 0: any
	// Ports of the destination are given for protocols that have them; the zero value is any.
	Ports PortRange
	// ICMPType and ICMPCode are given for ICMP and ICMPv6; nil: any.
	ICMPType, ICMPCode *uint8
	// Remotes are the other side: the sender of what comes in, the receiver of what goes out. None is anybody.
	Remotes []netip.Prefix
}

// PortRange is a run of ports, both ends included.
type PortRange struct{ First, Last uint16 }

package linux

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// The forwarding program runs for each frame that a card sends into the switch (tc ingress of the card's plug). In C:
//
//	port = ports[ifindex];                          // a plug that is not known yet: its bridge forwards
//	if (!port) return OK;
//	if (port->bridged && !macs[port->network, frame.src])
//		guests[port->network, frame.src] = ifindex; // a server may speak for others, but not in a known one's name
//	if (is_unicast(frame.dst)) {
//		to = macs[port->network, frame.dst] or guests[port->network, frame.dst];
//		if (to == ifindex) return SHOT;
//		return to ? redirect_peer(to) : to_bridge;
//	}
//	if (is_arp_request(frame) || is_neighbour_solicitation(frame)) {
//		mac = addresses[port->network, target of the question];
//		to = macs[port->network, mac];
//		if (to && to != ifindex) {                  // asked of whoever has the address, and of nobody else
//			frame.dst = mac;
//			return redirect_peer(to);
//		}
//	} else if (!port->bridged) {
//		return SHOT;                                // a load balancer has nothing else to say to everybody
//	}
//	if (over_limit(port) || over_limit(networks[port->network])) return SHOT;
//	to_bridge: return port->bridged ? OK : redirect(port->network);
//
// Limits are kept as in the generic cell rate algorithm (ITU-T I.371): one time for each, until which what was let
// through so far would last at the permitted rate.

// portValue is what the program knows of a plug, by its interface index.
type portValue struct {
	Network uint32 // interface index of the network's bridge
	Bridged uint32 // 1: the plug is a port of the bridge
	Limit   limitValue
}

// limitValue bounds how often something may happen; all are nanoseconds.
type limitValue struct {
	Until    uint64 // the program's
	Interval uint64 // of each one at the permitted rate
	Burst    uint64 // how far Until may lie ahead
}

// macKey finds the plug behind which a MAC address is.
type macKey struct {
	Network uint32
	MAC     [6]byte
	_       [2]byte
}

// addressKey finds the MAC address of an address, IPv4 as mapped into IPv6.
type addressKey struct {
	Network uint32
	Address [16]byte
}

type macValue struct {
	MAC [6]byte
	_   [2]byte
}

// forwardMaps are the program's maps, by the names that they have in the kernel. maxForwardEntries is a bound, not what is
// allocated.
const maxForwardEntries = 1 << 20

func forwardMaps() map[string]*ebpf.MapSpec {
	hash := func(name string, key, value uint32) *ebpf.MapSpec {
		return &ebpf.MapSpec{
			Name: name, Type: ebpf.Hash, KeySize: key, ValueSize: value, MaxEntries: maxForwardEntries,
			Flags: unix.BPF_F_NO_PREALLOC,
		}
	}
	return map[string]*ebpf.MapSpec{
		mapPorts:     hash(mapPorts, 4, 32),
		mapNetworks:  hash(mapNetworks, 4, 24),
		mapMACs:      hash(mapMACs, 12, 4),
		mapAddresses: hash(mapAddresses, 20, 8),
		mapGuests:    {Name: mapGuests, Type: ebpf.LRUHash, KeySize: 12, ValueSize: 4, MaxEntries: maxGuests},
	}
}

const (
	mapPorts     = "poise_ports"
	mapNetworks  = "poise_networks"
	mapMACs      = "poise_macs"
	mapAddresses = "poise_addresses"
	mapGuests    = "poise_guests"
)

// maxGuests is how many MAC addresses are remembered that servers have given themselves; those silent for longest give way.
const maxGuests = 4096

// Offsets in the program's context (linux/bpf.h, struct __sk_buff) and on its stack.
const (
	skbIfindex = 40

	stackIfindex = -8   // 4 bytes
	stackMAC     = -24  // macKey
	stackAddress = -48  // addressKey
	stackHeader  = -64  // the Ethernet header, 14 bytes
	stackMessage = -128 // what follows it: 28 bytes of ARP, or 64 of IPv6 and ICMPv6

	tcOK, tcShot = 0, 2 // linux/pkt_cls.h
)

// forwardProgram is the program above. R6 is the context, R7 the port's value, R8 the network, R9 a plug.
func forwardProgram() *ebpf.ProgramSpec {
	var code asm.Instructions
	for _, part := range []asm.Instructions{
		findPort(), meetGuest(), unicast(), resolveARP(), resolveND(), resolve(), flood(), deliver(),
	} {
		code = append(code, part...)
	}
	return &ebpf.ProgramSpec{Name: programName, Type: ebpf.SchedCLS, License: "Apache-2.0", Instructions: code}
}

// programName carries the version of the program: one of another version is replaced.
const programName = "poise_forward_1"

func findPort() asm.Instructions {
	return append(asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R2, asm.R6, skbIfindex, asm.Word),
		asm.StoreMem(asm.RFP, stackIfindex, asm.R2, asm.Word),
	}, append(lookup(mapPorts, stackIfindex, "pass"),
		asm.Mov.Reg(asm.R7, asm.R0),
		asm.LoadMem(asm.R8, asm.R7, 0, asm.Word),
		asm.StoreMem(asm.RFP, stackMAC, asm.R8, asm.Word),
		asm.StoreImm(asm.RFP, stackMAC+8, 0, asm.Word),
		asm.StoreMem(asm.RFP, stackAddress, asm.R8, asm.Word),
		asm.StoreImm(asm.RFP, stackAddress+4, 0, asm.Word),
		asm.StoreImm(asm.RFP, stackAddress+8, 0, asm.Word),
		asm.StoreImm(asm.RFP, stackAddress+12, 0, asm.Word),
	)...)
}

// meetGuest remembers who speaks that nobody has told of.
func meetGuest() asm.Instructions {
	code := append(load(0, stackHeader, 14, "drop"),
		asm.LoadMem(asm.R1, asm.R7, 4, asm.Word),
		asm.JEq.Imm(asm.R1, 0, "known"),
		asm.LoadMem(asm.R1, asm.RFP, stackHeader+6, asm.Half),
		asm.StoreMem(asm.RFP, stackMAC+4, asm.R1, asm.Half),
		asm.LoadMem(asm.R1, asm.RFP, stackHeader+8, asm.Word),
		asm.StoreMem(asm.RFP, stackMAC+6, asm.R1, asm.Half),
		asm.RSh.Imm(asm.R1, 16),
		asm.StoreMem(asm.RFP, stackMAC+8, asm.R1, asm.Half),
	)
	return append(append(code, lookup(mapMACs, stackMAC, "guest")...),
		asm.Ja.Label("known"),
		asm.LoadMapPtr(asm.R1, 0).WithReference(mapGuests).WithSymbol("guest"),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, stackMAC),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, stackIfindex),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnMapUpdateElem.Call(),
	)
}

func unicast() asm.Instructions {
	code := asm.Instructions{
		asm.LoadMem(asm.R1, asm.RFP, stackHeader, asm.Byte).WithSymbol("known"),
		asm.And.Imm(asm.R1, 1),
		asm.JNE.Imm(asm.R1, 0, "multicast"),
		asm.LoadMem(asm.R1, asm.RFP, stackHeader, asm.Word),
		asm.StoreMem(asm.RFP, stackMAC+4, asm.R1, asm.Word),
		asm.LoadMem(asm.R1, asm.RFP, stackHeader+4, asm.Half),
		asm.StoreMem(asm.RFP, stackMAC+8, asm.R1, asm.Half),
	}
	code = append(code, lookup(mapMACs, stackMAC, "to guest")...)
	code = append(code, asm.Ja.Label("found"))
	toGuest := lookup(mapGuests, stackMAC, "bridge")
	toGuest[0] = toGuest[0].WithSymbol("to guest")
	return append(append(code, toGuest...),
		asm.LoadMem(asm.R9, asm.R0, 0, asm.Word).WithSymbol("found"),
		asm.LoadMem(asm.R1, asm.RFP, stackIfindex, asm.Word),
		asm.JEq.Reg(asm.R9, asm.R1, "drop"),
		asm.Ja.Label("deliver"),
	)
}

// resolveARP takes the target of an ARP request for IPv4 (RFC 826).
func resolveARP() asm.Instructions {
	code := asm.Instructions{
		asm.LoadMem(asm.R1, asm.RFP, stackHeader+12, asm.Half).WithSymbol("multicast"),
		asm.HostTo(asm.BE, asm.R1, asm.Half),
		asm.JEq.Imm(asm.R1, unix.ETH_P_IPV6, "ipv6"),
		asm.JNE.Imm(asm.R1, unix.ETH_P_ARP, "other"),
	}
	return append(append(code, load(14, stackMessage, 28, "drop")...),
		asm.LoadMem(asm.R1, asm.RFP, stackMessage+2, asm.Half),
		asm.HostTo(asm.BE, asm.R1, asm.Half),
		asm.JNE.Imm(asm.R1, unix.ETH_P_IP, "flood"),
		asm.LoadMem(asm.R1, asm.RFP, stackMessage+6, asm.Half),
		asm.HostTo(asm.BE, asm.R1, asm.Half),
		asm.JNE.Imm(asm.R1, 1, "flood"), // a request
		asm.StoreImm(asm.RFP, stackAddress+14, -1, asm.Half),
		asm.LoadMem(asm.R1, asm.RFP, stackMessage+24, asm.Word),
		asm.StoreMem(asm.RFP, stackAddress+16, asm.R1, asm.Word),
		asm.Ja.Label("resolve"),
	)
}

// resolveND takes the target of a neighbour solicitation (RFC 4861 §4.3). What is no neighbour discovery is no business
// of load balancers.
func resolveND() asm.Instructions {
	code := append(load(14, stackMessage, 64, "other"),
		asm.LoadMem(asm.R1, asm.RFP, stackMessage+6, asm.Byte),
		asm.JNE.Imm(asm.R1, unix.IPPROTO_ICMPV6, "other"),
		asm.LoadMem(asm.R1, asm.RFP, stackMessage+40, asm.Byte),
		asm.JEq.Imm(asm.R1, 136, "flood"), // an advertisement
		asm.JNE.Imm(asm.R1, 135, "other"),
	)
	for i := int16(0); i < 16; i += 4 {
		code = append(code,
			asm.LoadMem(asm.R1, asm.RFP, stackMessage+48+i, asm.Word),
			asm.StoreMem(asm.RFP, stackAddress+4+i, asm.R1, asm.Word))
	}
	code[0] = code[0].WithSymbol("ipv6")
	return append(code, asm.Ja.Label("resolve"))
}

// resolve sends the question to who has the address.
func resolve() asm.Instructions {
	code := append(lookup(mapAddresses, stackAddress, "flood"),
		asm.LoadMem(asm.R1, asm.R0, 0, asm.Word),
		asm.StoreMem(asm.RFP, stackMAC+4, asm.R1, asm.Word),
		asm.LoadMem(asm.R1, asm.R0, 4, asm.Half),
		asm.StoreMem(asm.RFP, stackMAC+8, asm.R1, asm.Half),
	)
	code = append(code, lookup(mapMACs, stackMAC, "flood")...)
	code[0] = code[0].WithSymbol("resolve")
	return append(code,
		asm.LoadMem(asm.R9, asm.R0, 0, asm.Word),
		asm.LoadMem(asm.R1, asm.RFP, stackIfindex, asm.Word),
		asm.JEq.Reg(asm.R9, asm.R1, "flood"), // who speaks of an address of its own means everybody
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, 0),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, stackMAC+4),
		asm.Mov.Imm(asm.R4, 6),
		asm.Mov.Imm(asm.R5, 0),
		asm.FnSkbStoreBytes.Call(),
		asm.JNE.Imm(asm.R0, 0, "drop"),
		asm.Ja.Label("deliver"),
	)
}

// flood has the bridge copy the frame to all of its ports, within limits.
func flood() asm.Instructions {
	code := asm.Instructions{
		asm.LoadMem(asm.R1, asm.R7, 4, asm.Word).WithSymbol("other"),
		asm.JEq.Imm(asm.R1, 0, "drop"),
		asm.FnKtimeGetNs.Call().WithSymbol("flood"),
		asm.Mov.Reg(asm.R9, asm.R0),
		asm.Mov.Reg(asm.R0, asm.R7),
		asm.Add.Imm(asm.R0, 8),
	}
	code = append(code, withinLimit("port")...)
	code = append(code, asm.StoreMem(asm.RFP, stackIfindex, asm.R8, asm.Word)) // the key of the network
	code = append(code, lookup(mapNetworks, stackIfindex, "bridge")...)
	code = append(code, withinLimit("network")...)
	return append(code,
		asm.LoadMem(asm.R1, asm.R7, 4, asm.Word).WithSymbol("bridge"),
		asm.JNE.Imm(asm.R1, 0, "pass"),
		asm.Mov.Reg(asm.R1, asm.R8),
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRedirect.Call(),
		asm.Return(),
	)
}

// withinLimit counts one more in the limit that R0 points to, at the time R9, or drops the frame.
func withinLimit(what string) asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord),
		asm.JGE.Reg(asm.R1, asm.R9, what+" busy"),
		asm.Mov.Reg(asm.R1, asm.R9),
		asm.Mov.Reg(asm.R2, asm.R1).WithSymbol(what + " busy"),
		asm.Sub.Reg(asm.R2, asm.R9),
		asm.LoadMem(asm.R3, asm.R0, 16, asm.DWord),
		asm.JGT.Reg(asm.R2, asm.R3, "drop"),
		asm.LoadMem(asm.R3, asm.R0, 8, asm.DWord),
		asm.Add.Reg(asm.R1, asm.R3),
		asm.StoreMem(asm.R0, 0, asm.R1, asm.DWord),
	}
}

// deliver puts the frame into the namespace of the card whose plug is R9, as if it had come by the wire: without another
// turn through the queue of the processor.
func deliver() asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R6).WithSymbol("deliver"),
		asm.Mov.Imm(asm.R2, unix.PACKET_HOST),
		asm.FnSkbChangeType.Call(),
		asm.Mov.Reg(asm.R1, asm.R9),
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRedirectPeer.Call(),
		asm.Return(),
		asm.Mov.Imm(asm.R0, tcOK).WithSymbol("pass"),
		asm.Return(),
		asm.Mov.Imm(asm.R0, tcShot).WithSymbol("drop"),
		asm.Return(),
	}
}

// lookup leaves the value of the key on the stack in R0, or goes to missing.
func lookup(name string, key int32, missing string) asm.Instructions {
	return asm.Instructions{
		asm.LoadMapPtr(asm.R1, 0).WithReference(name),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, key),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, missing),
	}
}

// load copies bytes of the frame to the stack, or goes to short where the frame has fewer.
func load(offset, to, length int32, short string) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, offset),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, to),
		asm.Mov.Imm(asm.R4, length),
		asm.FnSkbLoadBytes.Call(),
		asm.JNE.Imm(asm.R0, 0, short),
	}
}

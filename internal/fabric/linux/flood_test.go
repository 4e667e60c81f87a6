package linux

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"poise/internal/fabric"
)

// crowd is a network with load balancers, and servers that hear what is said to everybody.
func crowd(t *testing.T, f *Fabric, balancers, servers int) (lbs []fabric.Endpoint, srvs []fabric.Server) {
	t.Helper()
	apply(t, f, fabric.Topology{Networks: []fabric.Network{{ID: "net", MTU: 1450}}})
	for i := range servers {
		id := fmt.Sprintf("srv-%d", i)
		srvs = append(srvs, plugServer(t, f, id, port(id, "net", fmt.Sprintf("10.0.1.%d/16", i), fmt.Sprintf("fd00::1:%x/64", i+1))))
	}
	for i := range balancers {
		id := fmt.Sprintf("lb-%d", i)
		lbs = append(lbs, plug(t, f, id, port(id+"-vip", "net", fmt.Sprintf("10.0.2.%d/16", i), fmt.Sprintf("fd00::2:%x/64", i+1))))
	}
	return lbs, srvs
}

// heard is how many frames have come to the namespace's cards.
func heard(t *testing.T, space *namespace) (frames uint64) {
	t.Helper()
	h, err := space.netlink()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	links, err := dump(h.LinkList)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if _, isCard := l.(*netlink.Veth); isCard {
			frames += l.Attrs().Statistics.RxPackets
		}
	}
	return frames
}

// question asks everybody for an address, in the name of a port: a broadcast of ARP, or a multicast of IPv6.
func question(from fabric.Port, address netip.Addr) []byte {
	if address.Is6() {
		return solicitation(from.MAC, from.Addresses[1].Addr(), address)
	}
	frame := ethernet(everyStation, from.MAC, unix.ETH_P_ARP)
	frame = append(frame, 0, 1, 8, 0, 6, 4, 0, 1)
	frame = append(append(frame, from.MAC...), from.Addresses[0].Addr().AsSlice()...)
	return append(append(frame, 0, 0, 0, 0, 0, 0), address.AsSlice()...)
}

// solicitation is a neighbour solicitation (RFC 4861 §4.3).
func solicitation(mac net.HardwareAddr, from, target netip.Addr) []byte {
	bytes := target.As16()
	group := netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 11: 1, 12: 0xff, 13: bytes[13], 14: bytes[14], 15: bytes[15]})
	message := append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, target.AsSlice()...)
	message = append(append(message, 1, 1), mac...)
	sum := checksumICMPv6(from, group, message)
	message[2], message[3] = byte(sum>>8), byte(sum)
	frame := ethernet(net.HardwareAddr{0x33, 0x33, 0xff, bytes[13], bytes[14], bytes[15]}, mac, unix.ETH_P_IPV6)
	frame = append(frame, 0x60, 0, 0, 0, 0, byte(len(message)), unix.IPPROTO_ICMPV6, 255)
	return append(append(append(frame, from.AsSlice()...), group.AsSlice()...), message...)
}

// say sends a frame out of the namespace's card, so many times.
func say(t *testing.T, space *namespace, card string, frame []byte, times int) {
	t.Helper()
	fd, err := space.Socket(unix.AF_PACKET, unix.SOCK_RAW)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	h, err := space.netlink()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	link, err := h.LinkByName(card)
	if err != nil {
		t.Fatal(err)
	}
	for range times {
		if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: link.Attrs().Index}); err != nil {
			t.Fatal(err)
		}
	}
}

// Load balancers that ask for dead members, again and again, disturb neither each other nor servers: what nobody has is
// asked within limits.
func TestDeadMembersAreNoStorm(t *testing.T) {
	const balancers, servers, asks = 12, 4, 300
	f := newFabric(t)
	lbs, srvs := crowd(t, f, balancers, servers)
	var lbsBefore, srvsBefore uint64
	for i := range balancers {
		lbsBefore += heard(t, lbs[i].Net.(*namespace))
	}
	for i := range servers {
		srvsBefore += heard(t, srvs[i].Net.(*namespace))
	}
	begin := time.Now()
	for i, lb := range lbs {
		id := fmt.Sprintf("lb-%d-vip", i)
		from := port(id, "net", fmt.Sprintf("10.0.2.%d/16", i), fmt.Sprintf("fd00::2:%x/64", i+1))
		for _, dead := range []string{"10.0.9.9", "fd00::9:9"} {
			say(t, lb.Net.(*namespace), shortName(id), question(from, netip.MustParseAddr(dead)), asks/2)
		}
	}
	var lbsHeard, srvsHeard uint64
	for i := range balancers {
		lbsHeard += heard(t, lbs[i].Net.(*namespace))
	}
	for i := range servers {
		srvsHeard += heard(t, srvs[i].Net.(*namespace))
	}
	seconds := uint64(time.Since(begin)/time.Second) + 1
	if n := lbsHeard - lbsBefore; n > 0 {
		t.Errorf("load balancers heard %d frames of each other's questions, want none", n)
	}
	if n, most := srvsHeard-srvsBefore, networkBurst+networkCopies*seconds; n == 0 || n > most {
		t.Errorf("servers heard %d copies of %d questions, want at least one and at most %d", n, balancers*asks, most)
	}
	if n, most := srvsHeard-srvsBefore, balancers*servers*(balancerBurst+balancerAsks*seconds); n > most {
		t.Errorf("servers heard %d copies, want at most %d: the load balancers' own limits", n, most)
	}
}

// A question for an address that somebody has goes to him alone, however often it is asked.
func TestQuestionsGoToWhoCanAnswer(t *testing.T) {
	const asks = 500
	f := newFabric(t)
	lbs, srvs := crowd(t, f, 2, 3)
	from := port("lb-0-vip", "net", "10.0.2.0/16", "fd00::2:1/64")
	for _, known := range []string{"10.0.1.1", "fd00::1:2"} {
		before := make([]uint64, 3)
		for i := range srvs {
			before[i] = heard(t, srvs[i].Net.(*namespace))
		}
		say(t, lbs[0].Net.(*namespace), shortName("lb-0-vip"), question(from, netip.MustParseAddr(known)), asks)
		until(t, func() error {
			if n := heard(t, srvs[1].Net.(*namespace)) - before[1]; n < asks {
				return fmt.Errorf("who has %s heard %d of %d questions", known, n, asks)
			}
			return nil
		})
		for _, i := range []int{0, 2} {
			// A few frames are not the questions: the kernel joins multicast groups when an address is new.
			if n := heard(t, srvs[i].Net.(*namespace)) - before[i]; n > asks/10 {
				t.Errorf("server %d, which does not have %s, heard %d frames", i, known, n)
			}
		}
	}
}

// What servers give themselves is found as well: addresses that the fabric does not know, and MAC addresses.
func TestUnknownAddressesAreFound(t *testing.T) {
	f := newFabric(t)
	lbs, srvs := crowd(t, f, 1, 2)
	space := srvs[1].Net.(*namespace)
	h, err := space.netlink()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	link, err := h.LinkByName(shortName("srv-1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.AddrAdd(link, kernelAddress(netip.MustParsePrefix("10.0.7.7/16"))); err != nil {
		t.Fatal(err)
	}
	wantGreeting(t, dialer(lbs[0].Net), "10.0.7.7", serve(t, space, "10.0.7.7", "own"), "own to 10.0.2.0")
	if err := h.LinkSetHardwareAddr(link, net.HardwareAddr{2, 0, 0, 0, 0, 7}); err != nil {
		t.Fatal(err)
	}
	if err := h.AddrAdd(link, kernelAddress(netip.MustParsePrefix("10.0.7.8/16"))); err != nil {
		t.Fatal(err)
	}
	wantGreeting(t, dialer(lbs[0].Net), "10.0.7.8", serve(t, space, "10.0.7.8", "other"), "other to 10.0.2.0")
}

// A load balancer that knows a server by its MAC address hears that another one has the address now.
func TestLoadBalancersHearOfAMove(t *testing.T) {
	f := newFabric(t)
	lbs, srvs := crowd(t, f, 1, 1)
	wantGreeting(t, dialer(lbs[0].Net), "10.0.1.0", serve(t, srvs[0].Net, "10.0.1.0", "old"), "old to 10.0.2.0")
	if err := f.UnplugServer(t.Context(), "srv-0"); err != nil {
		t.Fatal(err)
	}
	successor := plugServer(t, f, "successor", port("successor", "net", "10.0.1.0/16"))
	wantGreeting(t, dialer(lbs[0].Net), "10.0.1.0", serve(t, successor.Net, "10.0.1.0", "new"), "new to 10.0.2.0")
}

// until tries again until there is no error, for as long as a test waits for anything.
func until(t *testing.T, try func() error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

package loop

import (
	"net/netip"
	"testing"
)

func TestHops(t *testing.T) {
	var h Hops
	at, from := netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("10.0.0.1:1024")
	door := h.Listen(at)
	if door.Passed(from) != 1 {
		t.Error("a client from outside has passed others")
	}
	h.Leads(at).Enter(3, func() netip.AddrPort { return from })
	if n := door.Passed(from); n != 4 {
		t.Errorf("the client has passed %d", n)
	}
	for i := range 2 * maxWays { // there is an end to what is remembered
		door.Enter(1, func() netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("10.0.0.2"), uint16(i)) })
	}
	if n := len(h.ways[0]) + len(h.ways[1]); n > 2*maxWays {
		t.Errorf("%d are remembered", n)
	}
	again := h.Listen(at)
	door.Close()
	if h.Leads(at) == nil {
		t.Error("another load balancer listens there")
	}
	again.Close()
	if h.Leads(at) != nil {
		t.Error("nobody listens there any more")
	}
}

package linux

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"poise/internal/fabric"
)

const tcp = 6

// filtered is the port with a filter.
func filtered(p fabric.Port, in ...fabric.Pass) fabric.Port {
	p.Filter = &fabric.Filter{In: in, Out: []fabric.Pass{{}, {IPv6: true}}}
	return p
}

func passTCP(port uint16, remotes ...string) fabric.Pass {
	pass := fabric.Pass{Protocol: tcp, Ports: fabric.PortRange{First: port, Last: port}}
	for _, r := range remotes {
		pass.Remotes = append(pass.Remotes, netip.MustParsePrefix(r))
		pass.IPv6 = pass.Remotes[0].Addr().Is6()
	}
	return pass
}

// isShut wants a port not to answer at all.
func isShut(t *testing.T, dial dialFunc, address string, port uint16) {
	t.Helper()
	if c, err := open(t, dial, address, port, 300*time.Millisecond); err == nil {
		c.Close()
		t.Errorf("%s port %d answers, but is filtered", address, port)
	}
}

func TestFilter(t *testing.T) {
	f := newFabric(t)
	apply(t, f, fabric.Topology{Networks: []fabric.Network{{ID: "red", MTU: 1450}}})
	vip := port("vip", "red", "10.0.0.5/24", "fd00:5::5/64")
	lb := plug(t, f, "lb", filtered(vip))
	near := plugServer(t, f, "near", port("near", "red", "10.0.0.8/24", "fd00:5::8/64"))
	far := plugServer(t, f, "far", port("far", "red", "10.0.0.9/24", "fd00:5::9/64"))
	four, six := serve(t, lb.Net, "10.0.0.5", "four"), serve(t, lb.Net, "fd00:5::5", "six")
	outside := serve(t, far.Net, "10.0.0.9", "far")

	for _, tt := range []struct {
		name                     string
		in                       []fabric.Pass
		near4, far4, near6, far6 bool
	}{
		{name: "nothing"},
		{name: "a port", in: []fabric.Pass{passTCP(four)}, near4: true, far4: true},
		{name: "another port", in: []fabric.Pass{passTCP(four - 1)}},
		{name: "all of IPv6", in: []fabric.Pass{{IPv6: true}}, near6: true, far6: true},
		{name: "UDP", in: []fabric.Pass{{Protocol: 17}}},
		{name: "one host", in: []fabric.Pass{passTCP(four, "10.0.0.8/32")}, near4: true},
		{name: "two hosts", in: []fabric.Pass{passTCP(four, "10.0.0.8/32", "10.0.0.9/32")}, near4: true, far4: true},
		{name: "a range", in: []fabric.Pass{passTCP(four, "10.0.0.9/32", "10.0.0.0/30")}, far4: true},
		{name: "IPv6 hosts", in: []fabric.Pass{passTCP(six, "fd00:5::9/128")}, far6: true},
		{name: "IPv6 range", in: []fabric.Pass{passTCP(six, "fd00:5::8/127")}, near6: true, far6: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			plug(t, f, "lb", filtered(vip, tt.in...))
			for _, want := range []struct {
				dial     dialFunc
				address  string
				port     uint16
				greeting string
				open     bool
			}{
				{dialer(near.Net), "10.0.0.5", four, "four to 10.0.0.8", tt.near4},
				{dialer(far.Net), "10.0.0.5", four, "four to 10.0.0.9", tt.far4},
				{dialer(near.Net), "fd00:5::5", six, "six to fd00:5::8", tt.near6},
				{dialer(far.Net), "fd00:5::5", six, "six to fd00:5::9", tt.far6},
			} {
				if want.open {
					wantGreeting(t, want.dial, want.address, want.port, want.greeting)
				} else {
					isShut(t, want.dial, want.address, want.port)
				}
			}
			wantGreeting(t, dialer(lb.Net), "10.0.0.9", outside, "far to 10.0.0.5") // answers come back
		})
	}
}

func TestFilterKeepsOutgoingIn(t *testing.T) {
	f := newFabric(t)
	apply(t, f, fabric.Topology{Networks: []fabric.Network{{ID: "red", MTU: 1450}}})
	server := plugServer(t, f, "server", port("server", "red", "10.0.0.9/24"))
	service := serve(t, server.Net, "10.0.0.9", "server")
	vip := port("vip", "red", "10.0.0.5/24")
	vip.Filter = &fabric.Filter{Out: []fabric.Pass{passTCP(service - 1)}}
	lb := plug(t, f, "lb", vip)
	isShut(t, dialer(lb.Net), "10.0.0.9", service)
	vip.Filter = &fabric.Filter{Out: []fabric.Pass{passTCP(service, "10.0.0.9/32")}}
	plug(t, f, "lb", vip)
	wantGreeting(t, dialer(lb.Net), "10.0.0.9", service, "server to 10.0.0.5")
}

func TestFilterAndConnections(t *testing.T) {
	f := newFabric(t)
	apply(t, f, fabric.Topology{Networks: []fabric.Network{{ID: "red", MTU: 1450}}})
	vip := port("vip", "red", "10.0.0.5/24")
	lb := plug(t, f, "lb", vip)
	near := plugServer(t, f, "near", port("near", "red", "10.0.0.8/24"))
	far := plugServer(t, f, "far", port("far", "red", "10.0.0.9/24"))
	service := serve(t, lb.Net, "10.0.0.5", "lb")
	stays := connection(t, dialer(near.Net), "10.0.0.5", service)
	goes := connection(t, dialer(far.Net), "10.0.0.5", service)

	plug(t, f, "lb", filtered(vip, passTCP(service))) // the first filter takes connections up as they are
	stillAlive(t, stays)
	stillAlive(t, goes)
	plug(t, f, "lb", filtered(vip, passTCP(service, "10.0.0.8/32")))
	stillAlive(t, stays)
	isSilent(t, goes)
	plug(t, f, "lb", vip)
	stillAlive(t, stays)
	wantGreeting(t, dialer(far.Net), "10.0.0.5", service, "lb to 10.0.0.9")
}

// Rules with single addresses of both IP versions stand beside each other, any number of them: remote groups.
func TestFilterWithManySingleAddresses(t *testing.T) {
	f := newFabric(t)
	apply(t, f, fabric.Topology{Networks: []fabric.Network{{ID: "red", MTU: 1450}}})
	vip := port("vip", "red", "10.0.0.5/24", "fd00:5::5/64")
	lb := plug(t, f, "lb", filtered(vip))
	near := plugServer(t, f, "near", port("near", "red", "10.0.0.8/24", "fd00:5::8/64"))
	far := plugServer(t, f, "far", port("far", "red", "10.0.0.9/24", "fd00:5::9/64"))
	four, six := serve(t, lb.Net, "10.0.0.5", "four"), serve(t, lb.Net, "fd00:5::5", "six")

	plug(t, f, "lb", filtered(vip,
		passTCP(four, "10.0.0.77/32"), passTCP(four, "10.0.0.8/32"), passTCP(four+1, "10.0.0.8/32"),
		passTCP(six, "fd00:5::9/128"), passTCP(six, "fd00:5::77/128")))
	wantGreeting(t, dialer(near.Net), "10.0.0.5", four, "four to 10.0.0.8")
	wantGreeting(t, dialer(far.Net), "fd00:5::5", six, "six to fd00:5::9")
	isShut(t, dialer(far.Net), "10.0.0.5", four)
	isShut(t, dialer(near.Net), "fd00:5::5", six)

	var group []netip.Prefix // of 3,000 members, which 500 rules name
	for i := range 3_000 {
		group = append(group, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32))
	}
	rules := []fabric.Pass{passTCP(four)}
	for i := range uint16(500) {
		rules = append(rules, passTCP(i+1))
	}
	for i := range rules {
		rules[i].Remotes = group
	}
	plug(t, f, "lb", filtered(vip, rules...))
	wantGreeting(t, dialer(far.Net), "10.0.0.5", four, "four to 10.0.0.9")
	isShut(t, dialer(far.Net), "fd00:5::5", six)
}

// A filter that the kernel does not take leaves nothing open, least of all what the one before let through.
func TestFilterThatCannotBeAppliedClosesThePort(t *testing.T) {
	f := newFabric(t)
	apply(t, f, fabric.Topology{Networks: []fabric.Network{{ID: "red", MTU: 1450}}})
	vip := port("vip", "red", "10.0.0.5/24")
	lb := plug(t, f, "lb", filtered(vip))
	client := plugServer(t, f, "client", port("client", "red", "10.0.0.8/24"))
	service := serve(t, lb.Net, "10.0.0.5", "lb")
	plug(t, f, "lb", filtered(vip, passTCP(service)))
	open := connection(t, dialer(client.Net), "10.0.0.5", service)

	impossible := passTCP(service, "fd00::1/128")
	impossible.IPv6 = false
	_, err := f.Plug(t.Context(), "lb", []fabric.Port{filtered(vip, impossible)})
	if err == nil || !strings.Contains(err.Error(), "the security groups cannot be applied, so the port is closed until they can") {
		t.Errorf("the reason is %v", err)
	}
	isShut(t, dialer(client.Net), "10.0.0.5", service)
	isSilent(t, open)
	plug(t, f, "lb", filtered(vip, passTCP(service)))
	wantGreeting(t, dialer(client.Net), "10.0.0.5", service, "lb to 10.0.0.8")
}

// What was revoked just before a crash ends with the next start, connections included.
func TestFilterRevokedWhileNobodyWatched(t *testing.T) {
	f := newFabric(t)
	red := fabric.Topology{Networks: []fabric.Network{{ID: "red", MTU: 1450}}}
	apply(t, f, red)
	vip := port("vip", "red", "10.0.0.5/24")
	lb := plug(t, f, "lb", filtered(vip))
	near := plugServer(t, f, "near", port("near", "red", "10.0.0.8/24"))
	far := plugServer(t, f, "far", port("far", "red", "10.0.0.9/24"))
	service := serve(t, lb.Net, "10.0.0.5", "lb")
	plug(t, f, "lb", filtered(vip, passTCP(service)))
	stays, goes := connection(t, dialer(near.Net), "10.0.0.5", service), connection(t, dialer(far.Net), "10.0.0.5", service)
	crash(f)

	f = restart(t, f.tag)
	apply(t, f, red)
	plug(t, f, "lb", filtered(vip, passTCP(service, "10.0.0.8/32")))
	stillAlive(t, stays)
	isSilent(t, goes)
}

// isSilent wants a connection to carry nothing any more.
func isSilent(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(300 * time.Millisecond))
	_, _ = c.Write([]byte("?"))
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes over a connection that is no longer let through", n)
	}
}

// Members of the other IP version are reached by a port of their own, which is no way around the filter of the VIP.
func TestPortsOfMembersAndTheVIP(t *testing.T) {
	f := newFabric(t)
	apply(t, f, fabric.Topology{Networks: []fabric.Network{{ID: "red", MTU: 1450}, {ID: "blue", MTU: 1450}}})
	vip, inside := port("vip", "red", "10.0.0.5/24"), port("inside", "blue", "fd00:b::5/64", "10.0.1.5/24")
	lb := plug(t, f, "lb", vip, inside)
	member := plugServer(t, f, "member", port("member", "blue", "fd00:b::9/64", "10.0.1.9/24"))
	client := plugServer(t, f, "client", port("client", "red", "10.0.0.9/24"))
	service := serve(t, lb.Net, "10.0.0.5", "lb")
	wantGreeting(t, dialer(lb.Net), "fd00:b::9", serve(t, member.Net, "fd00:b::9", "member"), "member to fd00:b::5")
	wantGreeting(t, dialer(client.Net), "10.0.0.5", service, "lb to 10.0.0.9")

	// A neighbour of the member's port that takes it for the way to the VIP.
	by := port("member", "blue", "fd00:b::9/64", "10.0.1.9/24")
	by.Gateways = []netip.Addr{netip.MustParseAddr("10.0.1.5")}
	member = plugServer(t, f, "member", by)
	isShut(t, dialer(member.Net), "10.0.0.5", service)
}

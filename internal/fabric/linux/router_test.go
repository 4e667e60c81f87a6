package linux

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"poise/internal/fabric"
)

// site is a topology to try routers in: the external network 203.0.113.0/24, of which the host has the .1, a router
// with the leg .2, and the networks red and blue behind it.
func site() fabric.Topology {
	gateway := leg("rtr-out", "public", "203.0.113.2/24")
	return fabric.Topology{
		Networks: []fabric.Network{
			{ID: "public", MTU: 1500, External: true, Subnets: []fabric.Subnet{{
				ID: "public-subnet", CIDR: netip.MustParsePrefix("203.0.113.0/24"), Gateway: netip.MustParseAddr("203.0.113.1"),
			}}},
			{ID: "red", MTU: 1450},
			{ID: "blue", MTU: 1450},
		},
		Routers: []fabric.Router{{
			ID: "rtr",
			Interfaces: []fabric.RouterPort{
				leg("rtr-red", "red", "10.0.0.1/24"),
				leg("rtr-blue", "blue", "10.0.1.1/24"),
			},
			Gateway: &gateway, SNAT: true, NextHops: []netip.Addr{netip.MustParseAddr("203.0.113.1")},
		}},
	}
}

func leg(id, network, prefix string) fabric.RouterPort {
	return fabric.RouterPort{
		PortID: id, NetworkID: network, MAC: macOf(id), Addresses: []netip.Prefix{netip.MustParsePrefix(prefix)},
	}
}

func floatingIP(address, fixed, router string) fabric.FloatingIP {
	return fabric.FloatingIP{
		ID: address, Address: netip.MustParseAddr(address), Fixed: netip.MustParseAddr(fixed), RouterID: router,
	}
}

func TestRouter(t *testing.T) {
	f := newFabric(t)
	topology := site()
	topology.FloatingIPs = []fabric.FloatingIP{floatingIP("203.0.113.50", "10.0.0.5", "rtr")}
	apply(t, f, topology)
	lb := plug(t, f, "lb", port("vip", "red", "10.0.0.5/24"))
	neighbour := plugServer(t, f, "neighbour", port("neighbour", "red", "10.0.0.9/24"))
	other := plugServer(t, f, "other", port("other", "blue", "10.0.1.9/24"))
	service := serve(t, lb.Net, "10.0.0.5", "lb")
	outside := serve(t, f.spaces.home, "203.0.113.1", "host")

	tests := []struct {
		name    string
		dial    dialFunc
		address string
		port    uint16
		want    string
	}{
		{"host by floating IP", hostDial, "203.0.113.50", service, "lb to 203.0.113.1"},
		{"out, masqueraded", dialer(neighbour.Net), "203.0.113.1", outside, "host to 203.0.113.2"},
		{"out, from its floating IP", dialer(lb.Net), "203.0.113.1", outside, "host to 203.0.113.50"},
		{"between inside networks, untranslated", dialer(other.Net), "10.0.0.5", service, "lb to 10.0.1.9"},
		{"hairpin from the same network", dialer(neighbour.Net), "203.0.113.50", service, "lb to 203.0.113.2"},
		{"hairpin from another network", dialer(other.Net), "203.0.113.50", service, "lb to 203.0.113.2"},
		{"hairpin to itself", dialer(lb.Net), "203.0.113.50", service, "lb to 203.0.113.50"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { wantGreeting(t, tt.dial, tt.address, tt.port, tt.want) })
	}
}

func TestRouterWithoutSNATKeepsFloatingIPs(t *testing.T) {
	f := newFabric(t)
	topology := site()
	topology.Routers[0].SNAT = false
	topology.FloatingIPs = []fabric.FloatingIP{floatingIP("203.0.113.50", "10.0.0.5", "rtr")}
	apply(t, f, topology)
	lb := plug(t, f, "lb", port("vip", "red", "10.0.0.5/24"))
	neighbour := plugServer(t, f, "neighbour", port("neighbour", "red", "10.0.0.9/24"))
	service := serve(t, lb.Net, "10.0.0.5", "lb")
	outside := serve(t, f.spaces.home, "203.0.113.1", "host")

	wantGreeting(t, hostDial, "203.0.113.50", service, "lb to 203.0.113.1")
	wantGreeting(t, dialer(neighbour.Net), "203.0.113.50", service, "lb to 203.0.113.2")
	if got, err := hear(t, dialer(neighbour.Net), "203.0.113.1", outside); err == nil {
		t.Errorf("without SNAT the host answers %q", got)
	}
}

func TestFloatingIPMoves(t *testing.T) {
	second := leg("rtr2-out", "public", "203.0.113.3/24")
	other := fabric.Router{
		ID: "a-rtr2", Interfaces: []fabric.RouterPort{leg("rtr2-blue", "blue", "10.0.1.2/24")},
		Gateway: &second, SNAT: true, NextHops: []netip.Addr{netip.MustParseAddr("203.0.113.1")},
	}
	f := newFabric(t)
	topology := site()
	topology.Routers = append(topology.Routers, other)
	apply(t, f, topology)
	from := plug(t, f, "from", port("from-vip", "red", "10.0.0.5/24"))
	to := plug(t, f, "to", port("to-vip", "red", "10.0.0.6/24"))
	far := plug(t, f, "far", fabric.Port{
		ID: "far-vip", NetworkID: "blue", MAC: macOf("far-vip"), MTU: 1450,
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.1.7/24")}, Gateways: []netip.Addr{netip.MustParseAddr("10.0.1.2")},
	})
	ports := map[string]uint16{
		"from": serve(t, from.Net, "10.0.0.5", "from"),
		"to":   serve(t, to.Net, "10.0.0.6", "to"),
		"far":  serve(t, far.Net, "10.0.1.7", "far"),
	}
	moves := []struct{ name, fixed, router string }{
		{"from", "10.0.0.5", "rtr"},
		{"to", "10.0.0.6", "rtr"},
		{"far", "10.0.1.7", "a-rtr2"},
		{"from", "10.0.0.5", "rtr"},
		{"far", "10.0.1.7", "a-rtr2"},
	}
	for _, m := range moves {
		topology.FloatingIPs = []fabric.FloatingIP{floatingIP("203.0.113.50", m.fixed, m.router)}
		apply(t, f, topology)
		wantGreeting(t, hostDial, "203.0.113.50", ports[m.name], m.name+" to 203.0.113.1")
	}
}

// A connection by a floating IP that now points elsewhere must not go on as if nothing had happened.
func TestMovedFloatingIPEndsItsConnections(t *testing.T) {
	f := newFabric(t)
	topology := site()
	topology.FloatingIPs = []fabric.FloatingIP{
		floatingIP("203.0.113.50", "10.0.0.5", "rtr"),
		floatingIP("203.0.113.51", "10.0.0.6", "rtr"),
	}
	apply(t, f, topology)
	moved := plug(t, f, "moved", port("moved-vip", "red", "10.0.0.5/24"))
	kept := plug(t, f, "kept", port("kept-vip", "red", "10.0.0.6/24"))
	movedConn := connection(t, hostDial, "203.0.113.50", serve(t, moved.Net, "10.0.0.5", "moved"))
	keptConn := connection(t, hostDial, "203.0.113.51", serve(t, kept.Net, "10.0.0.6", "kept"))

	topology.FloatingIPs[0] = floatingIP("203.0.113.50", "10.0.0.6", "rtr")
	apply(t, f, topology)
	stillAlive(t, keptConn)
	if _, err := movedConn.Write([]byte("ping\n")); err != nil {
		t.Fatal(err)
	}
	if line, err := readLine(movedConn); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("after the move the connection reads %q, %v; want a reset", line, err)
	}
}

func TestRouterLosesItsGateway(t *testing.T) {
	f := newFabric(t)
	topology := site()
	topology.FloatingIPs = []fabric.FloatingIP{floatingIP("203.0.113.50", "10.0.0.5", "rtr")}
	apply(t, f, topology)
	lb := plug(t, f, "lb", port("vip", "red", "10.0.0.5/24"))
	other := plugServer(t, f, "other", port("other", "blue", "10.0.1.9/24"))
	service := serve(t, lb.Net, "10.0.0.5", "lb")
	wantGreeting(t, hostDial, "203.0.113.50", service, "lb to 203.0.113.1")

	topology.Routers[0].Gateway = nil
	topology.FloatingIPs = nil
	apply(t, f, topology)
	wantGreeting(t, dialer(other.Net), "10.0.0.5", service, "lb to 10.0.1.9")
	if got, err := hear(t, hostDial, "203.0.113.50", service); err == nil {
		t.Errorf("the floating IP still answers %q", got)
	}
}

func TestRouterForwardsIPv6(t *testing.T) {
	f := newFabric(t)
	topology := site()
	r := &topology.Routers[0]
	r.Interfaces = append(r.Interfaces, leg("rtr-red6", "red", "fd00:a::1/64"), leg("rtr-blue6", "blue", "fd00:b::1/64"))
	apply(t, f, topology)
	lb := plug(t, f, "lb", port("vip", "red", "10.0.0.5/24", "fd00:a::5/64"))
	other := plugServer(t, f, "other", port("other", "blue", "10.0.1.9/24", "fd00:b::9/64"))
	four, six := serve(t, lb.Net, "10.0.0.5", "four"), serve(t, lb.Net, "fd00:a::5", "six")
	wantGreeting(t, dialer(other.Net), "10.0.0.5", four, "four to 10.0.1.9")
	wantGreeting(t, dialer(other.Net), "fd00:a::5", six, "six to fd00:b::9")
}

// TestRouterRoutes reaches a range behind a neighbour of the router, by one or two ways, for as long as there is a route.
func TestRouterRoutes(t *testing.T) {
	f := newFabric(t)
	topology := site()
	apply(t, f, topology)
	behind := func(name, own string, also ...string) (fabric.Server, uint16) {
		p := port(name, "red", own)
		for _, address := range also {
			p.Addresses = append(p.Addresses, netip.MustParsePrefix(address))
		}
		server := plugServer(t, f, name, p)
		return server, serve(t, server.Net, netip.MustParsePrefix(also[0]).Addr().String(), name)
	}
	_, first := behind("first", "10.0.0.9/24", "10.9.0.5/32")
	_, second := behind("second", "10.0.0.10/24", "10.9.1.5/32")
	other := plugServer(t, f, "other", port("other", "blue", "10.0.1.9/24"))
	route := func(destination, hop string) fabric.Route {
		return fabric.Route{Destination: netip.MustParsePrefix(destination), NextHop: netip.MustParseAddr(hop)}
	}
	hear := func(address string, port uint16) error {
		_, err := hear(t, dialer(other.Net), address, port)
		return err
	}

	if hear("10.9.0.5", first) == nil {
		t.Error("the range is reached without a route")
	}
	topology.Routers[0].Routes = []fabric.Route{route("10.9.0.0/24", "10.0.0.9"), route("10.9.1.0/24", "10.0.0.10")}
	apply(t, f, topology)
	wantGreeting(t, dialer(other.Net), "10.9.0.5", first, "first to 10.0.1.9")
	wantGreeting(t, dialer(other.Net), "10.9.1.5", second, "second to 10.0.1.9")

	// A range by two ways, and another by one of them only.
	topology.Routers[0].Routes = []fabric.Route{
		route("10.9.0.0/24", "10.0.0.9"), route("10.9.8.0/24", "10.0.0.9"), route("10.9.8.0/24", "10.0.0.10"),
	}
	apply(t, f, topology)
	wantGreeting(t, dialer(other.Net), "10.9.0.5", first, "first to 10.0.1.9")
	if hear("10.9.1.5", second) == nil {
		t.Error("the range is reached although its route is gone")
	}
	if got := routesIn(t, f, roleRouter, "rtr"); got != "10.9.0.0/24 [10.0.0.9], 10.9.8.0/24 [10.0.0.9 10.0.0.10]" {
		t.Errorf("routes: %s", got)
	}
	topology.Routers[0].Routes = nil
	apply(t, f, topology)
	if got := routesIn(t, f, roleRouter, "rtr"); got != "" {
		t.Errorf("routes that should be gone: %s", got)
	}
	wantGreeting(t, dialer(other.Net), "203.0.113.1", serve(t, f.spaces.home, "203.0.113.1", "host"), "host to 203.0.113.2")
}

// A route of one tenant's router to another tenant's, by the external network, leads nowhere: what is inside is reached by a
// floating IP only.
func TestRouterKeepsNeighboursOut(t *testing.T) {
	second := leg("rtr2-out", "public", "203.0.113.3/24")
	f := newFabric(t)
	topology := site()
	topology.Routers[0].Interfaces = topology.Routers[0].Interfaces[:1]
	topology.Routers = append(topology.Routers, fabric.Router{
		ID: "rtr2", Interfaces: []fabric.RouterPort{leg("rtr2-blue", "blue", "10.0.1.1/24")}, Gateway: &second, SNAT: true,
		Routes: []fabric.Route{{Destination: netip.MustParsePrefix("10.0.0.0/24"), NextHop: netip.MustParseAddr("203.0.113.2")}},
	})
	topology.FloatingIPs = []fabric.FloatingIP{floatingIP("203.0.113.50", "10.0.0.5", "rtr")}
	apply(t, f, topology)
	victim := plug(t, f, "victim", port("victim", "red", "10.0.0.5/24"))
	attacker := plugServer(t, f, "attacker", port("attacker", "blue", "10.0.1.9/24"))
	service := serve(t, victim.Net, "10.0.0.5", "victim")

	wantGreeting(t, dialer(attacker.Net), "203.0.113.50", service, "victim to 203.0.113.3")
	if got, err := hear(t, dialer(attacker.Net), "10.0.0.5", service); err == nil {
		t.Errorf("an inside address answers a neighbour: %q", got)
	}
}

// routesIn are the static routes in a namespace.
func routesIn(t *testing.T, f *Fabric, r role, id string) string {
	t.Helper()
	space, err := f.spaces.make(r, id)
	if err != nil {
		t.Fatal(err)
	}
	h, err := space.netlink()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	have, err := staticRoutes(h)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{}
	for destination, hops := range have {
		texts = append(texts, fmt.Sprint(destination, " ", hops))
	}
	slices.Sort(texts)
	return strings.Join(texts, ", ")
}

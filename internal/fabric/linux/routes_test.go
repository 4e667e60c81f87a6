package linux

import (
	"net/netip"
	"testing"

	"poise/internal/fabric"
)

func routeTo(destination, hop string) fabric.Route {
	return fabric.Route{Destination: netip.MustParsePrefix(destination), NextHop: netip.MustParseAddr(hop)}
}

// A port's routes lead to what is behind a neighbour, of both IP versions, for as long as it has them: after a crash and a new
// start as well.
func TestRoutesOfPorts(t *testing.T) {
	f := newFabric(t)
	topology := fabric.Topology{
		Networks: []fabric.Network{{ID: "red", MTU: 1450}, {ID: "blue", MTU: 1450}},
		Routers: []fabric.Router{{ID: "rtr", Interfaces: []fabric.RouterPort{
			leg("rtr-red", "red", "10.0.0.9/24"), leg("rtr-blue", "blue", "10.9.0.1/24"),
			leg("rtr-red6", "red", "fd00:a::9/64"), leg("rtr-blue6", "blue", "fd00:b::1/64"),
		}}},
	}
	apply(t, f, topology)
	vip := port("vip", "red", "10.0.0.5/24", "fd00:a::5/64")
	vip.Gateways = nil
	member := plugServer(t, f, "member", port("member", "blue", "10.9.0.7/24", "fd00:b::7/64"))
	four, six := serve(t, member.Net, "10.9.0.7", "four"), serve(t, member.Net, "fd00:b::7", "six")
	isReached := func(f *Fabric, lb fabric.Endpoint) {
		t.Helper()
		wantGreeting(t, dialer(lb.Net), "10.9.0.7", four, "four to 10.0.0.5")
		wantGreeting(t, dialer(lb.Net), "fd00:b::7", six, "six to fd00:a::5")
		if got := routesIn(t, f, roleLoadBalancer, "lb"); got != "10.9.0.0/24 [10.0.0.9], fd00:b::/64 [fd00:a::9]" {
			t.Errorf("routes: %s", got)
		}
	}
	isAway := func(f *Fabric, lb fabric.Endpoint) {
		t.Helper()
		isShut(t, dialer(lb.Net), "10.9.0.7", four)
		isShut(t, dialer(lb.Net), "fd00:b::7", six)
		if got := routesIn(t, f, roleLoadBalancer, "lb"); got != "" {
			t.Errorf("routes that should be gone: %s", got)
		}
	}
	without := vip
	vip.Routes = []fabric.Route{routeTo("10.9.0.0/24", "10.0.0.9"), routeTo("fd00:b::/64", "fd00:a::9")}

	isAway(f, plug(t, f, "lb", without))
	isReached(f, plug(t, f, "lb", vip))
	isAway(f, plug(t, f, "lb", without))
	isReached(f, plug(t, f, "lb", vip))
	crash(f)
	f = restart(t, f.tag)
	apply(t, f, topology)
	isAway(f, plug(t, f, "lb", without)) // the route was taken away while nobody watched

	client := port("client", "red", "10.0.0.8/24")
	client.Routes = vip.Routes[:1]
	wantGreeting(t, dialer(plugServer(t, f, "client", client).Net), "10.9.0.7", four, "four to 10.0.0.8")
}

// Where two ports have a route to one destination the first port's counts, and the other's when it is gone. Whatever a user
// writes for a destination, the namespace is made.
func TestRoutesOfSeveralPorts(t *testing.T) {
	f := newFabric(t)
	apply(t, f, fabric.Topology{Networks: []fabric.Network{{ID: "red", MTU: 1450}, {ID: "blue", MTU: 1450}}})
	vip, inside := port("vip", "red", "10.0.0.5/24"), port("inside", "blue", "10.0.1.5/24", "fd00:b::5/64")
	vip.Routes = []fabric.Route{routeTo("10.9.0.0/24", "10.0.0.9"), routeTo("10.9.0.0/24", "10.0.0.10")}
	inside.Routes = []fabric.Route{routeTo("10.9.0.0/24", "10.0.1.9"), routeTo("10.9.1.0/24", "10.0.1.9")}
	for _, step := range []struct {
		ports []fabric.Port
		want  string
	}{
		{[]fabric.Port{vip, inside}, "10.9.0.0/24 [10.0.0.9 10.0.0.10], 10.9.1.0/24 [10.0.1.9]"},
		{[]fabric.Port{inside}, "10.9.0.0/24 [10.0.1.9], 10.9.1.0/24 [10.0.1.9]"},
		{[]fabric.Port{vip}, "10.9.0.0/24 [10.0.0.9 10.0.0.10]"},
	} {
		plug(t, f, "lb", step.ports...)
		if got := routesIn(t, f, roleLoadBalancer, "lb"); got != step.want {
			t.Errorf("routes: %s, want %s", got, step.want)
		}
	}
	inside.Routes = nil
	for _, odd := range []string{
		"0.0.0.0/1", "0.0.0.0/8", "10.0.1.0/24", "10.0.1.5/32", "10.0.1.128/25", "127.0.0.0/8", "224.0.0.0/4",
		"255.255.255.255/32",
	} {
		inside.Routes = append(inside.Routes, routeTo(odd, "10.0.1.9"))
	}
	for _, odd := range []string{"::/1", "::1/128", "fd00:b::/64", "fd00:b::5/128", "fd00:b:0:0:1::/80", "ff00::/8", "ff02::1/128"} {
		inside.Routes = append(inside.Routes, routeTo(odd, "fd00:b::9"))
	}
	lb := plug(t, f, "lb", vip, inside)
	member := plugServer(t, f, "member", port("member", "blue", "10.0.1.9/24", "fd00:b::9/64"))
	wantGreeting(t, dialer(lb.Net), "10.0.1.9", serve(t, member.Net, "10.0.1.9", "four"), "four to 10.0.1.5")
	wantGreeting(t, dialer(lb.Net), "fd00:b::9", serve(t, member.Net, "fd00:b::9", "six"), "six to fd00:b::5")
	plug(t, f, "lb", vip, inside)
}

package linux

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/fabric"
)

func TestOverlappingAddressesBothServe(t *testing.T) {
	f := newFabric(t)
	apply(t, f, fabric.Topology{Networks: []fabric.Network{{ID: "red", MTU: 1450}, {ID: "blue", MTU: 1450}}})
	for _, network := range []string{"red", "blue"} {
		lb := plug(t, f, "lb-"+network, port("vip-"+network, network, "10.0.0.5/24"))
		client := plugServer(t, f, "client-"+network, port("client-"+network, network, "10.0.0.9/24"))
		service := serve(t, lb.Net, "10.0.0.5", network)
		wantGreeting(t, dialer(client.Net), "10.0.0.5", service, network+" to 10.0.0.9")
	}
}

func TestIPv6(t *testing.T) {
	f := newFabric(t)
	apply(t, f, fabric.Topology{Networks: []fabric.Network{{ID: "net", MTU: 1450}}})
	lb := plug(t, f, "lb", port("vip", "net", "10.0.0.5/24", "fd00::5/64"))
	client := plugServer(t, f, "client", port("client", "net", "fd00::9/64"))
	service := serve(t, lb.Net, "fd00::5", "six")
	wantGreeting(t, dialer(client.Net), "fd00::5", service, "six to fd00::9")
}

func TestExternalNetworkIsReachedFromTheHost(t *testing.T) {
	f := newFabric(t)
	topology := site()
	topology.Networks[0].Subnets = append(topology.Networks[0].Subnets, fabric.Subnet{
		ID: "public-six", CIDR: netip.MustParsePrefix("2001:db8::/64"), Gateway: netip.MustParseAddr("2001:db8::1"),
	})
	apply(t, f, topology)
	lb := plug(t, f, "lb", port("vip", "public", "203.0.113.7/24", "2001:db8::7/64"))
	wantGreeting(t, hostDial, "203.0.113.7", serve(t, lb.Net, "203.0.113.7", "four"), "four to 203.0.113.1")
	wantGreeting(t, hostDial, "2001:db8::7", serve(t, lb.Net, "2001:db8::7", "six"), "six to 2001:db8::1")

	topology.Networks[0].External = false
	topology.Routers = nil
	apply(t, f, topology)
	if diff := cmp.Diff([]string{f.spaces.name(roleLoadBalancer, "lb"), f.lan.name}, remains(t, f)); diff != "" {
		t.Errorf("on the host (-want +got):\n%s", diff)
	}
}

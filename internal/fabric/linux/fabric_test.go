package linux

import (
	"testing"

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

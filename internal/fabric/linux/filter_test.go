package linux

import (
	"net/netip"
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
	_ = goes.SetDeadline(time.Now().Add(300 * time.Millisecond))
	_, _ = goes.Write([]byte("?"))
	if n, err := goes.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes over a connection that is no longer let through", n)
	}
	plug(t, f, "lb", vip)
	stillAlive(t, stays)
	wantGreeting(t, dialer(far.Net), "10.0.0.5", service, "lb to 10.0.0.9")
}

package linux

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"poise/internal/fabric"
)

// inSpace describes the card of a port as the kernel has it.
func inSpace(t *testing.T, f *Fabric, lb, portID string) []string {
	t.Helper()
	space, err := f.spaces.find(roleLoadBalancer, lb)
	if err != nil || space == nil {
		t.Fatalf("namespace of %s: %v", lb, err)
	}
	h, err := space.netlink()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	link, err := findLink(h, shortName(portID))
	if link == nil || err != nil {
		return nil
	}
	lines := []string{fmt.Sprintf("mac %s mtu %d up %t", link.Attrs().HardwareAddr, link.Attrs().MTU, isUp(link))}
	found, err := addresses(h, link)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range found {
		if !p.Addr().IsLinkLocalUnicast() {
			lines = append(lines, p.String())
		}
	}
	routes, err := defaultRoutes(h)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		if r.link == link.Attrs().Index {
			lines = append(lines, "default by "+r.gateway.String())
		}
	}
	return lines
}

func TestPlugChangesOnlyWhatDiffers(t *testing.T) {
	f := newFabric(t)
	apply(t, f, fabric.Topology{Networks: []fabric.Network{{ID: "red"}, {ID: "blue"}}})
	base := port("vip", "red", "10.0.0.5/24")
	lb := plug(t, f, "lb", base)
	client := plugServer(t, f, "client", port("client", "red", "10.0.0.9/24"))
	c := connection(t, dialer(client.Net), "10.0.0.5", serve(t, lb.Net, "10.0.0.5", "lb"))

	changed := base
	changed.MTU = 1400
	changed.MAC = macOf("another")
	changed.Addresses = append(changed.Addresses, netip.MustParsePrefix("10.0.0.6/24"), netip.MustParsePrefix("fd00::5/64"))
	changed.Gateways = []netip.Addr{netip.MustParseAddr("10.0.0.254"), netip.MustParseAddr("fd00::1")}
	plug(t, f, "lb", changed, port("second", "blue", "10.0.1.5/24"))
	stillAlive(t, c)

	want := []string{
		fmt.Sprintf("mac %s mtu 1400 up true", macOf("another")),
		"10.0.0.5/24", "10.0.0.6/24", "fd00::5/64",
		"default by 10.0.0.254", "default by fd00::1",
	}
	if diff := cmp.Diff(want, inSpace(t, f, "lb", "vip")); diff != "" {
		t.Errorf("card (-want +got):\n%s", diff)
	}
	if inSpace(t, f, "lb", "second") == nil {
		t.Error("the second card is missing")
	}

	changed.Addresses, changed.Gateways = changed.Addresses[:1], changed.Gateways[:1]
	plug(t, f, "lb", changed)
	stillAlive(t, c)
	want = []string{want[0], "10.0.0.5/24", "default by 10.0.0.254"}
	if diff := cmp.Diff(want, inSpace(t, f, "lb", "vip")); diff != "" {
		t.Errorf("card (-want +got):\n%s", diff)
	}
	if got := inSpace(t, f, "lb", "second"); got != nil {
		t.Errorf("the second card is still there: %v", got)
	}
}

// An address that moves to another card is reached there at once: the client's neighbour entry is stale.
func TestAddressMovesBetweenLoadBalancers(t *testing.T) {
	for _, prefix := range []string{"10.0.0.5/24", "fd00::5/64"} {
		t.Run(prefix, func(t *testing.T) {
			f := newFabric(t)
			apply(t, f, fabric.Topology{Networks: []fabric.Network{{ID: "net"}}})
			client := plugServer(t, f, "client", port("client", "net", "10.0.0.9/24", "fd00::9/64"))
			vip := netip.MustParsePrefix(prefix).Addr().String()
			for _, name := range []string{"first", "second", "third"} {
				lb := plug(t, f, name, port(name+"-vip", "net", prefix))
				got, err := hear(t, dialer(client.Net), vip, serve(t, lb.Net, vip, name))
				if err != nil {
					t.Fatalf("%s: %q, %v", name, got, err)
				}
				if err := f.Unplug(t.Context(), name); err != nil {
					t.Fatal("Unplug:", err)
				}
			}
		})
	}
}

func TestNetworkOfAPortChanges(t *testing.T) {
	f := newFabric(t)
	apply(t, f, fabric.Topology{Networks: []fabric.Network{{ID: "red"}, {ID: "blue"}}})
	client := plugServer(t, f, "client", port("client", "blue", "10.0.0.9/24"))
	plug(t, f, "lb", port("vip", "red", "10.0.0.5/24"))
	lb := plug(t, f, "lb", port("vip", "blue", "10.0.0.5/24"))
	wantGreeting(t, dialer(client.Net), "10.0.0.5", serve(t, lb.Net, "10.0.0.5", "lb"), "lb to 10.0.0.9")
}

func TestPlugInUnknownNetwork(t *testing.T) {
	f := newFabric(t)
	_, err := f.Plug(t.Context(), "lb", []fabric.Port{port("vip", "nowhere", "10.0.0.5/24")})
	if !errors.As(err, new(netlink.LinkNotFoundError)) {
		t.Errorf("Plug: %v", err)
	}
}

func TestApplySkipsWhatItCannotMake(t *testing.T) {
	f := newFabric(t)
	topology := site()
	topology.Routers = append([]fabric.Router{{
		ID: "impossible", Interfaces: []fabric.RouterPort{leg("leg", "nowhere", "10.0.0.1/24")},
	}}, topology.Routers...)
	if err := f.Apply(t.Context(), topology); err == nil {
		t.Error("Apply with a router on an unknown network: no error")
	}
	server := plugServer(t, f, "server", port("server", "red", "10.0.0.9/24"))
	outside := serve(t, f.spaces.home, "203.0.113.1", "host")
	wantGreeting(t, dialer(server.Net), "203.0.113.1", outside, "host to 203.0.113.2")

	topology.Routers = topology.Routers[1:]
	apply(t, f, topology)
}

func TestParallelPlugs(t *testing.T) {
	f := newFabric(t)
	apply(t, f, fabric.Topology{Networks: []fabric.Network{{ID: "net"}}})
	var group errgroup.Group
	for i := range 16 {
		group.Go(func() error {
			id := fmt.Sprintf("lb-%d", i%8) // two at a time for each
			_, err := f.Plug(t.Context(), id, []fabric.Port{port(id+"-vip", "net", fmt.Sprintf("10.0.0.%d/24", 10+i%8))})
			if err != nil || i%4 != 0 {
				return err
			}
			return f.Unplug(t.Context(), id)
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

func TestCheckSubnet(t *testing.T) {
	f := newFabric(t)
	apply(t, f, site()) // the host has 203.0.113.1/24
	tests := []struct {
		name, cidr string
		external   bool
		ok         bool
	}{
		{"tenant", "10.0.0.0/24", false, true},
		{"tenant, as the host's", "203.0.113.0/24", false, true},
		{"external", "198.51.100.0/24", true, true},
		{"external, IPv6", "2001:db8::/64", true, true},
		{"external, as the host's", "203.0.113.0/25", true, false},
		{"external around the host's", "203.0.0.0/16", true, false},
		{"loopback", "127.0.0.0/24", false, false},
		{"everything", "0.0.0.0/0", false, false},
		{"multicast", "239.0.0.0/8", false, false},
		{"link-local IPv6", "fe80::/64", false, false},
		{"mapped IPv4", "::ffff:10.0.0.0/120", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := f.CheckSubnet("new", netip.MustParsePrefix(tt.cidr), tt.external)
			if (err == nil) != tt.ok {
				t.Fatalf("CheckSubnet: %v", err)
			}
			if err != nil && !errors.As(err, new(*fabric.UnsupportedSubnetError)) {
				t.Errorf("CheckSubnet: %T, want an UnsupportedSubnetError", err)
			}
		})
	}
}

func TestTag(t *testing.T) {
	for _, tag := range []string{"", "ABC", "1234567", "../1", "x"} {
		if _, err := New(t.Context(), Config{Tag: tag}); err == nil {
			t.Errorf("New with tag %q: no error", tag)
		}
	}
}

func BenchmarkSocket(b *testing.B) {
	f := newFabric(b)
	lb := plug(b, f, "lb")
	for _, n := range []struct {
		name   string
		socket func(family, kind int) (int, error)
	}{
		{"in a namespace", lb.Net.Socket},
		{"plain", func(family, kind int) (int, error) { return unix.Socket(family, kind, 0) }},
	} {
		b.Run(n.name, func(b *testing.B) {
			for b.Loop() {
				fd, err := n.socket(unix.AF_INET, unix.SOCK_STREAM)
				if err != nil {
					b.Fatal(err)
				}
				_ = unix.Close(fd)
			}
		})
	}
}

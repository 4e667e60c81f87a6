package linux

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"poise/internal/fabric"
)

// playground is the site with a load balancer behind a floating IP, and a connection to it from the host.
func playground(t *testing.T, f *Fabric) (topology fabric.Topology, vip fabric.Port, alive func()) {
	t.Helper()
	topology = site()
	topology.FloatingIPs = []fabric.FloatingIP{floatingIP("203.0.113.50", "10.0.0.5", "rtr")}
	apply(t, f, topology)
	vip = port("vip", "red", "10.0.0.5/24")
	lb := plug(t, f, "lb", vip)
	c := connection(t, hostDial, "203.0.113.50", serve(t, lb.Net, "10.0.0.5", "lb"))
	return topology, vip, func() { t.Helper(); stillAlive(t, c) }
}

func TestTwiceIsOnce(t *testing.T) {
	f := newFabric(t)
	topology, vip, alive := playground(t, f)
	before := photograph(t, f)
	for range 3 {
		apply(t, f, topology)
		plug(t, f, "lb", vip)
		alive()
	}
	if diff := cmp.Diff(before, photograph(t, f)); diff != "" {
		t.Errorf("repetition changed the kernel (-before +after):\n%s", diff)
	}
}

// photograph lists the interfaces of the switch with their indexes, which tell an interface from its successor.
func photograph(t *testing.T, f *Fabric) []string {
	t.Helper()
	links, err := dump(f.bridge.LinkList)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, l := range links {
		all = append(all, fmt.Sprintf("%d %s in %d mtu %d", l.Attrs().Index, l.Attrs().Name, l.Attrs().MasterIndex, l.Attrs().MTU))
	}
	slices.Sort(all)
	return all
}

func TestAdoptionAfterCrash(t *testing.T) {
	f := newFabric(t)
	topology, vip, alive := playground(t, f)
	before := photograph(t, f)
	crash(f)
	alive()

	f = restart(t, f.tag)
	apply(t, f, topology)
	lb := plug(t, f, "lb", vip)
	alive()
	if diff := cmp.Diff(before, photograph(t, f)); diff != "" {
		t.Errorf("adoption changed the kernel (-before +after):\n%s", diff)
	}
	wantGreeting(t, hostDial, "203.0.113.50", serve(t, lb.Net, "10.0.0.5", "again"), "again to 203.0.113.1")
}

func TestLeftoversOfACrashGo(t *testing.T) {
	f := newFabric(t)
	topology, vip, alive := playground(t, f)
	plug(t, f, "unwanted", port("unwanted-vip", "blue", "10.0.1.5/24"))
	plugServer(t, f, "unwanted", port("unwanted-srv", "blue", "10.0.1.6/24"))
	topology.Networks = append(topology.Networks, fabric.Network{ID: "public2", External: true, Subnets: []fabric.Subnet{{
		CIDR: netip.MustParsePrefix("198.51.100.0/24"), Gateway: netip.MustParseAddr("198.51.100.1"),
	}}})
	topology.Routers = append(topology.Routers, fabric.Router{ID: "unwanted"})
	apply(t, f, topology)
	crash(f)

	f = restart(t, f.tag)
	topology.Networks = slices.Delete(topology.Networks, 2, 4) // blue and public2
	topology.Routers = topology.Routers[:1]
	topology.Routers[0].Interfaces = topology.Routers[0].Interfaces[:1]
	apply(t, f, topology)
	if err := errors.Join(f.Prune(t.Context(), []string{"lb"}), f.PruneServers(t.Context(), nil)); err != nil {
		t.Fatal("Prune:", err)
	}
	plug(t, f, "lb", vip)
	alive()
	want := []string{f.hostLink(shortName("public")), f.spaces.name(roleLoadBalancer, "lb"), f.spaces.name(roleRouter, "rtr"), f.lan.name}
	slices.Sort(want)
	if diff := cmp.Diff(want, remains(t, f)); diff != "" {
		t.Errorf("on the host (-want +got):\n%s", diff)
	}
	for _, l := range photograph(t, f) {
		if strings.Contains(l, shortName("blue")) || strings.Contains(l, shortName("public2")) {
			t.Errorf("the switch still has %s", l)
		}
	}
}

func TestAdoptedRouterLosesItsLegs(t *testing.T) {
	f := newFabric(t)
	topology := site()
	apply(t, f, topology)
	crash(f)

	f = restart(t, f.tag)
	topology.Routers = []fabric.Router{{ID: "rtr"}}
	apply(t, f, topology)
	for _, l := range photograph(t, f) {
		if strings.Contains(l, "rtr-") {
			t.Errorf("the switch still has %s", l)
		}
	}
}

func TestHalfMadeNamespaceIsCompleted(t *testing.T) {
	f := newFabric(t)
	apply(t, f, fabric.Topology{Networks: []fabric.Network{{ID: "net"}}})
	vip := port("vip", "net", "10.0.0.5/24")
	client := plugServer(t, f, "client", port("client", "net", "10.0.0.9/24"))
	halves := map[string]func() error{
		"file without mount":      func() error { return os.WriteFile(spacePath(f, "lb"), nil, 0o444) },
		"namespace without cards": func() error { return f.spaces.create(f.spaces.name(roleLoadBalancer, "lb")) },
		"card without address": func() error {
			bare := vip
			bare.Addresses, bare.Gateways = nil, nil
			_, err := f.Plug(t.Context(), "lb", []fabric.Port{bare})
			return err
		},
		"card elsewhere": func() error {
			_, err := f.Plug(t.Context(), "earlier-place", []fabric.Port{vip})
			return err
		},
	}
	for name, half := range halves {
		t.Run(name, func(t *testing.T) {
			if err := half(); err != nil {
				t.Fatal(err)
			}
			lb := plug(t, f, "lb", vip)
			wantGreeting(t, dialer(client.Net), "10.0.0.5", serve(t, lb.Net, "10.0.0.5", "lb"), "lb to 10.0.0.9")
			if err := f.Unplug(t.Context(), "lb"); err != nil {
				t.Error("Unplug:", err)
			}
		})
	}
}

func TestHalfRemovedNamespaceGoes(t *testing.T) {
	f := newFabric(t)
	if err := os.WriteFile(spacePath(f, "half"), nil, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Prune(t.Context(), nil), f.PruneServers(t.Context(), nil)); err != nil {
		t.Error("Prune:", err)
	}
	if diff := cmp.Diff([]string{f.lan.name}, remains(t, f)); diff != "" {
		t.Errorf("on the host (-want +got):\n%s", diff)
	}
	if err := f.Unplug(t.Context(), "never-plugged"); err != nil {
		t.Error("Unplug of an unknown load balancer:", err)
	}
}

func TestIDsStayInTheDirectory(t *testing.T) {
	f := newFabric(t)
	victim := filepath.Join(directory, "victim")
	if err := os.WriteFile(victim, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"", "..", "a/b", "x/../victim", "-x/../victim"} {
		if _, err := f.Plug(t.Context(), id, nil); err == nil {
			t.Errorf("Plug of load balancer %q: no error", id)
		}
		if err := f.Unplug(t.Context(), id); err == nil {
			t.Errorf("Unplug of load balancer %q: no error", id)
		}
	}
	if _, err := os.Stat(victim); err != nil {
		t.Error(err)
	}
}

func spacePath(f *Fabric, id string) string {
	return filepath.Join(directory, f.spaces.name(roleLoadBalancer, id))
}

func TestCloseLeavesNothing(t *testing.T) {
	f := newFabric(t)
	playground(t, f)
	plugServer(t, f, "server", port("server", "blue", "10.0.1.6/24"))
	neighbour := newFabric(t) // with another tag
	if err := f.Close(); err != nil {
		t.Fatal("Close:", err)
	}
	if left := remains(t, f); len(left) > 0 {
		t.Errorf("on the host: %v", left)
	}
	mounts, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), f.spaces.prefix) {
		t.Errorf("mounts remain:\n%s", mounts)
	}
	if diff := cmp.Diff([]string{neighbour.lan.name}, remains(t, neighbour)); diff != "" {
		t.Errorf("of the other tag (-want +got):\n%s", diff)
	}
	if err := f.Close(); err != nil {
		t.Error("second Close:", err)
	}
	if _, err := f.Plug(t.Context(), "lb", nil); err == nil {
		t.Error("Plug after Close: no error")
	}
}

func TestOthersAreNamedAndLeftAlone(t *testing.T) {
	other := newFabric(t)
	var log bytes.Buffer
	f, err := New(t.Context(), Config{Tag: fmt.Sprintf("%x", tags.Add(1)), Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error("Close:", err)
	}
	if !strings.Contains(log.String(), other.tag) {
		t.Errorf("the other tag %s is not named: %q", other.tag, log.String())
	}
	if diff := cmp.Diff([]string{other.lan.name}, remains(t, other)); diff != "" {
		t.Errorf("of the other tag (-want +got):\n%s", diff)
	}
}

// Frames between tenants' ports are not shown to the rules of the switch's IP layer.
func TestBridgesPassByTheFirewall(t *testing.T) {
	f := newFabric(t)
	for _, name := range []string{"iptables", "ip6tables", "arptables"} {
		err := f.lan.enter(func() error {
			value, err := os.ReadFile("/proc/sys/net/bridge/bridge-nf-call-" + name)
			if errors.Is(err, fs.ErrNotExist) { // no br_netfilter here
				return nil
			}
			if string(value) != "0\n" {
				err = errors.Join(err, fmt.Errorf("bridge-nf-call-%s is %q", name, value))
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestUnpluggedSocketsAreRefused(t *testing.T) {
	f := newFabric(t)
	apply(t, f, fabric.Topology{Networks: []fabric.Network{{ID: "net"}}})
	lb := plug(t, f, "lb", port("vip", "net", "10.0.0.5/24"))
	if err := f.Unplug(t.Context(), "lb"); err != nil {
		t.Fatal("Unplug:", err)
	}
	if fd, err := lb.Net.Socket(unix.AF_INET, unix.SOCK_STREAM); err == nil {
		_ = unix.Close(fd)
		t.Error("Socket after Unplug: no error")
	}
}

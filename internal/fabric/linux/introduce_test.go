package linux

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
)

// Routers and the host have the load balancers of their networks as neighbours that do not count against the kernel's limit,
// and load balancers their gateways, whoever comes first, and after a crash.
func TestNeighboursAreIntroduced(t *testing.T) {
	f := newFabric(t)
	topology := site()
	plugAll := func() {
		plug(t, f, "inside", port("inside-vip", "red", "10.0.0.5/24"))
		plug(t, f, "outside", port("outside-vip", "public", "203.0.113.77/24", "2001:db8::77/64"))
	}
	check := func(when string) {
		t.Helper()
		for where, want := range map[string][]string{
			"rtr": {"10.0.0.5", "2001:db8::77", "203.0.113.77"}, "host": {"2001:db8::77", "203.0.113.77"}, "inside": {"10.0.0.1"},
		} {
			var got []string
			switch where {
			case "rtr":
				got = introduced(t, spaceOf(t, f, roleRouter, "rtr"))
			case "host":
				got = introduced(t, f.spaces.home)
			default:
				got = introduced(t, spaceOf(t, f, roleLoadBalancer, where))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: neighbours of %s are %v, want %v", when, where, got, want)
			}
		}
	}
	apply(t, f, topology)
	plugAll()
	check("at first")

	crash(f)
	f = restart(t, f.tag)
	apply(t, f, topology)
	plugAll()
	check("after a crash")

	if err := f.Unplug(t.Context(), "outside"); err != nil {
		t.Fatal(err)
	}
	if got := introduced(t, f.spaces.home); len(got) > 0 {
		t.Errorf("the host still has %v as neighbours", got)
	}

	routerless := topology
	routerless.Routers = nil
	apply(t, f, routerless)
	plugAll()
	apply(t, f, topology)
	if got, want := introduced(t, spaceOf(t, f, roleRouter, "rtr")), []string{"10.0.0.5", "2001:db8::77", "203.0.113.77"}; !slices.Equal(got, want) {
		t.Errorf("a router that comes last has %v as neighbours, want %v", got, want)
	}
}

func spaceOf(t *testing.T, f *Fabric, r role, id string) *namespace {
	t.Helper()
	space, err := f.spaces.find(r, id)
	if err == nil && space == nil {
		err = fmt.Errorf("no namespace %s", f.spaces.name(r, id))
	}
	if err != nil {
		t.Fatal(err)
	}
	return space
}

// introduced are the neighbours that were given to the namespace, in order.
func introduced(t *testing.T, space *namespace) (all []string) {
	t.Helper()
	h, err := space.netlink()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		found, err := dump(func() ([]netlink.Neigh, error) { return h.NeighList(0, family) })
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range found {
			if address, ok := netip.AddrFromSlice(n.IP); ok && n.Flags&netlink.NTF_EXT_LEARNED != 0 {
				all = append(all, address.Unmap().String())
			}
		}
	}
	slices.Sort(all)
	return all
}

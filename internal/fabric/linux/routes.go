package linux

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"poise/internal/fabric"
)

// staticMetric is the metric of a router's own routes: a default route among them goes before that of the gateway.
const staticMetric = 50

// setStaticRoutes makes the router's namespace have exactly these routes beside those of its cards. They are marked with the
// protocol "static", by which they are found again. Several routes to one destination share its traffic.
func setStaticRoutes(space *namespace, routes []fabric.Route) error {
	h, err := space.netlink()
	if err != nil {
		return err
	}
	defer h.Close()
	want := map[netip.Prefix][]netip.Addr{}
	for _, r := range routes {
		want[r.Destination.Masked()] = append(want[r.Destination.Masked()], r.NextHop)
	}
	have, err := staticRoutes(h)
	if err != nil {
		return err
	}
	for destination, hops := range have {
		if _, wanted := want[destination]; wanted {
			continue
		}
		if err := h.RouteDel(staticRoute(destination, hops)); err != nil {
			return fmt.Errorf("removal of the route to %s: %w", destination, err)
		}
	}
	for destination, hops := range want {
		slices.SortFunc(hops, netip.Addr.Compare)
		if slices.Equal(hops, have[destination]) {
			continue
		}
		if err := h.RouteReplace(staticRoute(destination, hops)); err != nil {
			return fmt.Errorf("route to %s by %v: %w", destination, hops, err)
		}
	}
	return nil
}

// staticRoutes are the next hops of each destination, in order.
func staticRoutes(h *netlink.Handle) (map[netip.Prefix][]netip.Addr, error) {
	all := map[netip.Prefix][]netip.Addr{}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		found, err := dump(func() ([]netlink.Route, error) {
			return h.RouteListFiltered(family, &netlink.Route{Protocol: unix.RTPROT_STATIC}, netlink.RT_FILTER_PROTOCOL)
		})
		if err != nil {
			return nil, fmt.Errorf("list of static routes: %w", err)
		}
		for _, r := range found {
			destination := destinationOf(r, family)
			for _, gateway := range append([]net.IP{r.Gw}, gatewaysOf(r)...) {
				if hop, ok := netip.AddrFromSlice(gateway); ok {
					all[destination] = append(all[destination], hop.Unmap())
				}
			}
			slices.SortFunc(all[destination], netip.Addr.Compare)
		}
	}
	return all, nil
}

func gatewaysOf(r netlink.Route) []net.IP {
	hops := make([]net.IP, len(r.MultiPath))
	for i, hop := range r.MultiPath {
		hops[i] = hop.Gw
	}
	return hops
}

// destinationOf reads a default route, which the kernel tells without a destination, as well.
func destinationOf(r netlink.Route, family int) netip.Prefix {
	if r.Dst == nil && family == netlink.FAMILY_V6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	if r.Dst == nil {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	address, _ := netip.AddrFromSlice(r.Dst.IP)
	ones, _ := r.Dst.Mask.Size()
	return netip.PrefixFrom(address.Unmap(), ones)
}

func staticRoute(destination netip.Prefix, hops []netip.Addr) *netlink.Route {
	r := &netlink.Route{
		Dst:      &net.IPNet{IP: destination.Addr().AsSlice(), Mask: net.CIDRMask(destination.Bits(), destination.Addr().BitLen())},
		Protocol: unix.RTPROT_STATIC, Priority: staticMetric,
	}
	if len(hops) == 1 {
		r.Gw = hops[0].AsSlice()
		return r
	}
	for _, hop := range hops {
		r.MultiPath = append(r.MultiPath, &netlink.NexthopInfo{Gw: hop.AsSlice()})
	}
	return r
}

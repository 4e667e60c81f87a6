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

const (
	// staticMetric is the metric of static routes: what is on the link itself goes first, also in IPv6, where the kernel gives
	// it 256 (IP6_RT_PRIO_ADDRCONF).
	staticMetric = 1024
	// staticDefaultMetric has a default route among a router's own routes go before that of its gateway.
	staticDefaultMetric = 50
)

// routesOf are the routes of the ports. Where ports differ about the way to one destination, the first counts.
func routesOf(ports []fabric.Port) []fabric.Route {
	var all []fabric.Route
	for _, p := range ports {
		before := all
		for _, r := range p.Routes {
			if !slices.ContainsFunc(before, func(other fabric.Route) bool { return other.Destination == r.Destination }) {
				all = append(all, r)
			}
		}
	}
	return all
}

// setStaticRoutes makes the namespace have exactly these routes beside those that the addresses and gateways of its cards
// make. They are marked with the protocol "static", by which they are found again. Several routes to one destination
// share its traffic.
func setStaticRoutes(h *netlink.Handle, routes []fabric.Route) error {
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
		gone := staticRoute(destination, hops)
		gone.Priority = 0 // any: an earlier version had other metrics
		if err := h.RouteDel(gone); err != nil {
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
	if destination.Bits() == 0 {
		r.Priority = staticDefaultMetric
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

package linux

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// setAddresses makes the link have exactly these addresses, and returns those that it did not have. An
// IPv6 link-local address belongs to the kernel.
func setAddresses(h *netlink.Handle, link netlink.Link, want []netip.Prefix) (added []netip.Prefix, err error) {
	have, err := addresses(h, link)
	if err != nil {
		return nil, err
	}
	for _, p := range have {
		if slices.Contains(want, p) || p.Addr().IsLinkLocalUnicast() && p.Addr().Is6() {
			continue
		}
		if err := h.AddrDel(link, kernelAddress(p)); err != nil {
			return nil, fmt.Errorf("removal of address %s: %w", p, err)
		}
	}
	for _, p := range want {
		if slices.Contains(have, p) {
			continue
		}
		if err := h.AddrReplace(link, kernelAddress(p)); err != nil {
			return added, fmt.Errorf("address %s: %w", p, err)
		}
		added = append(added, p)
	}
	return added, nil
}

func addresses(h *netlink.Handle, link netlink.Link) ([]netip.Prefix, error) {
	found, err := dump(func() ([]netlink.Addr, error) { return h.AddrList(link, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list of addresses: %w", err)
	}
	var all []netip.Prefix
	for _, a := range found {
		if addr, ok := netip.AddrFromSlice(a.IP); ok {
			ones, _ := a.Mask.Size()
			all = append(all, netip.PrefixFrom(addr.Unmap(), ones))
		}
	}
	return all, nil
}

func kernelAddress(p netip.Prefix) *netlink.Addr {
	return &netlink.Addr{IPNet: &net.IPNet{
		IP:   p.Addr().AsSlice(),
		Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
	}}
}

// The kernel takes an IPv6 address into use a little after the link comes up; with duplicate detection off, within
// milliseconds.
const (
	tentativeLimit = 2 * time.Second
	tentativePoll  = time.Millisecond
)

// awaitAddresses waits until the link answers for all of its addresses. A neighbour that asks too early asks again only
// after a second (RFC 4861 §10, RETRANS_TIMER).
func awaitAddresses(h *netlink.Handle, link netlink.Link) error {
	for deadline := time.Now().Add(tentativeLimit); ; time.Sleep(tentativePoll) {
		found, err := dump(func() ([]netlink.Addr, error) { return h.AddrList(link, netlink.FAMILY_V6) })
		if err != nil {
			return fmt.Errorf("list of addresses: %w", err)
		}
		i := slices.IndexFunc(found, func(a netlink.Addr) bool {
			return a.Flags&unix.IFA_F_TENTATIVE != 0 && !a.IP.IsLinkLocalUnicast()
		})
		if i < 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("address %s is still tentative after %s", found[i].IP, tentativeLimit)
		}
	}
}

// defaultRoute is a way out; of several in one namespace that of the first card is preferred.
type defaultRoute struct {
	link    int
	gateway netip.Addr
	metric  int
}

// firstMetric is the metric of the first card's default route; the next card's is one more.
const firstMetric = 100

// setDefaultRoutes makes the namespace have exactly the default routes of the cards.
func setDefaultRoutes(h *netlink.Handle, cards []card) error {
	var want []defaultRoute
	for i, c := range cards {
		if len(c.gateways) == 0 {
			continue
		}
		link, err := h.LinkByName(c.name)
		if err != nil {
			return fmt.Errorf("default route: %w", err)
		}
		for _, gateway := range c.gateways {
			want = append(want, defaultRoute{link.Attrs().Index, gateway, firstMetric + i})
		}
	}
	have, err := defaultRoutes(h)
	if err != nil {
		return err
	}
	for _, r := range have {
		if slices.Contains(want, r) {
			continue
		}
		if err := h.RouteDel(r.kernelRoute()); err != nil {
			return fmt.Errorf("removal of the default route by %s: %w", r.gateway, err)
		}
	}
	for _, r := range want {
		if slices.Contains(have, r) {
			continue
		}
		if err := h.RouteAdd(r.kernelRoute()); err != nil {
			return fmt.Errorf("default route by %s: %w", r.gateway, err)
		}
	}
	return nil
}

func defaultRoutes(h *netlink.Handle) ([]defaultRoute, error) {
	found, err := dump(func() ([]netlink.Route, error) { return h.RouteList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list of routes: %w", err)
	}
	var all []defaultRoute
	for _, r := range found {
		gateway, ok := netip.AddrFromSlice(r.Gw)
		if !ok || r.Protocol == unix.RTPROT_STATIC || r.Dst != nil && !isEverything(r.Dst) {
			continue
		}
		all = append(all, defaultRoute{r.LinkIndex, gateway.Unmap(), r.Priority})
	}
	return all, nil
}

func (r defaultRoute) kernelRoute() *netlink.Route {
	return &netlink.Route{LinkIndex: r.link, Gw: r.gateway.AsSlice(), Priority: r.metric}
}

func isEverything(n *net.IPNet) bool {
	ones, _ := n.Mask.Size()
	return ones == 0
}

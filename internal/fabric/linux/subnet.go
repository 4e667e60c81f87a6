package linux

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"

	"poise/internal/fabric"
)

// CheckSubnet admits every range that hosts can have. One of an external network must not touch an address that
// the host already has on another interface, or the host would lose sight of what it reaches there.
func (f *Fabric) CheckSubnet(_ string, cidr netip.Prefix, external bool) error {
	if why := unusable(cidr); why != "" {
		return &fabric.UnsupportedSubnetError{CIDR: cidr, Why: why}
	}
	if !external {
		return nil
	}
	f.open.RLock()
	defer f.open.RUnlock()
	if f.closed {
		return errClosed
	}
	links, err := dump(f.host.LinkList)
	if err != nil {
		return fmt.Errorf("list of the host's interfaces: %w", err)
	}
	for _, link := range links {
		if err := f.checkLink(cidr, link); err != nil {
			return err
		}
	}
	return nil
}

// CheckMember admits every address: sockets are in the load balancer's own namespace, and the host refuses what begins there.
func (f *Fabric) CheckMember(netip.AddrPort) error { return nil }

func (f *Fabric) checkLink(cidr netip.Prefix, link netlink.Link) error {
	found, err := addresses(f.host, link)
	if err != nil {
		return err
	}
	for _, p := range found {
		if p.Overlaps(cidr) {
			return &fabric.UnsupportedSubnetError{CIDR: cidr, Why: fmt.Sprintf(
				"an external network is reached from the host, and the host already has %s on its interface %s; choose another range",
				p, link.Attrs().Name)}
		}
	}
	return nil
}

// special are ranges whose addresses no host can have (IANA special-purpose address registries).
var special = []struct {
	cidr netip.Prefix
	why  string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "addresses in 0.0.0.0/8 stand for no host"},
	{netip.MustParsePrefix("127.0.0.0/8"), "every host keeps 127.0.0.0/8 for itself"},
	{netip.MustParsePrefix("224.0.0.0/3"), "addresses from 224.0.0.0 on are multicast or reserved"},
	{netip.MustParsePrefix("::/128"), "it contains the unspecified address"},
	{netip.MustParsePrefix("::1/128"), "it contains the loopback address"},
	{netip.MustParsePrefix("::ffff:0:0/96"), "it is IPv4 written as IPv6; write it as IPv4"},
	{netip.MustParsePrefix("fe80::/10"), "link-local addresses are every interface's own"},
	{netip.MustParsePrefix("ff00::/8"), "multicast addresses belong to no host"},
}

// unusable says why no network can have the range, "" if one can.
func unusable(cidr netip.Prefix) string {
	if !cidr.IsValid() {
		return "it is not an address range"
	}
	for _, s := range special {
		if s.cidr.Overlaps(cidr) {
			return s.why
		}
	}
	return ""
}

package neutron

import (
	"context"
	"net/netip"
)

// rangeOf is the range of a new subnet: the one that the request names, or one out of the subnet pool that it names.
func (s *Service) rangeOf(ctx context.Context, c *change, b *body, n *subnet) (netip.Prefix, error) {
	useDefault := false
	b.flag("use_default_subnetpool", &useDefault)
	b.id("subnetpool_id", &n.PoolID)
	if b.fault != nil || n.PoolID == "" && !useDefault {
		cidr := readCIDR(b)
		return cidr, b.fault
	}
	version, bits := 0, 0
	b.number("ip_version", 4, 6, &version)
	b.number("prefixlen", 0, 128, &bits)
	var wanted netip.Prefix
	if text := ""; b.has("cidr") && string(b.attributes["cidr"]) != "null" {
		b.text("cidr", &text)
		parsed, err := netip.ParsePrefix(text)
		if err != nil || parsed.Addr().Is4In6() || bits != 0 {
			b.fail(invalid("cidr", "'%s' is not a valid IP subnet, or prefixlen is given as well", text))
		}
		wanted = parsed.Masked()
	}
	b.take("cidr")
	if b.fault != nil {
		return wanted, b.fault
	}
	o, err := c.poolFor(ctx, s, n.PoolID, version)
	if err != nil {
		return wanted, err
	}
	if n.PoolID = o.ID; version != 0 && (version == 6) != o.isIPv6() {
		return wanted, badRequest("HTTPBadRequest", "Invalid input for operation: the subnet pool %s is not of ip_version %d.", o.ID, version)
	}
	return c.cut(ctx, o, n.ProjectID, wanted, bits)
}

// poolFor finds a pool that the caller sees, and makes the transaction the only one that takes from it. Without an id it is
// the default pool of the IP version.
func (c *change) poolFor(ctx context.Context, s *Service, id string, version int) (*subnetPool, error) {
	if id == "" {
		pools, err := selectSubnetPools(ctx, c.tx, admin, where("o.is_default"))
		if err != nil {
			return nil, err
		}
		for _, o := range pools {
			if o.isIPv6() == (version == 6) && (o.Shared || o.ProjectID == c.caller.ProjectID || isAdmin(c.caller)) {
				id = o.ID
			}
		}
		if id == "" {
			return nil, badRequest("BadRequest", "Bad subnets request: No default subnetpool found for IPv%d.", version)
		}
	}
	if err := c.lockObject(ctx, s.subnetPools(), id); err != nil {
		return nil, err
	}
	rows, err := selectSubnetPools(ctx, c.tx, c.caller, byID(id))
	return one(rows, err, errSubnetPool(id))
}

// cut takes a range out of the pool: wanted when it is valid, else the first free one with so many bits of prefix, 0 for the
// pool's default.
func (c *change) cut(ctx context.Context, o *subnetPool, project string, wanted netip.Prefix, bits int) (netip.Prefix, error) {
	if wanted.IsValid() {
		bits = wanted.Bits()
	} else if bits == 0 {
		bits = o.DefaultBits
	}
	switch {
	case bits < o.MinBits:
		return wanted, badRequest("MinPrefixSubnetAllocationError",
			"Unable to allocate subnet with prefix length %d, minimum allowed prefix is %d.", bits, o.MinBits)
	case bits > o.MaxBits:
		return wanted, badRequest("MaxPrefixSubnetAllocationError",
			"Unable to allocate subnet with prefix length %d, maximum allowed prefix is %d.", bits, o.MaxBits)
	}
	taken, err := c.takenOf(ctx, o)
	if err != nil {
		return wanted, err
	}
	if !o.allows(project, taken, bits) {
		return wanted, conflict("SubnetPoolQuotaExceeded", "Per-project subnet pool prefix quota exceeded.")
	}
	if !wanted.IsValid() {
		free, found := o.firstFree(taken, bits)
		if !found {
			return wanted, badRequest("SubnetAllocationError",
				"Failed to allocate subnet: Insufficient prefix space to allocate subnet size /%d.", bits)
		}
		return free, nil
	}
	free := o.covers(wanted)
	for _, t := range taken {
		free = free && !t.prefix().Overlaps(wanted)
	}
	if !free {
		return wanted, badRequest("SubnetAllocationError",
			"Failed to allocate subnet: Cannot allocate requested subnet from the available set of prefixes.")
	}
	return wanted, nil
}

// allows tells whether the pool's quota lets a project take one more range.
func (o *subnetPool) allows(project string, taken []*subnet, bits int) bool {
	if o.DefaultQuota == nil || *o.DefaultQuota == 0 {
		return true
	}
	unit := quotaUnit4
	if o.isIPv6() {
		unit = quotaUnit6
	}
	units := func(bits int) int64 { return 1 << max(unit-bits, 0) }
	used := units(bits)
	for _, t := range taken {
		if t.ProjectID == project {
			used += units(t.prefix().Bits())
		}
	}
	return used <= *o.DefaultQuota
}

// firstFree finds a range that overlaps none of those taken, which are in order.
func (o *subnetPool) firstFree(taken []*subnet, bits int) (netip.Prefix, bool) {
	for _, whole := range o.Prefixes {
		if bits < whole.Bits() {
			continue
		}
		free := netip.PrefixFrom(whole.Addr(), bits)
		for _, t := range taken {
			if !t.prefix().Overlaps(free) {
				continue
			}
			end := lastOf(t.prefix())
			if last := lastOf(free); end.Less(last) {
				end = last
			}
			if free = netip.PrefixFrom(end.Next(), bits); !end.Next().IsValid() || !whole.Contains(end.Next()) {
				break
			}
		}
		if free.IsValid() && whole.Contains(free.Addr()) {
			return free, true
		}
	}
	return netip.Prefix{}, false
}

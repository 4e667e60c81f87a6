package neutron

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/uptrace/bun"

	"poise/internal/fabric"
	"poise/internal/rest"
)

func (s *Service) subnets() kind {
	return kind{
		name: "subnet", plural: "subnets",
		columns: map[string]string{
			"id": "s.id", "name": "s.name", "project_id": "s.project_id", "tenant_id": "s.project_id", "network_id": "s.network_id",
		},
		list:   s.listSubnets,
		create: s.createSubnet,
		update: s.updateSubnet,
		remove: s.deleteSubnet,
	}
}

// read takes the attributes; those that depend on the range (gateway and pools) are read by readRange.
func (s *subnet) read(b *body) {
	b.text("name", &s.Name)
	b.text("description", &s.Description)
	b.flag("enable_dhcp", &s.EnableDHCP)
	if !s.EnableDHCP && s.RAMode+s.AddressMode != "" {
		b.fail(invalid("enable_dhcp", "it cannot be False with ipv6_ra_mode or ipv6_address_mode set"))
	}
	servers := []netip.Addr{}
	if b.has("dns_nameservers") {
		list(b, "dns_nameservers", &servers)
		s.DNS = []string{}
		for _, server := range servers {
			s.DNS = append(s.DNS, server.String())
		}
	}
	s.readHostRoutes(b)
	if b.creating() {
		s.readModes(b)
	}
	b.none("segment_id", "service_types", "dns_publish_fixed_ip", "router:external")
}

// readModes takes how hosts in an IPv6 subnet would learn their addresses, under Neutron's rules. It is kept and shown: ports
// get their addresses as in any subnet, and nobody announces anything.
func (s *subnet) readModes(b *body) {
	for name, mode := range map[string]*string{"ipv6_ra_mode": &s.RAMode, "ipv6_address_mode": &s.AddressMode} {
		if !b.has(name) || string(b.attributes[name]) == "null" {
			b.none(name)
			continue
		}
		b.text(name, mode)
		switch {
		case b.fault != nil:
		case !slices.Contains(ipv6Modes, *mode):
			b.fail(invalid(name, "'%s' is not in %s", *mode, ipv6Modes))
		case s.prefix().Addr().Is4():
			b.fail(invalid(name, "it is not valid when ip_version is 4"))
		case !s.EnableDHCP:
			b.fail(invalid(name, "it cannot be set when enable_dhcp is set to False"))
		case *mode != modeStateful && s.prefix().Bits() != 64:
			b.fail(invalid(name, "%s asks for a range of /64, not %s", *mode, s.CIDR))
		}
	}
	if s.RAMode != "" && s.AddressMode != "" && s.RAMode != s.AddressMode {
		b.fail(invalid("ipv6_ra_mode", "'%s' is not ipv6_address_mode '%s': if both are set, they must be the same", s.RAMode, s.AddressMode))
	}
}

const modeStateful = "dhcpv6-stateful"

var ipv6Modes = []string{modeStateful, "dhcpv6-stateless", "slaac"}

// readHostRoutes takes the routes of the subnet's ports. One whose next hop is not in the subnet is taken as well, as Neutron
// does; it leads nowhere (see [routesOf]).
func (s *subnet) readHostRoutes(b *body) {
	if !b.has("host_routes") {
		return
	}
	list(b, "host_routes", &s.HostRoutes)
	if b.fault != nil {
		return
	}
	for i, r := range s.HostRoutes {
		isSix := s.prefix().Addr().Is6()
		switch {
		case r.Destination != r.Destination.Masked():
			b.fail(invalid("host_routes", "'%s' is not a range, '%s' would be one", r.Destination, r.Destination.Masked()))
		case r.Destination.Addr().Is6() != isSix || r.NextHop.Is6() != isSix:
			b.fail(invalid("host_routes", "'%s' by '%s' is not of the IP version of the subnet", r.Destination, r.NextHop))
		case r.isNeverRouted():
			b.fail(invalid("host_routes", "no route leads to '%s': link-local addresses and metadata services stay on their link", r.Destination))
		case slices.Contains(s.HostRoutes[:i], r):
			b.fail(invalid("host_routes", "duplicate route '%s' by '%s'", r.Destination, r.NextHop))
		}
	}
}

// isNeverRouted tells the destinations that are refused. A wider one, such as the default route, does no harm: what it would
// lead to is dropped.
func (r hostRoute) isNeverRouted() bool {
	return slices.ContainsFunc(fabric.NeverRouted, func(never netip.Prefix) bool {
		return never.Bits() <= r.Destination.Bits() && never.Contains(r.Destination.Addr())
	})
}

// readRange takes gateway and pools, which must lie in the range, and fills in what the user leaves open.
func (s *subnet) readRange(b *body) {
	prefix := s.prefix()
	gateway := s.gateway()
	if b.creating() {
		gateway = hosts(prefix).Start
	}
	b.address("gateway_ip", &gateway)
	poolsGiven := b.has("allocation_pools") && string(b.attributes["allocation_pools"]) != "null"
	list(b, "allocation_pools", &s.Pools)
	if b.fault != nil {
		return
	}
	if gateway.IsValid() && !hosts(prefix).contains(gateway) {
		b.fail(badRequest("HTTPBadRequest", "Gateway IP %s is not a valid address of the subnet %s.", gateway, prefix))
		return
	}
	s.GatewayIP = ""
	if gateway.IsValid() {
		s.GatewayIP = gateway.String()
	}
	if b.creating() && !poolsGiven {
		s.Pools = defaultPools(prefix, gateway)
		return
	}
	b.fail(s.checkPools())
}

func (s *subnet) checkPools() error {
	prefix, gateway := s.prefix(), s.gateway()
	for i, p := range s.Pools {
		if !p.Start.IsValid() || p.Start.Zone()+p.End.Zone() != "" || p.Start.BitLen() != p.End.BitLen() || p.End.Less(p.Start) {
			return badRequest("InvalidAllocationPool", "The allocation pool %s-%s is not valid.", p.Start, p.End)
		}
		if !hosts(prefix).contains(p.Start) || !hosts(prefix).contains(p.End) {
			return badRequest("OutOfBoundsAllocationPool", "The allocation pool %s-%s spans beyond the subnet cidr %s.", p.Start, p.End, prefix)
		}
		if gateway.IsValid() && p.contains(gateway) {
			return conflict("GatewayConflictWithAllocationPools", "Gateway ip %s conflicts with allocation pool %s-%s.", gateway, p.Start, p.End)
		}
		for _, other := range s.Pools[:i] {
			if other.contains(p.Start) || p.contains(other.Start) {
				return conflict("OverlappingAllocationPools",
					"Found overlapping allocation pools: %s-%s %s-%s for subnet %s.", p.Start, p.End, other.Start, other.End, prefix)
			}
		}
	}
	return nil
}

// defaultPools are the whole range without the gateway.
func defaultPools(prefix netip.Prefix, gateway netip.Addr) []pool {
	all := hosts(prefix)
	if !gateway.IsValid() {
		return []pool{all}
	}
	pools := []pool{}
	if all.Start.Less(gateway) {
		pools = append(pools, pool{all.Start, gateway.Prev()})
	}
	if gateway.Less(all.End) {
		pools = append(pools, pool{gateway.Next(), all.End})
	}
	return pools
}

func (s *subnet) view() object {
	v := s.common.view()
	v["network_id"], v["name"], v["cidr"], v["enable_dhcp"] = s.NetworkID, s.Name, s.CIDR, s.EnableDHCP
	v["ip_version"], v["gateway_ip"] = 4, orNull(s.GatewayIP)
	if s.prefix().Addr().Is6() {
		v["ip_version"] = 6
	}
	v["allocation_pools"], v["dns_nameservers"], v["host_routes"] = s.Pools, s.DNS, s.HostRoutes
	v["service_types"], v["subnetpool_id"], v["segment_id"] = []string{}, orNull(s.PoolID), nil
	v["ipv6_ra_mode"], v["ipv6_address_mode"], v["dns_publish_fixed_ip"] = orNull(s.RAMode), orNull(s.AddressMode), false
	return v
}

// orNull is how an empty text stands on the wire.
func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func (s *Service) listSubnets(ctx context.Context, db bun.IDB, caller rest.Caller, n narrow) ([]object, error) {
	rows, err := selectSubnets(ctx, db, caller, n)
	return viewsOf(rows, (*subnet).view), err
}

func (s *Service) createSubnet(ctx context.Context, c *change, b *body) (string, error) {
	n := &subnet{EnableDHCP: true, DNS: []string{}, HostRoutes: []hostRoute{}}
	n.common = newCommon(b.project("subnet"))
	b.id("network_id", &n.NetworkID)
	cidr, err := s.rangeOf(ctx, c, b, n)
	if err != nil {
		return "", err
	}
	n.CIDR = cidr.String()
	n.read(b)
	n.readRange(b)
	if err := b.close(n.view()); err != nil {
		return "", err
	}
	of, err := findNetwork(ctx, c.tx, c.caller, n.NetworkID)
	if err != nil {
		return "", err
	}
	if err := mayChange(c.caller, of.ProjectID, "create_subnet"); err != nil {
		return "", err
	}
	if of, err = c.lock(ctx, n.NetworkID); err != nil {
		return "", err
	}
	if err := s.checkRange(ctx, c, of, n); err != nil {
		return "", err
	}
	c.topology = true
	c.grows(n.ProjectID, quotaSubnet)
	if err := c.touchNetwork(ctx, n.NetworkID); err != nil {
		return "", err
	}
	return n.ID, c.insert(ctx, n)
}

// readCIDR takes the range and the ip_version, which must agree. The bits behind the prefix are dropped, as Neutron does.
func readCIDR(b *body) netip.Prefix {
	var text string
	var version int
	b.text("cidr", &text)
	b.number("ip_version", 4, 6, &version)
	cidr, err := netip.ParsePrefix(text)
	switch {
	case err != nil || cidr.Addr().Is4In6():
		b.fail(invalid("cidr", "'%s' is not a valid IP subnet", text))
	case version == 0:
		b.fail(badRequest("HTTPBadRequest", "Failed to parse request. Required attribute 'ip_version' not specified"))
	case (version == 6) != cidr.Addr().Is6():
		b.fail(badRequest("HTTPBadRequest", "Invalid input for operation: cidr %s does not match the ip_version '%d'.", cidr, version))
	}
	return cidr.Masked()
}

// checkRange refuses ranges that the network already uses or that the fabric cannot carry.
func (s *Service) checkRange(ctx context.Context, c *change, n *network, of *subnet) error {
	cidr := of.prefix()
	siblings, err := selectSubnets(ctx, c.tx, admin, where("s.network_id = ?", n.ID))
	if err != nil {
		return err
	}
	for _, sibling := range siblings {
		if sibling.PoolID != of.PoolID && sibling.prefix().Addr().Is4() == cidr.Addr().Is4() {
			return badRequest("NetworkSubnetPoolAffinityError", "Subnets hosted on the same network must be allocated from the same subnet pool.")
		}
		if sibling.prefix().Overlaps(cidr) {
			return badRequest("InvalidInput", "Invalid input for operation: Requested subnet with cidr: %s for network: %s overlaps with another subnet.", cidr, n.ID)
		}
	}
	if err := s.fabric.CheckSubnet(n.ID, cidr, n.External); err != nil {
		return badRequest("InvalidInput", "Invalid input for operation: %v.", err)
	}
	return nil
}

func (s *Service) updateSubnet(ctx context.Context, c *change, id string, b *body) error {
	n, err := findSubnet(ctx, c.tx, c.caller, id)
	if err != nil {
		return err
	}
	if err := mayChange(c.caller, n.ProjectID, "update_subnet"); err != nil {
		return err
	}
	if _, err := c.lock(ctx, n.NetworkID); err != nil {
		return err
	}
	if n, err = findSubnet(ctx, c.tx, c.caller, id); err != nil {
		return err
	}
	before, routed := n.GatewayIP, n.HostRoutes
	n.read(b)
	n.readRange(b)
	if err := b.close(n.view()); err != nil {
		return err
	}
	if before != n.GatewayIP {
		if err := c.mayMoveGateway(ctx, n, before); err != nil {
			return err
		}
		c.topology = true
	}
	if before != n.GatewayIP || !slices.Equal(routed, n.HostRoutes) {
		if err := c.movedIn(ctx, n.ID); err != nil {
			return err
		}
	}
	if err := c.touchNetwork(ctx, n.NetworkID); err != nil {
		return err
	}
	return c.save(ctx, n)
}

// movedIn notes that all cards in the subnet have to be plugged again; routers hear of it by the topology.
func (c *change) movedIn(ctx context.Context, subnetID string) error {
	users, err := c.usersOf(ctx, subnetID)
	for _, p := range users {
		if p.RouterID == "" {
			c.moved(p)
		}
	}
	return err
}

// usersOf are the ports with an address in the subnet.
func (c *change) usersOf(ctx context.Context, subnetID string) ([]*port, error) {
	return selectPorts(ctx, c.tx, admin, where("p.id IN (SELECT port_id FROM neutron_addresses WHERE subnet_id = ?)", subnetID))
}

// mayMoveGateway refuses to change a gateway address that a router has.
func (c *change) mayMoveGateway(ctx context.Context, n *subnet, before string) error {
	users, err := c.usersOf(ctx, n.ID)
	if err != nil {
		return err
	}
	for _, p := range users {
		isGateway := slices.ContainsFunc(p.Addresses, func(a address) bool { return a.SubnetID == n.ID && a.Address == before })
		if isGateway && p.RouterID != "" {
			return conflict("GatewayIpInUse", "Current gateway ip %s already in use by port %s. Unable to update.", before, p.ID)
		}
	}
	return nil
}

func (s *Service) deleteSubnet(ctx context.Context, c *change, id string) error {
	n, err := findSubnet(ctx, c.tx, c.caller, id)
	if err != nil {
		return err
	}
	if err := mayChange(c.caller, n.ProjectID, "delete_subnet"); err != nil {
		return err
	}
	if _, err := c.lock(ctx, n.NetworkID); err != nil {
		return err
	}
	used, err := exists(ctx, c.tx.NewSelect().Model((*address)(nil)).Where("a.subnet_id = ?", id))
	if err != nil {
		return err
	}
	if used {
		return conflict("SubnetInUse",
			"Unable to complete operation on subnet %s: One or more ports have an IP allocation from this subnet.", id)
	}
	c.topology = true
	if err := c.touchNetwork(ctx, n.NetworkID); err != nil {
		return err
	}
	return c.remove(ctx, n)
}

// UnmarshalJSON refuses a route without both ends.
func (r *hostRoute) UnmarshalJSON(raw []byte) error {
	var text struct{ Destination, NextHop string }
	if err := rest.DecodeStrict(raw, &text); err != nil {
		return err
	}
	destination, err := netip.ParsePrefix(text.Destination)
	if err != nil {
		return fmt.Errorf("destination: %w", err)
	}
	nextHop, err := parseAddress(text.NextHop)
	if err != nil {
		return err
	}
	*r = hostRoute{destination, nextHop}
	return nil
}

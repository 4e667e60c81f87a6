package neutron

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/uptrace/bun"

	"poise/internal/rest"
)

func (s *Service) floatingIPs() kind {
	return kind{
		name: "floatingip", plural: "floatingips",
		columns: map[string]string{
			"id": "f.id", "project_id": "f.project_id", "tenant_id": "f.project_id", "port_id": "f.port_id",
			"floating_ip_address": "f.floating_ip_address", "floating_network_id": "f.floating_network_id",
		},
		list:   s.listFloatingIPs,
		create: s.createFloatingIP,
		update: s.updateFloatingIP,
		remove: s.deleteFloatingIP,
	}
}

// association is what a request says about the port of a floating IP.
type association struct {
	given  bool
	portID string     // "": none
	fixed  netip.Addr // the zero Addr: the port's only IPv4 address
}

func (f *floatingIP) read(b *body) association {
	b.text("description", &f.Description)
	b.text("dns_name", &f.DNSName)
	b.text("dns_domain", &f.DNSDomain)
	b.none("qos_policy_id", "distributed")
	wanted := association{given: b.has("port_id") || b.has("fixed_ip_address"), portID: f.PortID}
	b.id("port_id", &wanted.portID)
	b.address("fixed_ip_address", &wanted.fixed)
	return wanted
}

func (f *floatingIP) view() object {
	v := f.common.view()
	v["floating_network_id"], v["floating_ip_address"] = f.NetworkID, f.Address
	v["port_id"], v["fixed_ip_address"], v["router_id"] = orNull(f.PortID), orNull(f.FixedAddress), orNull(f.RouterID)
	v["dns_name"], v["dns_domain"], v["qos_policy_id"] = f.DNSName, f.DNSDomain, nil
	v["status"], v["port_details"] = "DOWN", nil
	if f.PortID != "" && (f.Router == nil || f.Router.AdminStateUp) {
		v["status"] = "ACTIVE"
	}
	if f.Port != nil {
		v["port_details"] = object{
			"admin_state_up": f.Port.AdminStateUp, "device_id": f.Port.DeviceID, "device_owner": f.Port.DeviceOwner,
			"mac_address": f.Port.MAC, "name": f.Port.Name, "network_id": f.Port.NetworkID, "status": f.Port.status(),
		}
	}
	return v
}

func (s *Service) listFloatingIPs(ctx context.Context, db bun.IDB, caller rest.Caller, n narrow) ([]object, error) {
	rows, err := selectFloatingIPs(ctx, db, caller, n)
	return viewsOf(rows, (*floatingIP).view), err
}

func (s *Service) createFloatingIP(ctx context.Context, c *change, b *body) (string, error) {
	f := &floatingIP{}
	f.common = newCommon(b.project("floatingip"))
	b.id("floating_network_id", &f.NetworkID)
	place := wantedIP{}
	b.id("subnet_id", &place.SubnetID)
	chosen := netip.Addr{}
	if b.address("floating_ip_address", &chosen); chosen.IsValid() {
		place.Address = chosen.String()
	}
	wanted := f.read(b)
	if err := b.close(f.view()); err != nil {
		return "", err
	}
	if err := c.reserve(ctx, f, place); err != nil {
		return "", err
	}
	c.grows(f.ProjectID, quotaFloatingIP)
	if err := c.insert(ctx, f); err != nil {
		return "", err
	}
	if wanted.portID == "" {
		return f.ID, nil
	}
	if err := c.associate(ctx, f, wanted); err != nil {
		return "", err
	}
	_, err := c.tx.NewUpdate().Model(f).WherePK().Exec(ctx) // still the first revision
	if err != nil {
		return "", fmt.Errorf("floating IP: %w", err)
	}
	return f.ID, nil
}

// reserve takes an IPv4 address of the external network and keeps it with a port that belongs to no project.
func (c *change) reserve(ctx context.Context, f *floatingIP, place wantedIP) error {
	n, err := findNetwork(ctx, c.tx, c.caller, f.NetworkID)
	if err != nil {
		return err
	}
	if !n.External {
		return badRequest("BadRequest", "Bad floatingip request: Network %s is not a valid external network.", n.ID)
	}
	if place.Address != "" && c.caller.ProjectID != n.ProjectID && !isAdmin(c.caller) {
		return forbidden("create_floatingip:floating_ip_address")
	}
	keeper := newPort("", n.ID)
	keeper.DeviceID, keeper.DeviceOwner, keeper.PortSecurity = f.ID, ownerFloatingIP, false
	if err := c.addPort(ctx, keeper, []wantedIP{}); err != nil {
		return err
	}
	subnets, err := selectSubnets(ctx, c.tx, admin, where("s.network_id = ?", n.ID))
	if err != nil {
		return err
	}
	if err := c.giveFloating(ctx, keeper, subnets, place); err != nil {
		return err
	}
	f.AddressPortID, f.Address = keeper.ID, keeper.Addresses[0].Address
	return nil
}

func (c *change) giveFloating(ctx context.Context, keeper *port, subnets []*subnet, place wantedIP) error {
	if place != (wantedIP{}) {
		s, chosen, err := c.resolve(ctx, place, keeper.NetworkID, subnets)
		if err != nil {
			return err
		}
		if !s.prefix().Addr().Is4() {
			return badRequest("BadRequest", "Bad floatingip request: Subnet %s is not an IPv4 subnet.", s.ID)
		}
		return c.give(ctx, keeper, s, chosen)
	}
	err := badRequest("BadRequest", "Bad floatingip request: Network %s does not contain any IPv4 subnet.", keeper.NetworkID)
	for _, s := range subnets {
		if !s.prefix().Addr().Is4() {
			continue
		}
		if err = c.give(ctx, keeper, s, netip.Addr{}); !isFull(err) {
			return err
		}
	}
	return err
}

func (s *Service) updateFloatingIP(ctx context.Context, c *change, id string, b *body) error {
	f, err := findFloatingIP(ctx, c.tx, c.caller, id)
	if err != nil {
		return err
	}
	if err := mayChange(c.caller, f.ProjectID, "update_floatingip"); err != nil {
		return err
	}
	if _, err := c.lock(ctx, f.NetworkID); err != nil {
		return err
	}
	if f, err = findFloatingIP(ctx, c.tx, c.caller, id); err != nil {
		return err
	}
	wanted := f.read(b)
	if err := b.close(f.view()); err != nil {
		return err
	}
	if wanted.given {
		if f.PortID != wanted.portID || wanted.fixed.IsValid() {
			c.disassociate(f)
		}
		if wanted.portID != "" && f.PortID == "" {
			if err := c.associate(ctx, f, wanted); err != nil {
				return err
			}
		}
	}
	return c.save(ctx, f)
}

func (s *Service) deleteFloatingIP(ctx context.Context, c *change, id string) error {
	f, err := findFloatingIP(ctx, c.tx, c.caller, id)
	if err != nil {
		return err
	}
	if err := mayChange(c.caller, f.ProjectID, "delete_floatingip"); err != nil {
		return err
	}
	c.disassociate(f)
	if err := c.remove(ctx, f); err != nil {
		return err
	}
	keeper := &port{}
	keeper.ID = f.AddressPortID
	return c.remove(ctx, keeper)
}

// associate points the floating IP at an address of a port. The row is saved by the caller.
func (c *change) associate(ctx context.Context, f *floatingIP, wanted association) error {
	p, err := findPort(ctx, c.tx, c.caller, wanted.portID)
	if err != nil {
		return err
	}
	if _, err := c.lock(ctx, p.NetworkID); err != nil {
		return err
	}
	if p, err = findPort(ctx, c.tx, c.caller, wanted.portID); err != nil {
		return err
	}
	fixed, err := p.fixedFor(wanted.fixed)
	if err != nil {
		return err
	}
	taken := c.tx.NewSelect().Model((*floatingIP)(nil)).
		Where("f.port_id = ? AND f.fixed_ip_address = ? AND f.floating_network_id = ? AND f.id <> ?", p.ID, fixed.Address, f.NetworkID, f.ID)
	busy, err := exists(ctx, taken)
	if err != nil {
		return err
	}
	if busy {
		return conflict("FloatingIPPortAlreadyAssociated",
			"Cannot associate floating IP %s (%s) with port %s using fixed IP %s, as that fixed IP already has a floating IP on external network %s.",
			f.Address, f.ID, p.ID, fixed.Address, f.NetworkID)
	}
	if f.RouterID, err = c.routerBetween(ctx, f.NetworkID, fixed.SubnetID); err != nil {
		return err
	}
	if f.RouterID == "" && c.routed {
		return notFound("ExternalGatewayForFloatingIPNotFound",
			"External network %s is not reachable from subnet %s. Therefore, cannot associate Port %s with a Floating IP.",
			f.NetworkID, fixed.SubnetID, p.ID)
	}
	f.PortID, f.FixedAddress, f.Port = p.ID, fixed.Address, p
	c.topology = true
	c.moved(p)
	return nil
}

// fixedFor is the address of the port that a floating IP leads to.
func (p *port) fixedFor(wanted netip.Addr) (address, error) {
	if wanted.Is6() {
		return address{}, badRequest("BadRequest",
			"Bad floatingip request: Cannot process floating IP association with %s, since that is not an IPv4 address.", wanted)
	}
	found := []address{}
	for _, a := range p.Addresses {
		if a.Address == wanted.String() {
			return a, nil
		}
		if netip.MustParseAddr(a.Address).Is4() {
			found = append(found, a)
		}
	}
	switch {
	case wanted.IsValid():
		return address{}, badRequest("BadRequest", "Bad floatingip request: Port %s does not have fixed ip %s.", p.ID, wanted)
	case len(found) == 0:
		return address{}, badRequest("BadRequest", "Bad floatingip request: Cannot add floating IP to port %s that has no fixed IPv4 addresses.", p.ID)
	case len(found) > 1:
		return address{}, badRequest("BadRequest", "Bad floatingip request: Port %s has multiple fixed IPv4 addresses. Must provide a specific IPv4 address when assigning a floating IP.", p.ID)
	}
	return found[0], nil
}

// routerBetween finds the router that has its gateway on the external network and a leg on the subnet, preferably as the
// subnet's own gateway; "" when there is none.
func (c *change) routerBetween(ctx context.Context, externalID, subnetID string) (string, error) {
	ids := []string{}
	err := c.tx.NewSelect().Model((*router)(nil)).Column("r.id").
		Join("JOIN neutron_ports AS leg ON leg.router_id = r.id AND leg.device_owner = ?", ownerInterface).
		Join("JOIN neutron_addresses AS a ON a.port_id = leg.id").
		Join("JOIN neutron_subnets AS s ON s.id = a.subnet_id").
		Where("r.gateway_network_id = ? AND a.subnet_id = ?", externalID, subnetID).
		OrderExpr("CASE WHEN a.address = s.gateway_ip THEN 0 ELSE 1 END, r.id").Limit(1).Scan(ctx, &ids)
	if err != nil {
		return "", fmt.Errorf("router of floating IP: %w", err)
	}
	if len(ids) == 0 {
		return "", nil
	}
	return ids[0], nil
}

// disassociate lets the floating IP lead nowhere. The row is saved by the caller.
func (c *change) disassociate(f *floatingIP) {
	if f.PortID == "" {
		return
	}
	if f.Port != nil {
		c.moved(f.Port)
	}
	f.PortID, f.FixedAddress, f.RouterID, f.Port = "", "", "", nil
	c.topology = true
}

func (c *change) disassociateAll(ctx context.Context, n narrow) error {
	rows, err := selectFloatingIPs(ctx, c.tx, admin, n)
	if err != nil {
		return err
	}
	for _, f := range rows {
		c.disassociate(f)
		if err := c.save(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

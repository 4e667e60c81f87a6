package neutron

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/uptrace/bun"

	"poise/internal/rest"
)

func (s *Service) routers() kind {
	return kind{
		name: "router", plural: "routers",
		columns: map[string]string{"id": "r.id", "name": "r.name", "project_id": "r.project_id", "tenant_id": "r.project_id"},
		list:    s.listRouters,
		create:  s.createRouter,
		update:  s.updateRouter,
		remove:  s.deleteRouter,
	}
}

func (r *router) read(b *body) {
	b.text("name", &r.Name)
	b.text("description", &r.Description)
	b.flag("admin_state_up", &r.AdminStateUp)
	b.none("ha", "distributed", "flavor_id", "availability_zone_hints", "service_type_id", "enable_ndp_proxy")
}

// wantedGateway is external_gateway_info in a request; without a network it asks for no gateway.
type wantedGateway struct {
	NetworkID string     `json:"network_id"`
	SNAT      *bool      `json:"enable_snat"`
	FixedIPs  []wantedIP `json:"external_fixed_ips"`
}

// gateway reads external_gateway_info; nil when the request does not mention it.
func (b *body) gateway() *wantedGateway {
	raw, ok := b.take("external_gateway_info")
	if !ok {
		return nil
	}
	wanted := &wantedGateway{}
	if string(raw) == "null" {
		return wanted
	}
	if err := rest.DecodeStrict(raw, wanted); err != nil {
		b.fail(invalid("external_gateway_info", "'%s' is not a valid gateway", short(raw)))
	}
	return wanted
}

func (r *router) view() object {
	v := r.common.view()
	v["name"], v["admin_state_up"], v["status"] = r.Name, r.AdminStateUp, "ACTIVE"
	v["routes"], v["ha"], v["distributed"], v["flavor_id"] = r.Routes, false, false, nil
	v["availability_zones"], v["availability_zone_hints"] = []string{}, []string{}
	v["external_gateway_info"] = nil
	if leg := r.gateway(); leg != nil {
		v["external_gateway_info"] = object{
			"network_id": leg.NetworkID, "enable_snat": r.EnableSNAT, "external_fixed_ips": leg.view(admin)["fixed_ips"],
		}
	}
	return v
}

func (s *Service) listRouters(ctx context.Context, db bun.IDB, caller rest.Caller, n narrow) ([]object, error) {
	rows, err := selectRouters(ctx, db, caller, n)
	return viewsOf(rows, (*router).view), err
}

func (s *Service) createRouter(ctx context.Context, c *change, b *body) (string, error) {
	r := &router{AdminStateUp: true, EnableSNAT: true, Routes: []hostRoute{}}
	r.common = newCommon(b.project("router"))
	r.read(b)
	wanted := b.gateway()
	if err := b.close(r.view()); err != nil {
		return "", err
	}
	c.grows(r.ProjectID, quotaRouter)
	if err := c.insert(ctx, r); err != nil {
		return "", err
	}
	c.topology = true
	if wanted == nil || wanted.NetworkID == "" {
		return r.ID, nil
	}
	if err := c.setGateway(ctx, r, *wanted); err != nil {
		return "", err
	}
	return r.ID, c.save(ctx, r)
}

func (s *Service) updateRouter(ctx context.Context, c *change, id string, b *body) error {
	r, err := c.ownRouter(ctx, id, "update_router")
	if err != nil {
		return err
	}
	r.read(b)
	wanted, routed, routes := b.gateway(), b.has("routes"), []hostRoute{}
	listUpTo(b, "routes", maxRoutes, &routes)
	if err := b.close(r.view()); err != nil {
		return err
	}
	c.topology = true
	if routed {
		if err := s.setRoutes(ctx, c, r, routes); err != nil {
			return err
		}
	}
	if wanted != nil {
		if err := c.setGateway(ctx, r, *wanted); err != nil {
			return err
		}
	}
	return c.save(ctx, r)
}

// ownRouter finds a router that the caller may change, and makes the transaction the only one that changes it.
func (c *change) ownRouter(ctx context.Context, id, rule string) (*router, error) {
	if _, err := c.tx.NewUpdate().Model((*router)(nil)).Set("revision = revision").Where("id = ?", id).Exec(ctx); err != nil {
		return nil, fmt.Errorf("router lock: %w", err)
	}
	r, err := findRouter(ctx, c.tx, c.caller, id)
	if err != nil {
		return nil, err
	}
	return r, mayChange(c.caller, r.ProjectID, rule)
}

// setGateway gives the router the leg on an external network that is wanted, or none.
func (c *change) setGateway(ctx context.Context, r *router, wanted wantedGateway) error {
	r.EnableSNAT = wanted.SNAT == nil || *wanted.SNAT
	if wanted.NetworkID != "" && wanted.NetworkID == r.GatewayNetworkID && !wanted.moves(r.gateway()) {
		return nil
	}
	if err := c.clearGateway(ctx, r); err != nil || wanted.NetworkID == "" {
		return err
	}
	n, err := findNetwork(ctx, c.tx, c.caller, wanted.NetworkID)
	if err != nil {
		return err
	}
	if !n.External {
		return badRequest("BadRequest", "Bad router request: Network %s is not an external network.", n.ID)
	}
	if err := mayChoose(c.caller, n, wanted.FixedIPs, false); err != nil {
		return err
	}
	leg := newPort("", n.ID)
	leg.DeviceID, leg.DeviceOwner, leg.RouterID, leg.PortSecurity = r.ID, ownerGateway, r.ID, false
	if err := c.addPort(ctx, leg, wanted.FixedIPs); err != nil {
		return err
	}
	r.GatewayNetworkID = n.ID
	r.Legs = append(r.Legs, leg)
	return nil
}

// moves tells whether the leg would get other addresses. As in Neutron it does not when the entries name just its subnets and,
// where they name addresses, just those.
func (w wantedGateway) moves(leg *port) bool {
	if leg == nil || len(w.FixedIPs) == 0 {
		return false
	}
	subnets, addresses, hasSubnets, hasAddresses := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, a := range leg.Addresses {
		hasSubnets[a.SubnetID], hasAddresses[a.Address] = true, true
	}
	for _, one := range w.FixedIPs {
		if one.SubnetID != "" {
			subnets[one.SubnetID] = true
		}
		if one.Address != "" {
			addresses[one.Address] = true
		}
	}
	return !maps.Equal(subnets, hasSubnets) || !maps.Equal(addresses, hasAddresses)
}

func (c *change) clearGateway(ctx context.Context, r *router) error {
	leg := r.gateway()
	if leg == nil {
		return nil
	}
	if _, err := c.lock(ctx, leg.NetworkID); err != nil {
		return err
	}
	used, err := exists(ctx, c.tx.NewSelect().Model((*floatingIP)(nil)).Where("f.router_id = ?", r.ID))
	if err != nil {
		return err
	}
	if used {
		return conflict("RouterExternalGatewayInUseByFloatingIp",
			"Gateway cannot be updated for router %s, since a gateway to external network %s is required by one or more floating IPs.",
			r.ID, leg.NetworkID)
	}
	if err := c.checkUnrouted(ctx, r, leg); err != nil {
		return err
	}
	r.GatewayNetworkID = ""
	r.Legs = slices.DeleteFunc(r.Legs, func(p *port) bool { return p == leg })
	return c.remove(ctx, leg)
}

func (s *Service) deleteRouter(ctx context.Context, c *change, id string) error {
	r, err := c.ownRouter(ctx, id, "delete_router")
	if err != nil {
		return err
	}
	if slices.ContainsFunc(r.Legs, func(p *port) bool { return p.DeviceOwner != ownerGateway }) {
		return conflict("RouterInUse", "Router %s still has ports", id)
	}
	if err := c.clearGateway(ctx, r); err != nil {
		return err
	}
	c.topology = true
	return c.remove(ctx, r)
}

// wantedInterface names a leg by its port or by its subnet.
type wantedInterface struct {
	PortID   string `json:"port_id"`
	SubnetID string `json:"subnet_id"`
}

func readInterface(raw []byte) (wantedInterface, error) {
	wanted := wantedInterface{}
	if err := json.Unmarshal(raw, &wanted); err != nil {
		return wanted, badRequest("BadRequest", "Bad router request: Invalid format of the body.")
	}
	if wanted == (wantedInterface{}) {
		return wanted, badRequest("BadRequest", "Bad router request: Either subnet_id or port_id must be specified.")
	}
	return wanted, nil
}

// addInterface connects the router with a subnet: through the port given, or through a new one that has the subnet's
// gateway address.
func (c *change) addInterface(ctx context.Context, r *router, wanted wantedInterface) (*port, error) {
	if wanted.PortID != "" && wanted.SubnetID != "" {
		return nil, badRequest("BadRequest", "Bad router request: Cannot specify both subnet-id and port-id.")
	}
	if wanted.PortID != "" {
		return c.adoptLeg(ctx, r, wanted.PortID)
	}
	s, err := findSubnet(ctx, c.tx, c.caller, wanted.SubnetID)
	if err != nil {
		return nil, err
	}
	if s.GatewayIP == "" {
		return nil, badRequest("BadRequest", "Bad router request: Subnet for router interface must have a gateway IP.")
	}
	n, err := findNetwork(ctx, c.tx, c.caller, s.NetworkID)
	if err != nil {
		return nil, err
	}
	// The gateway address of a network belongs to its owner; a shared network's guests connect with a port.
	if err := mayChange(c.caller, n.ProjectID, "add_router_interface"); err != nil {
		return nil, err
	}
	if err := c.checkOverlap(ctx, r, s); err != nil {
		return nil, err
	}
	leg := newPort(r.ProjectID, s.NetworkID)
	leg.DeviceID, leg.DeviceOwner, leg.RouterID, leg.PortSecurity = r.ID, ownerInterface, r.ID, false
	return leg, c.addPort(ctx, leg, []wantedIP{{SubnetID: s.ID, Address: s.GatewayIP}})
}

func (c *change) adoptLeg(ctx context.Context, r *router, portID string) (*port, error) {
	leg, err := findPort(ctx, c.tx, c.caller, portID)
	if err != nil {
		return nil, err
	}
	if _, err := c.lock(ctx, leg.NetworkID); err != nil {
		return nil, err
	}
	if leg, err = findPort(ctx, c.tx, c.caller, portID); err != nil {
		return nil, err
	}
	if leg.DeviceID != "" || leg.RouterID != "" || leg.Holder != "" {
		return nil, conflict("PortInUse", "Unable to complete operation on port %s for network %s. Port already has an attached device %s.",
			leg.ID, leg.NetworkID, leg.DeviceID)
	}
	if len(leg.Addresses) == 0 {
		return nil, badRequest("BadRequest", "Bad router request: Router port must have at least one fixed IP.")
	}
	for _, a := range leg.Addresses {
		s, err := findSubnet(ctx, c.tx, admin, a.SubnetID)
		if err != nil {
			return nil, err
		}
		if err := c.checkOverlap(ctx, r, s); err != nil {
			return nil, err
		}
	}
	leg.DeviceID, leg.DeviceOwner, leg.RouterID, leg.PortSecurity = r.ID, ownerInterface, r.ID, false
	if err := c.secure(ctx, leg, nil); err != nil {
		return nil, err
	}
	return leg, c.save(ctx, leg)
}

// checkOverlap refuses a subnet of which the router already has a part: it could not tell where to send a packet.
func (c *change) checkOverlap(ctx context.Context, r *router, s *subnet) error {
	for _, leg := range r.Legs {
		for _, a := range leg.Addresses {
			if a.SubnetID == s.ID {
				return badRequest("BadRequest", "Bad router request: Router already has a port on subnet %s.", s.ID)
			}
			other, err := findSubnet(ctx, c.tx, admin, a.SubnetID)
			if err != nil {
				return err
			}
			if other.prefix().Overlaps(s.prefix()) {
				return badRequest("BadRequest", "Bad router request: Cidr %s of subnet %s overlaps with cidr %s of subnet %s.",
					s.CIDR, s.ID, other.CIDR, other.ID)
			}
		}
	}
	return nil
}

// removeInterface takes away the leg that is named by its port, its subnet, or both.
func (c *change) removeInterface(ctx context.Context, r *router, wanted wantedInterface) (*port, error) {
	at := slices.IndexFunc(r.Legs, func(p *port) bool {
		onSubnet := slices.ContainsFunc(p.Addresses, func(a address) bool { return a.SubnetID == wanted.SubnetID })
		return p.DeviceOwner == ownerInterface && (wanted.PortID == "" || p.ID == wanted.PortID) && (wanted.SubnetID == "" || onSubnet)
	})
	if at < 0 && wanted.PortID != "" {
		return nil, notFound("RouterInterfaceNotFound", "Router %s does not have an interface with id %s", r.ID, wanted.PortID)
	}
	if at < 0 {
		return nil, notFound("RouterInterfaceNotFoundForSubnet", "Router %s has no interface on subnet %s", r.ID, wanted.SubnetID)
	}
	leg := r.Legs[at]
	if _, err := c.lock(ctx, leg.NetworkID); err != nil {
		return nil, err
	}
	used, err := exists(ctx, c.tx.NewSelect().Model((*floatingIP)(nil)).
		Join("JOIN neutron_addresses AS fixed ON fixed.port_id = f.port_id AND fixed.address = f.fixed_ip_address").
		Join("JOIN neutron_addresses AS leg ON leg.subnet_id = fixed.subnet_id").
		Where("f.router_id = ? AND leg.port_id = ?", r.ID, leg.ID))
	if err != nil {
		return nil, err
	}
	if used {
		return nil, conflict("RouterInterfaceInUseByFloatingIP",
			"Router interface for subnet %s on router %s cannot be deleted, as it is required by one or more floating IPs.",
			leg.Addresses[0].SubnetID, r.ID)
	}
	if err := c.checkUnrouted(ctx, r, leg); err != nil {
		return nil, err
	}
	return leg, c.remove(ctx, leg)
}

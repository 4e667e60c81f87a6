package neutron

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"poise/internal/rest"
)

const (
	defaultMTU = 1500
	minMTU     = 68 // RFC 791
	maxMTU     = 65_521
)

func (s *Service) networks() kind {
	return kind{
		name: "network", plural: "networks",
		columns: map[string]string{"id": "n.id", "name": "n.name", "project_id": "n.project_id", "tenant_id": "n.project_id"},
		list:    s.listNetworks,
		create:  s.createNetwork,
		update:  s.updateNetwork,
		remove:  s.deleteNetwork,
	}
}

func (n *network) read(b *body) {
	b.text("name", &n.Name)
	b.text("description", &n.Description)
	b.flag("admin_state_up", &n.AdminStateUp)
	b.flag("port_security_enabled", &n.PortSecurity)
	b.number("mtu", minMTU, maxMTU, &n.MTU)
	b.id("qos_policy_id", &n.QoSPolicyID)
	b.adminOnly("network", "shared")
	b.flag("shared", &n.Shared)
	b.adminOnly("network", "router:external")
	b.flag("router:external", &n.External)
	for _, name := range []string{"provider:network_type", "provider:physical_network", "provider:segmentation_id"} {
		b.adminOnly("network", name)
		b.none(name)
	}
	b.none("availability_zone_hints", "dns_domain", "is_default", "vlan_transparent", "segments")
}

func (n *network) view(caller rest.Caller, subnetIDs []string) object {
	v := n.common.view()
	v["name"], v["admin_state_up"], v["shared"], v["router:external"] = n.Name, n.AdminStateUp, n.Shared, n.External
	v["mtu"], v["port_security_enabled"], v["status"] = n.MTU, n.PortSecurity, "ACTIVE"
	v["subnets"] = subnetIDs
	v["availability_zone_hints"], v["availability_zones"] = []string{}, []string{}
	v["ipv4_address_scope"], v["ipv6_address_scope"], v["qos_policy_id"] = nil, nil, orNull(n.QoSPolicyID)
	v["dns_domain"], v["is_default"] = "", false
	if isAdmin(caller) {
		v["provider:network_type"], v["provider:physical_network"], v["provider:segmentation_id"] = "local", nil, nil
	}
	return v
}

func (s *Service) listNetworks(ctx context.Context, db bun.IDB, caller rest.Caller, n narrow) ([]object, error) {
	rows, err := selectNetworks(ctx, db, caller, n)
	if err != nil {
		return nil, err
	}
	subnets := []*subnet{}
	within := db.NewSelect().Model((*network)(nil)).Column("n.id").Apply(visibleNetworks(caller), n)
	err = db.NewSelect().Model(&subnets).Column("s.id", "s.network_id").Where("s.network_id IN (?)", within).Order("s.created_at", "s.id").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("subnets of networks: %w", err)
	}
	ids := map[string][]string{}
	for _, one := range subnets {
		ids[one.NetworkID] = append(ids[one.NetworkID], one.ID)
	}
	views := make([]object, len(rows))
	for i, row := range rows {
		views[i] = row.view(caller, append([]string{}, ids[row.ID]...))
	}
	return views, nil
}

func (s *Service) createNetwork(ctx context.Context, c *change, b *body) (string, error) {
	n := &network{AdminStateUp: true, MTU: defaultMTU, PortSecurity: true}
	n.common = newCommon(b.project("network"))
	n.read(b)
	if err := b.close(n.view(admin, nil)); err != nil {
		return "", err
	}
	if err := c.checkQoSPolicy(ctx, n.QoSPolicyID, ""); err != nil {
		return "", err
	}
	c.topology = true
	c.grows(n.ProjectID, quotaNetwork)
	return n.ID, c.insert(ctx, n)
}

func (s *Service) updateNetwork(ctx context.Context, c *change, id string, b *body) error {
	n, err := findNetwork(ctx, c.tx, c.caller, id)
	if err != nil {
		return err
	}
	if err := mayChange(c.caller, n.ProjectID, "update_network"); err != nil {
		return err
	}
	before := *n
	n.read(b)
	if err := b.close(n.view(admin, nil)); err != nil {
		return err
	}
	if err := c.checkQoSPolicy(ctx, n.QoSPolicyID, before.QoSPolicyID); err != nil {
		return err
	}
	if before.External != n.External {
		if err := s.mayTurnNetwork(ctx, c, n); err != nil {
			return err
		}
	}
	c.topology = before.MTU != n.MTU || before.External != n.External
	return c.save(ctx, n)
}

// mayTurnNetwork refuses to open a network whose ranges the fabric cannot carry outside, and to take the outside away
// from under routers and floating IPs.
func (s *Service) mayTurnNetwork(ctx context.Context, c *change, n *network) error {
	if n.External {
		subnets, err := selectSubnets(ctx, c.tx, admin, where("s.network_id = ?", n.ID))
		if err != nil {
			return err
		}
		for _, subnet := range subnets {
			if err := s.fabric.CheckSubnet(n.ID, subnet.prefix(), true); err != nil {
				return badRequest("InvalidInput", "Invalid input for operation: %v.", err)
			}
		}
		return nil
	}
	used := c.tx.NewSelect().Model((*port)(nil)).Where("p.network_id = ?", n.ID).
		Where("p.device_owner IN (?, ?)", ownerGateway, ownerFloatingIP)
	found, err := exists(ctx, used)
	if err != nil {
		return err
	}
	if found {
		return conflict("ExternalNetworkInUse",
			"External network %s cannot be updated to be made non-external, since it has existing gateway ports.", n.ID)
	}
	return nil
}

func (s *Service) deleteNetwork(ctx context.Context, c *change, id string) error {
	n, err := findNetwork(ctx, c.tx, c.caller, id)
	if err != nil {
		return err
	}
	if err := mayChange(c.caller, n.ProjectID, "delete_network"); err != nil {
		return err
	}
	if n, err = c.lock(ctx, id); err != nil {
		return err
	}
	used, err := exists(ctx, c.tx.NewSelect().Model((*port)(nil)).Where("p.network_id = ?", id))
	if err != nil {
		return err
	}
	if used {
		return conflict("NetworkInUse",
			"Unable to complete operation on network %s. There are one or more ports still in use on the network.", id)
	}
	if _, err := c.tx.NewDelete().Model((*subnet)(nil)).Where("network_id = ?", id).Exec(ctx); err != nil {
		return fmt.Errorf("subnets of network: %w", err)
	}
	c.topology = true
	return c.remove(ctx, n)
}

package neutron

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"poise/internal/fabric"
)

// applyTopology gives the fabric what the database says.
func (s *Service) applyTopology(ctx context.Context) error {
	topology, err := s.topology(ctx)
	if err != nil {
		return err
	}
	if err := s.fabric.Apply(ctx, topology); err != nil {
		return fmt.Errorf("fabric: %w", err)
	}
	return nil
}

// topology describes everything that should exist, apart from the plugged ports. It may mix two states when a change
// is committed meanwhile; that change asks for another look.
func (s *Service) topology(ctx context.Context) (fabric.Topology, error) {
	everything := where("1 = 1")
	networks, err := selectNetworks(ctx, s.db, admin, everything)
	if err != nil {
		return fabric.Topology{}, err
	}
	subnets, err := selectSubnets(ctx, s.db, admin, everything)
	if err != nil {
		return fabric.Topology{}, err
	}
	routers, err := selectRouters(ctx, s.db, admin, where("r.admin_state_up"))
	if err != nil {
		return fabric.Topology{}, err
	}
	floatingIPs, err := selectFloatingIPs(ctx, s.db, admin, where("f.port_id IS NOT NULL"))
	if err != nil {
		return fabric.Topology{}, err
	}
	prefixes := map[string]*subnet{}
	ofNetwork := map[string][]fabric.Subnet{}
	for _, n := range subnets {
		prefixes[n.ID] = n
		ofNetwork[n.NetworkID] = append(ofNetwork[n.NetworkID], fabric.Subnet{ID: n.ID, CIDR: n.prefix(), Gateway: n.gateway()})
	}
	t := fabric.Topology{}
	for _, n := range networks {
		t.Networks = append(t.Networks, fabric.Network{ID: n.ID, MTU: n.MTU, External: n.External, Subnets: ofNetwork[n.ID]})
	}
	running := map[string]bool{"": true} // in the loopback fabric floating IPs need no router
	for _, r := range routers {
		running[r.ID] = true
		t.Routers = append(t.Routers, fabricRouter(r, prefixes))
	}
	for _, f := range floatingIPs {
		if !running[f.RouterID] {
			continue
		}
		t.FloatingIPs = append(t.FloatingIPs, fabric.FloatingIP{
			ID: f.ID, Address: netip.MustParseAddr(f.Address), Fixed: netip.MustParseAddr(f.FixedAddress),
			PortID: f.PortID, RouterID: f.RouterID,
		})
	}
	return t, nil
}

func fabricRouter(r *router, subnets map[string]*subnet) fabric.Router {
	made := fabric.Router{ID: r.ID, SNAT: r.EnableSNAT}
	for _, route := range r.Routes {
		made.Routes = append(made.Routes, fabric.Route{Destination: route.Destination, NextHop: route.NextHop})
	}
	for _, leg := range r.Legs {
		port := fabric.RouterPort{PortID: leg.ID, NetworkID: leg.NetworkID, MAC: hardware(leg.MAC), Addresses: prefixesOf(leg, subnets)}
		if leg.DeviceOwner != ownerGateway {
			made.Interfaces = append(made.Interfaces, port)
			continue
		}
		made.Gateway = &port
		made.NextHops = gatewaysOf(leg, subnets, (*subnet).gateway)
	}
	return made
}

// prefixesOf are the port's addresses with the length of their subnet's prefix. A subnet that has come since subnets
// was read is left out.
func prefixesOf(p *port, subnets map[string]*subnet) []netip.Prefix {
	prefixes := []netip.Prefix{}
	for _, a := range p.Addresses {
		if s, ok := subnets[a.SubnetID]; ok {
			prefixes = append(prefixes, netip.PrefixFrom(netip.MustParseAddr(a.Address), s.prefix().Bits()))
		}
	}
	return prefixes
}

// hardware reads a MAC that was checked before it was stored.
func hardware(mac string) net.HardwareAddr {
	parsed, err := net.ParseMAC(mac)
	if err != nil {
		panic(fmt.Sprintf("stored MAC %q: %v", mac, err))
	}
	return parsed
}

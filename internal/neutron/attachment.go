package neutron

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/uptrace/bun"

	"poise/internal/fabric"
)

// Attachment says what to plug for a port: its card, addresses, default routes, floating IPs and filter. On the
// loopback interface nothing can be filtered.
func (s *Service) Attachment(ctx context.Context, portID string) (fabric.Port, error) {
	p, err := findPort(ctx, s.db, admin, portID)
	if err != nil {
		return fabric.Port{}, err
	}
	plug, err := s.attachment(ctx, p)
	if err == nil && p.PortSecurity && s.filters() {
		plug.Filter, err = filterOf(ctx, s.db, p)
	}
	return plug, err
}

// filters tells whether the fabric can filter.
func (s *Service) filters() bool { return s.fabric.Name() != "loopback" }

func (s *Service) attachment(ctx context.Context, p *port) (fabric.Port, error) {
	plugs, err := s.attachments(ctx, []*port{p})
	if err != nil {
		return fabric.Port{}, err
	}
	plug, ok := plugs[p.ID]
	if !ok {
		return fabric.Port{}, errNetwork(p.NetworkID)
	}
	return plug, nil
}

// portsAtOnce is how many ports one statement names. It keeps statements below the engines' limits of parameters.
const portsAtOnce = 500

// attachments says what to plug for at most portsAtOnce ports, by their ids, with three queries. Filters are not in it.
func (s *Service) attachments(ctx context.Context, ports []*port) (map[string]fabric.Port, error) {
	ids, networkIDs := []string{}, []string{}
	for _, p := range ports {
		ids, networkIDs = append(ids, p.ID), append(networkIDs, p.NetworkID)
	}
	networkIDs = distinct(networkIDs)
	networks, err := selectNetworks(ctx, s.db, admin, where("n.id IN ?", bun.Tuple(networkIDs)))
	if err != nil {
		return nil, err
	}
	rows, err := selectSubnets(ctx, s.db, admin, where("s.network_id IN ?", bun.Tuple(networkIDs)))
	if err != nil {
		return nil, err
	}
	subnets := map[string]*subnet{}
	for _, row := range rows {
		subnets[row.ID] = row
	}
	floating, err := floatingOf(ctx, s.db, ids)
	if err != nil {
		return nil, err
	}
	mtus := map[string]int{}
	for _, n := range networks {
		mtus[n.ID] = n.MTU
	}
	plugs := make(map[string]fabric.Port, len(ports))
	for _, p := range ports {
		mtu, ok := mtus[p.NetworkID]
		if !ok { // deleted just now
			continue
		}
		plugs[p.ID] = fabric.Port{
			ID: p.ID, NetworkID: p.NetworkID, MAC: hardware(p.MAC), MTU: mtu, Addresses: prefixesOf(p, subnets),
			Gateways: gatewaysOf(p, subnets, (*subnet).wayOut), Routes: routesOf(p, subnets),
			Floating: append([]netip.Addr{}, floating[p.ID]...),
		}
	}
	return plugs, nil
}

// gatewaysOf are the default routes of the port: for each IP family that of its first address in a subnet with one. A port
// that is the gateway itself has none.
func gatewaysOf(p *port, subnets map[string]*subnet, wayOut func(*subnet) netip.Addr) []netip.Addr {
	gateways := []netip.Addr{}
	has := map[bool]bool{}
	for _, a := range p.Addresses {
		s, ok := subnets[a.SubnetID]
		if !ok {
			continue
		}
		gateway := wayOut(s)
		if !gateway.IsValid() || has[gateway.Is4()] || p.hasAddress(gateway) {
			continue
		}
		has[gateway.Is4()] = true
		gateways = append(gateways, gateway)
	}
	return gateways
}

// wayOut is the gateway of the subnet. Without one it is the next hop of a default route among the host routes, as in
// Neutron's DHCP.
func (s *subnet) wayOut() netip.Addr {
	if s.gateway().IsValid() {
		return s.gateway()
	}
	for _, r := range s.HostRoutes {
		if r.Destination.Bits() == 0 && s.isHop(r) {
			return r.NextHop
		}
	}
	return netip.Addr{}
}

// routesOf are the host routes of the port's subnets, those that lead somewhere: by another address of the subnet.
func routesOf(p *port, subnets map[string]*subnet) []fabric.Route {
	routes := []fabric.Route{}
	for _, a := range p.Addresses {
		s, ok := subnets[a.SubnetID]
		if !ok {
			continue
		}
		for _, r := range s.HostRoutes {
			route := fabric.Route{Destination: r.Destination.Masked(), NextHop: r.NextHop}
			if r.Destination.Bits() > 0 && s.isHop(r) && !p.hasAddress(r.NextHop) && !r.isNeverRouted() && !slices.Contains(routes, route) {
				routes = append(routes, route)
			}
		}
	}
	return routes
}

// isHop says whether the next hop can be a neighbour in the subnet, and is not behind its own route.
func (s *subnet) isHop(r hostRoute) bool {
	behindItself := r.Destination.Bits() >= s.prefix().Bits() && r.Destination.Contains(r.NextHop)
	return r.Destination.Addr().Is4() == r.NextHop.Is4() && hosts(s.prefix()).contains(r.NextHop) && !behindItself
}

func (p *port) hasAddress(wanted netip.Addr) bool {
	return slices.ContainsFunc(p.Addresses, func(a address) bool { return a.Address == wanted.String() })
}

// floatingOf are the floating IPs of the ports.
func floatingOf(ctx context.Context, db bun.IDB, portIDs []string) (map[string][]netip.Addr, error) {
	rows, err := rowsOf[floatingIP](ctx, db, func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("f.port_id IN ?", bun.Tuple(portIDs)).Order("f.floating_ip_address")
	})
	if err != nil {
		return nil, fmt.Errorf("floating IPs of ports: %w", err)
	}
	addresses := map[string][]netip.Addr{}
	for _, f := range rows {
		addresses[f.PortID] = append(addresses[f.PortID], netip.MustParseAddr(f.Address))
	}
	return addresses, nil
}

// OnAttachmentChange asks for a call when a port of a device has changed in a way that matters to whoever plugged it:
// its addresses or its floating IPs. The call comes after the change is committed and the fabric knows of it, on
// the goroutine of the request; device ids are "lb-<load balancer id>" and server ids.
func (s *Service) OnAttachmentChange(f func(deviceID string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers = append(s.watchers, f)
}

func (s *Service) announce(devices []string) {
	s.mu.Lock()
	watchers := s.watchers
	s.mu.Unlock()
	for _, device := range devices {
		for _, watch := range watchers {
			watch(device)
		}
	}
}

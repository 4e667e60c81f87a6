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
	n, err := findNetwork(ctx, s.db, admin, p.NetworkID)
	if err != nil {
		return fabric.Port{}, err
	}
	rows, err := selectSubnets(ctx, s.db, admin, where("s.network_id = ?", n.ID))
	if err != nil {
		return fabric.Port{}, err
	}
	subnets := map[string]*subnet{}
	for _, row := range rows {
		subnets[row.ID] = row
	}
	plug := fabric.Port{ID: p.ID, NetworkID: n.ID, MAC: hardware(p.MAC), MTU: n.MTU, Addresses: prefixesOf(p, subnets)}
	plug.Gateways = gatewaysOf(p, subnets, (*subnet).wayOut)
	plug.Routes = routesOf(p, subnets)
	plug.Floating, err = floatingOf(ctx, s.db, p.ID)
	return plug, err
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

func floatingOf(ctx context.Context, db bun.IDB, portID string) ([]netip.Addr, error) {
	rows, err := selectFloatingIPs(ctx, db, admin, func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("f.port_id = ?", portID).Order("f.floating_ip_address")
	})
	if err != nil {
		return nil, fmt.Errorf("floating IPs of port %s: %w", portID, err)
	}
	addresses := []netip.Addr{}
	for _, f := range rows {
		addresses = append(addresses, netip.MustParseAddr(f.Address))
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

package neutron

import (
	"context"
	"fmt"
	"net/netip"

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
	plug.Gateways = gatewaysOf(p, subnets)
	plug.Floating, err = floatingOf(ctx, s.db, p.ID)
	return plug, err
}

// gatewaysOf are the default routes of the port: for each IP family that of its first address with one.
func gatewaysOf(p *port, subnets map[string]*subnet) []netip.Addr {
	gateways := []netip.Addr{}
	has := map[bool]bool{}
	for _, a := range p.Addresses {
		s, ok := subnets[a.SubnetID]
		if !ok || !s.gateway().IsValid() || has[s.gateway().Is4()] {
			continue
		}
		has[s.gateway().Is4()] = true
		gateways = append(gateways, s.gateway())
	}
	return gateways
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

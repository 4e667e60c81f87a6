package neutron

import (
	"context"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"poise/internal/fabric"
	"poise/internal/lb"
)

// A load balancer has a port of its own in each subnet of its members (subnet_id), beside that of its VIP: it reaches them
// there without a router, whatever the IP version of the VIP.

// AttachMembers gives the load balancer a port in each of the subnets, and says how they are plugged. A subnet that is gone or
// full, that overlaps with one before it, or that is in somebody else's external network is left out: its members are
// reached as far as the others' gateways lead.
func (s *Service) AttachMembers(ctx context.Context, loadBalancerID string, vip lb.VIP, subnetIDs []string) ([]fabric.Port, error) {
	if len(subnetIDs) == 0 || !s.routed() {
		return nil, nil
	}
	wanted, err := s.memberSubnets(ctx, vip, subnetIDs)
	if err != nil {
		return nil, err
	}
	held, err := s.memberPorts(ctx, s.db, loadBalancerID, vip)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(wanted, func(n *subnet) bool { return held[n.ID] == nil }) {
		err := s.change(ctx, admin, func(ctx context.Context, c *change) error {
			err := c.makeMemberPorts(ctx, loadBalancerID, vip, wanted, held)
			c.devices = nil // the load balancer itself is about to be plugged
			return err
		})
		if err != nil {
			return nil, err
		}
		if held, err = s.memberPorts(ctx, s.db, loadBalancerID, vip); err != nil {
			return nil, err
		}
	}
	ports := []fabric.Port{}
	for _, n := range wanted {
		if held[n.ID] == nil { // full
			continue
		}
		port, err := s.attachment(ctx, held[n.ID])
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}

// DetachMembers deletes the load balancer's ports in subnets that are not among these; it is fine when there are none.
func (s *Service) DetachMembers(ctx context.Context, loadBalancerID string, vip lb.VIP, subnetIDs []string) error {
	held, err := s.memberPorts(ctx, s.db, loadBalancerID, vip)
	if err != nil {
		return err
	}
	for _, id := range subnetIDs {
		delete(held, id)
	}
	if len(held) == 0 {
		return nil
	}
	return s.change(ctx, admin, func(ctx context.Context, c *change) error {
		for _, p := range held {
			if err := c.deletePort(ctx, p); err != nil {
				return err
			}
		}
		c.devices = nil
		return nil
	})
}

// memberPorts are the load balancer's ports beside the VIP's, by their subnet.
func (s *Service) memberPorts(ctx context.Context, db bun.IDB, loadBalancerID string, vip lb.VIP) (map[string]*port, error) {
	ports, err := selectPorts(ctx, db, admin, where("p.holder = ? AND p.id <> ?", balancerDevice(loadBalancerID), vip.PortID))
	if err != nil {
		return nil, fmt.Errorf("ports of load balancer %s: %w", loadBalancerID, err)
	}
	held := map[string]*port{}
	for _, p := range ports {
		if len(p.Addresses) > 0 && p.HolderMade {
			held[p.Addresses[0].SubnetID] = p
		}
	}
	return held, nil
}

// memberSubnets are those of the subnets that the load balancer can have a port in. Where two have the same addresses only
// the first counts: a packet could not be told where to go.
func (s *Service) memberSubnets(ctx context.Context, vip lb.VIP, ids []string) ([]*subnet, error) {
	all := []string{vip.SubnetID}
	for _, a := range vip.Additional {
		all = append(all, a.SubnetID)
	}
	rows, err := selectSubnets(ctx, s.db, admin, where("s.id IN ?", bun.Tuple(append(all, ids...))))
	if err != nil {
		return nil, err
	}
	byID := map[string]*subnet{}
	taken := []*subnet{}
	for _, row := range rows {
		byID[row.ID] = row
		if slices.Contains(all, row.ID) {
			taken = append(taken, row)
		}
	}
	wanted := []*subnet{}
	for _, id := range ids {
		n := byID[id]
		if n == nil || slices.ContainsFunc(taken, func(t *subnet) bool { return t.prefix().Overlaps(n.prefix()) }) {
			continue
		}
		of, err := findNetwork(ctx, s.db, admin, n.NetworkID)
		if err != nil {
			return nil, err
		}
		if of.External { // reached by the gateway, as from everywhere; addresses there are few
			continue
		}
		taken, wanted = append(taken, n), append(wanted, n)
	}
	return wanted, nil
}

func (c *change) makeMemberPorts(ctx context.Context, loadBalancerID string, vip lb.VIP, wanted []*subnet, held map[string]*port) error {
	owner, err := findPort(ctx, c.tx, admin, vip.PortID)
	if err != nil {
		return err
	}
	for _, n := range wanted {
		if held[n.ID] != nil {
			continue
		}
		p := newPort(owner.ProjectID, n.NetworkID)
		p.Name, p.PortSecurity = "octavia-lb-member-"+loadBalancerID, false
		p.hold(balancerDevice(loadBalancerID), ownerBalancer)
		p.HolderMade = true
		if err := c.addPort(ctx, p, []wantedIP{{SubnetID: n.ID}}); isFull(err) {
			if err := c.remove(ctx, p); err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
	}
	return nil
}

// routed tells whether the fabric keeps networks apart, so that ways between them are needed.
func (s *Service) routed() bool { return s.fabric.Name() != "loopback" }

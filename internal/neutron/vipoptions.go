package neutron

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"poise/internal/fabric"
	"poise/internal/lb"
	"poise/internal/rest"
)

// additionalOn finds the further addresses that are asked for on a port that the user supplies.
func (p *port) additionalOn(chosen address, wanted []lb.AdditionalVIP) ([]lb.AdditionalVIP, error) {
	if err := pairwiseDifferent(chosen.SubnetID, wanted); err != nil {
		return nil, err
	}
	var found []lb.AdditionalVIP
	for _, w := range wanted {
		at := slices.IndexFunc(p.Addresses, func(a address) bool {
			return a.SubnetID == w.SubnetID && (!w.Address.IsValid() || a.Address == w.Address.String())
		})
		if at < 0 {
			return nil, lb.ErrValidation("additional_vips", "Specified VIP address not found on the specified VIP port.")
		}
		found = append(found, lb.AdditionalVIP{SubnetID: w.SubnetID, Address: netip.MustParseAddr(p.Addresses[at].Address)})
	}
	return found, nil
}

// completeVIP gives a new VIP port, which has its first address, all else that is asked for.
func (c *change) completeVIP(ctx context.Context, p *port, req lb.VIPRequest) (lb.VIP, error) {
	vip := vipOf(p, p.Addresses[0])
	if err := c.matchMAC(ctx, p); err != nil {
		return lb.VIP{}, err
	}
	if err := pairwiseDifferent(vip.SubnetID, req.Additional); err != nil {
		return lb.VIP{}, err
	}
	for _, w := range req.Additional {
		added, err := c.addVIP(ctx, p, w)
		if err != nil {
			return lb.VIP{}, err
		}
		vip.Additional = append(vip.Additional, added)
	}
	vip.VIPOptions = req.VIPOptions
	if req.QoSPolicyID == "" && len(req.SecurityGroupIDs) == 0 {
		return vip, nil
	}
	return vip, c.dress(ctx, p, req.VIPOptions)
}

// pairwiseDifferent refuses a subnet that is named twice: a network card has one address of each.
func pairwiseDifferent(first string, additional []lb.AdditionalVIP) error {
	seen := map[string]bool{first: true}
	for _, a := range additional {
		if seen[a.SubnetID] {
			return lb.ErrValidation("additional_vips", "Duplicate VIP subnet(s) specified. Only one IP can be bound per subnet.")
		}
		seen[a.SubnetID] = true
	}
	return nil
}

// addVIP gives the port one more address.
func (c *change) addVIP(ctx context.Context, p *port, wanted lb.AdditionalVIP) (lb.AdditionalVIP, error) {
	s, err := findSubnet(ctx, c.tx, c.caller, wanted.SubnetID)
	if err != nil {
		return wanted, hidden(err, lb.ErrValidation("additional_vips", "Subnet %s not found", wanted.SubnetID))
	}
	if s.NetworkID != p.NetworkID {
		return wanted, lb.ErrValidation("additional_vips", "All VIP subnets must belong to the same network.")
	}
	if err := c.give(ctx, p, s, wanted.Address); err != nil {
		return wanted, refusedVIP(err, "additional_vips", wanted.Address, s.ID)
	}
	wanted.Address = netip.MustParseAddr(p.Addresses[len(p.Addresses)-1].Address)
	return wanted, nil
}

// refusedVIP says in Octavia's words why an address cannot be had.
func refusedVIP(err error, field string, wanted netip.Addr, subnetID string) error {
	switch kindOf(err) {
	case kindFull:
		return errNoFreeVIP(field)
	case kindInUse:
		return &lb.Error{
			Code: lb.Conflict, Field: field,
			Message: fmt.Sprintf("The VIP IP address is already in use: %s", wanted),
		}
	case kindOutside:
		return lb.ErrValidation(field, "%s %s is not an address of subnet %s.", field, wanted, subnetID)
	}
	return err
}

// VIPOptionsVisible refuses a QoS policy or a security group that the caller does not see, and security groups where
// the fabric cannot enforce them.
func (s *Service) VIPOptionsVisible(ctx context.Context, caller rest.Caller, options lb.VIPOptions) error {
	if id := options.QoSPolicyID; id != "" {
		if _, err := findQoSPolicy(ctx, s.db, caller, id); err != nil {
			return hidden(err, lb.ErrMissing("vip_qos_policy_id", "qos_policy", id))
		}
	}
	for _, id := range options.SecurityGroupIDs {
		if _, err := findGroup(ctx, s.db, caller, id); err != nil {
			return hidden(err, lb.ErrMissing("vip_sg_ids", "Security Group", id))
		}
	}
	if len(options.SecurityGroupIDs) > 0 && !s.filters() {
		return lb.ErrUnsupported("vip_sg_ids", "vip_sg_ids: the loopback interface cannot filter; run poise as root.")
	}
	return nil
}

// dress gives the VIP's port the policy and the groups that the load balancer asks for.
func (c *change) dress(ctx context.Context, p *port, options lb.VIPOptions) error {
	p.QoSPolicyID = options.QoSPolicyID
	if len(options.SecurityGroupIDs) > 0 {
		p.PortSecurity = true
	}
	if err := c.setGroups(ctx, p, byBalancer, distinct(options.SecurityGroupIDs)); err != nil {
		return err
	}
	return c.save(ctx, p)
}

// isDressed tells whether there is nothing to do for [change.dress].
func (p *port) isDressed(options lb.VIPOptions) bool {
	return p.QoSPolicyID == options.QoSPolicyID && slices.Equal(p.groupsBy(byBalancer), distinct(options.SecurityGroupIDs))
}

// distinct are the ids in order, without repetitions.
func distinct(ids []string) []string { return slices.Compact(slices.Sorted(slices.Values(ids))) }

// isVIP tells whether a load balancer has the port.
func (p *port) isVIP() bool { return strings.HasPrefix(p.Holder, devicePrefix) }

// filtersVIP tells whether the port's groups filter what reaches a load balancer: those of vip_sg_ids do, and those that
// the port was put into since the load balancer has it. What it was in before was not meant for a load balancer, above
// all not the project's default group.
func (p *port) filtersVIP() bool {
	return p.PortSecurity && (len(p.groupsBy(byBalancer)) > 0 || p.GroupsGiven && len(p.groupIDs()) > 0)
}

// checkVIPGroups checks the groups that a request puts a load balancer's port into.
func (s *Service) checkVIPGroups(p *port, wanted []string) error {
	chosen := p.groupsBy(byBalancer)
	if len(chosen) > 0 && (!p.PortSecurity || !slices.Equal(chosen, distinct(wanted))) {
		return conflict("Conflict", "The security groups of port %s are the vip_sg_ids of load balancer %s; change them there.",
			p.ID, strings.TrimPrefix(p.Holder, devicePrefix))
	}
	if len(wanted) > 0 && !s.filters() {
		return unsupported("Security groups of a load balancer's port, where the loopback interface cannot filter,")
	}
	return nil
}

// AttachVIP brings the VIP's port to the options of its load balancer and says how it is plugged. Without security groups
// that count a VIP is open: what no listener takes is refused anyway, and the listeners' allowed CIDRs do the rest.
func (s *Service) AttachVIP(ctx context.Context, vip lb.VIP) (fabric.Port, error) {
	gone := fmt.Errorf("port %s of the VIP has been deleted by its owner, so nothing can reach the load balancer any more; "+
		"delete it, or make a new one", vip.PortID)
	p, err := findPort(ctx, s.db, admin, vip.PortID)
	if err != nil {
		return fabric.Port{}, hidden(err, gone)
	}
	if !p.isDressed(vip.VIPOptions) {
		err := s.change(ctx, admin, func(ctx context.Context, c *change) error {
			if p, err = findPort(ctx, c.tx, admin, vip.PortID); err != nil {
				return hidden(err, gone)
			}
			if err := c.dress(ctx, p, vip.VIPOptions); err != nil {
				return err
			}
			// The load balancer itself is about to be plugged.
			c.devices = slices.DeleteFunc(c.devices, func(device string) bool { return device == p.Holder })
			return nil
		})
		if err != nil {
			return fabric.Port{}, err
		}
	}
	plug, err := s.attachment(ctx, p)
	if err == nil && p.filtersVIP() && s.filters() {
		plug.Filter, err = filterOf(ctx, s.db, p)
	}
	return plug, err
}

// AttachPlainVIPs says how the VIPs of many load balancers are plugged, with a few queries for all. Missing are load
// balancers with further ports, with a filter, or with options that the port does not have yet: [Service.AttachVIP] is
// for those.
func (s *Service) AttachPlainVIPs(ctx context.Context, vips map[string]lb.VIP) (map[string]fabric.Port, error) {
	all := make(map[string]fabric.Port, len(vips))
	for ids := range slices.Chunk(slices.Sorted(maps.Keys(vips)), portsAtOnce) {
		holders := make([]string, len(ids))
		for i, id := range ids {
			holders[i] = balancerDevice(id)
		}
		ports, err := selectPorts(ctx, s.db, admin, where("p.holder IN ?", bun.Tuple(holders)))
		if err != nil {
			return nil, err
		}
		held := map[string]int{}
		for _, p := range ports {
			held[p.Holder]++
		}
		ports = slices.DeleteFunc(ports, func(p *port) bool {
			vip := vips[strings.TrimPrefix(p.Holder, devicePrefix)]
			return held[p.Holder] > 1 || p.ID != vip.PortID || !p.isDressed(vip.VIPOptions) || p.filtersVIP() && s.filters()
		})
		if len(ports) == 0 {
			continue
		}
		plugs, err := s.attachments(ctx, ports)
		if err != nil {
			return nil, err
		}
		for _, p := range ports {
			if plug, ok := plugs[p.ID]; ok {
				all[strings.TrimPrefix(p.Holder, devicePrefix)] = plug
			}
		}
	}
	return all, nil
}

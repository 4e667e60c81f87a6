package neutron

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"poise/internal/lb"
	"poise/internal/rest"
)

const devicePrefix = "lb-"

// balancerDevice is the device_id of a load balancer's ports, as Octavia writes it.
func balancerDevice(loadBalancerID string) string { return devicePrefix + loadBalancerID }

// CreateVIP takes the port that is asked for, or makes one with the address that is asked for or the next free one
// (octavia-rules.md §9). Objects are looked up with the caller's eyes. Refusals are errors of the domain ([lb.Error]).
func (s *Service) CreateVIP(ctx context.Context, caller rest.Caller, req lb.VIPRequest) (lb.VIP, error) {
	if err := s.VIPOptionsVisible(ctx, caller, req.VIPOptions); err != nil {
		return lb.VIP{}, err
	}
	var vip lb.VIP
	err := s.change(ctx, caller, func(ctx context.Context, c *change) (err error) {
		switch {
		case req.PortID != "":
			vip, err = c.takeVIP(ctx, req)
		case req.NetworkID != "":
			vip, err = c.makeVIPOnNetwork(ctx, req)
		default:
			vip, err = c.makeVIPOnSubnet(ctx, req)
		}
		return err
	})
	var refused *refusal
	if errors.As(err, &refused) { // what the domain has no words for: something has changed since it was looked at
		err = &lb.Error{Code: lb.Conflict, Message: refused.message}
		if refused.kind == kindOverQuota {
			err = &lb.Error{Code: lb.QuotaExceeded, Message: refused.message}
		}
	}
	return vip, err
}

// takeVIP puts a port that the user supplies at the load balancer's service.
func (c *change) takeVIP(ctx context.Context, req lb.VIPRequest) (lb.VIP, error) {
	missing := lb.ErrMissing("vip_port_id", "Port", req.PortID)
	p, err := findPort(ctx, c.tx, c.caller, req.PortID)
	if err != nil {
		return lb.VIP{}, hidden(err, missing)
	}
	if _, err := c.lock(ctx, p.NetworkID); err != nil {
		return lb.VIP{}, err
	}
	if p, err = findPort(ctx, c.tx, c.caller, req.PortID); err != nil {
		return lb.VIP{}, hidden(err, missing)
	}
	if p.isTaken() {
		return lb.VIP{}, lb.ErrValidation("vip_port_id", "Port %s is already used by device %s ", p.ID, p.DeviceID)
	}
	chosen, err := p.vipAddress(req)
	if err != nil {
		return lb.VIP{}, err
	}
	if err := c.mayBeVIP(ctx, p); err != nil {
		return lb.VIP{}, err
	}
	additional, err := p.additionalOn(chosen, req.Additional)
	if err != nil {
		return lb.VIP{}, err
	}
	p.hold(balancerDevice(req.LoadBalancerID), ownerBalancer)
	if req.QoSPolicyID == "" {
		req.QoSPolicyID = p.QoSPolicyID
	}
	if err := c.dress(ctx, p, req.VIPOptions); err != nil {
		return lb.VIP{}, err
	}
	vip := vipOf(p, chosen)
	vip.Additional, vip.VIPOptions = additional, req.VIPOptions
	return vip, nil
}

// mayBeVIP refuses a supplied port with the gateway address of a subnet: routers are reached there.
func (c *change) mayBeVIP(ctx context.Context, p *port) error {
	for _, a := range p.Addresses {
		s, err := findSubnet(ctx, c.tx, admin, a.SubnetID)
		if err != nil {
			return err
		}
		if a.Address == s.GatewayIP {
			return &lb.Error{Code: lb.Conflict, Field: "vip_port_id", Message: "The VIP IP address is already in use: " + a.Address}
		}
	}
	return nil
}

// vipAddress finds the address of a supplied port that becomes the VIP.
func (p *port) vipAddress(req lb.VIPRequest) (address, error) {
	onSubnet := slices.IndexFunc(p.Addresses, func(a address) bool { return a.SubnetID == req.SubnetID })
	wanted := slices.IndexFunc(p.Addresses, func(a address) bool {
		return a.Address == req.Address.String() && (req.SubnetID == "" || a.SubnetID == req.SubnetID)
	})
	switch {
	case req.SubnetID != "" && onSubnet < 0:
		return address{}, lb.ErrValidation("vip_subnet_id", "No VIP address found on the specified VIP port within the specified subnet.")
	case req.Address.IsValid() && wanted < 0:
		return address{}, lb.ErrValidation("vip_address", "Specified VIP address not found on the specified VIP port.")
	case req.Address.IsValid():
		return p.Addresses[wanted], nil
	case req.SubnetID != "":
		return p.Addresses[onSubnet], nil
	case len(p.Addresses) == 1:
		return p.Addresses[0], nil
	}
	return address{}, lb.ErrValidation("vip_port_id",
		"VIP port's subnet could not be determined. Please specify either a VIP subnet or address.")
}

func (c *change) makeVIPOnNetwork(ctx context.Context, req lb.VIPRequest) (lb.VIP, error) {
	n, err := findNetwork(ctx, c.tx, c.caller, req.NetworkID)
	if err != nil {
		return lb.VIP{}, hidden(err, lb.ErrMissing("vip_network_id", "Network", req.NetworkID))
	}
	subnets, err := selectSubnets(ctx, c.tx, c.caller, where("s.network_id = ?", n.ID))
	if err != nil {
		return lb.VIP{}, err
	}
	if len(subnets) == 0 {
		return lb.VIP{}, lb.ErrValidation("vip_network_id", "Supplied network does not contain a subnet.")
	}
	if req.SubnetID != "" {
		subnets = slices.DeleteFunc(subnets, func(s *subnet) bool { return s.ID != req.SubnetID })
		if len(subnets) == 0 {
			return lb.VIP{}, lb.ErrMissing("vip_subnet_id", "Subnet", req.SubnetID)
		}
	} else if req.Address.IsValid() {
		subnets = slices.DeleteFunc(subnets, func(s *subnet) bool { return !s.prefix().Contains(req.Address) })
		if len(subnets) == 0 {
			return lb.VIP{}, lb.ErrValidation("vip_address", "Supplied network does not contain a subnet for VIP address specified.")
		}
	}
	slices.SortStableFunc(subnets, func(a, b *subnet) int { return a.prefix().Addr().BitLen() - b.prefix().Addr().BitLen() })
	return c.makeVIP(ctx, req, n.ID, subnets)
}

func (c *change) makeVIPOnSubnet(ctx context.Context, req lb.VIPRequest) (lb.VIP, error) {
	s, err := findSubnet(ctx, c.tx, c.caller, req.SubnetID)
	if err != nil {
		return lb.VIP{}, hidden(err, lb.ErrMissing("vip_subnet_id", "Subnet", req.SubnetID))
	}
	return c.makeVIP(ctx, req, s.NetworkID, []*subnet{s})
}

// makeVIP makes a port with an address of the first subnet that has a free one.
func (c *change) makeVIP(ctx context.Context, req lb.VIPRequest, networkID string, subnets []*subnet) (lb.VIP, error) {
	p := newPort(req.ProjectID, networkID)
	p.Name, p.AdminStateUp = "octavia-lb-"+req.LoadBalancerID, false
	p.hold(balancerDevice(req.LoadBalancerID), ownerBalancer)
	p.HolderMade = true
	if err := c.addPort(ctx, p, []wantedIP{}); err != nil {
		return lb.VIP{}, err
	}
	for _, s := range subnets {
		// The network is locked only now: what was read before may have changed.
		fresh, err := findSubnet(ctx, c.tx, admin, s.ID)
		if err != nil {
			return lb.VIP{}, hidden(err, lb.ErrMissing("vip_subnet_id", "Subnet", s.ID))
		}
		err = c.give(ctx, p, fresh, req.Address)
		if isFull(err) {
			continue
		}
		if err != nil {
			return lb.VIP{}, refusedVIP(err, "vip_address", req.Address, s.ID)
		}
		return c.completeVIP(ctx, p, req)
	}
	return lb.VIP{}, errNoFreeVIP("vip_subnet_id")
}

func errNoFreeVIP(field string) error {
	return lb.ErrValidation(field, "Subnet(s) in the supplied network do not contain enough available IPs.")
}

// matchMAC gives a new port the MAC address that belongs to its IP address on its network, unless another port has it.
// When a load balancer is deleted and the next one gets its address, neighbours who remember the old one are then
// right all the same: the kernel takes no announcement of a change within a second of the last.
func (c *change) matchMAC(ctx context.Context, p *port) error {
	sum := sha256.Sum256([]byte(p.NetworkID + " " + p.Addresses[0].Address))
	mac := net.HardwareAddr{0xfa, 0x16, 0x3e, sum[0], sum[1], sum[2]}.String()
	busy, err := exists(ctx, c.tx.NewSelect().Model((*port)(nil)).Where("p.network_id = ? AND p.mac_address = ?", p.NetworkID, mac))
	if err != nil || busy {
		return err
	}
	p.MAC = mac
	if _, err := c.tx.NewUpdate().Model(p).Column("mac_address").WherePK().Exec(ctx); err != nil {
		return fmt.Errorf("MAC address of the VIP: %w", err)
	}
	return nil
}

func vipOf(p *port, a address) lb.VIP {
	return lb.VIP{
		PortID: p.ID, NetworkID: p.NetworkID, SubnetID: a.SubnetID, Address: netip.MustParseAddr(a.Address), OwnPort: p.HolderMade,
	}
}

// kindOf is the type of a refusal, "" for any other error.
func kindOf(err error) string {
	var refused *refusal
	if errors.As(err, &refused) {
		return refused.kind
	}
	return ""
}

// hidden replaces "not found" in Neutron's words by missing.
func hidden(err, missing error) error {
	var refused *refusal
	if errors.As(err, &refused) && refused.status == http.StatusNotFound {
		return missing
	}
	return err
}

// ReleaseVIP deletes the ports that were made for the load balancer and gives the others back to their owner. It is
// fine when there are none.
func (s *Service) ReleaseVIP(ctx context.Context, loadBalancerID string) error {
	return s.release(ctx, balancerDevice(loadBalancerID))
}

// VIPOwners are the ids of the load balancers that have ports.
func (s *Service) VIPOwners(ctx context.Context) ([]string, error) {
	owners := []string{}
	err := s.db.NewSelect().Model((*port)(nil)).Distinct().Column("p.holder").
		Where("p.holder LIKE ?", devicePrefix+"%").Order("p.holder").Scan(ctx, &owners)
	if err != nil {
		return nil, fmt.Errorf("VIP owners: %w", err)
	}
	for i := range owners {
		owners[i] = strings.TrimPrefix(owners[i], devicePrefix)
	}
	return owners, nil
}

// CheckMember refuses an address that members cannot have in this fabric.
func (s *Service) CheckMember(at netip.AddrPort) error {
	if err := s.fabric.CheckMember(at); err != nil {
		return lb.ErrValidation("address", "%v.", err)
	}
	return nil
}

// SubnetVisible refuses a subnet that the caller does not see, as [lb.ErrMissing].
func (s *Service) SubnetVisible(ctx context.Context, caller rest.Caller, subnetID string) error {
	_, err := findSubnet(ctx, s.db, caller, subnetID)
	return hidden(err, lb.ErrMissing("subnet_id", "Subnet", subnetID))
}

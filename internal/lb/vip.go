package lb

import (
	"net/netip"
	"slices"
	"strings"
)

// VIP is how a load balancer is reached: a port, its addresses and what the network does with their traffic.
type VIP struct {
	PortID    string     `json:"port_id"`
	NetworkID string     `json:"network_id"`
	SubnetID  string     `json:"subnet_id"`
	Address   netip.Addr `json:"address"`
	// OwnPort is true when poise created the port, and so deletes it with the load balancer.
	OwnPort bool `json:"own_port"`
	// Additional are further addresses of the same port, each on another subnet of its network.
	Additional []AdditionalVIP `json:"additional,omitempty"`
	VIPOptions
}

// AdditionalVIP is one more address of a load balancer. In a request the zero Addr leaves the choice to the network
// service.
type AdditionalVIP struct {
	SubnetID string     `json:"subnet_id"`
	Address  netip.Addr `json:"address"`
}

// VIPOptions are what can be changed of a VIP.
type VIPOptions struct {
	QoSPolicyID string `json:"qos_policy_id,omitempty"`
	// SecurityGroupIDs filter what reaches the VIP. Without any, everything reaches it and the listeners' allowed CIDRs
	// decide.
	SecurityGroupIDs []string `json:"security_group_ids,omitempty"`
}

// Addresses are all addresses of the VIP, the first one first.
func (v VIP) Addresses() []netip.Addr {
	all := []netip.Addr{v.Address}
	for _, a := range v.Additional {
		all = append(all, a.Address)
	}
	return all
}

// list prints the addresses as Octavia's messages do.
func (v VIP) list() string {
	var quoted []string
	for _, a := range v.Addresses() {
		quoted = append(quoted, "'"+a.String()+"'")
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// hasFamilyOf tells whether one of the addresses has the IP version of a.
func (v VIP) hasFamilyOf(a netip.Addr) bool {
	return slices.ContainsFunc(v.Addresses(), func(own netip.Addr) bool { return own.Is4() == a.Is4() })
}

// VIPRequest asks the network service for a VIP; the rules are those of octavia-rules.md §9. At least one of
// PortID, NetworkID and SubnetID is set, and the first of these that is set leads.
type VIPRequest struct {
	LoadBalancerID string
	ProjectID      string // the load balancer's project: owns the port
	PortID         string
	NetworkID      string
	SubnetID       string
	Address        netip.Addr // the zero Addr: the network service chooses
	Additional     []AdditionalVIP
	VIPOptions
}

// VIPOptionAttrs are the options of a VIP in a request.
type VIPOptionAttrs struct {
	QoSPolicyID      Opt[string]
	SecurityGroupIDs Opt[[]string]
}

// Added are the options that a request would bring in, for the network service to check: what stays as it is, is not
// checked again.
func (in VIPOptionAttrs) Added(now VIPOptions) VIPOptions {
	var added VIPOptions
	if wanted := in.QoSPolicyID.Or(""); wanted != now.QoSPolicyID {
		added.QoSPolicyID = wanted
	}
	for _, id := range unique(in.SecurityGroupIDs.Or(nil)) {
		if !slices.Contains(now.SecurityGroupIDs, id) {
			added.SecurityGroupIDs = append(added.SecurityGroupIDs, id)
		}
	}
	return added
}

// setVIPOptions changes the VIP. Security groups and the allowed CIDRs of listeners exclude each other.
func (t *LoadBalancer) setVIPOptions(in VIPOptionAttrs) error {
	in.QoSPolicyID.Into(&t.VIP.QoSPolicyID, "")
	if in.SecurityGroupIDs.Set {
		t.VIP.SecurityGroupIDs = unique(in.SecurityGroupIDs.Or(nil))
	}
	for _, l := range t.Listeners {
		if !l.Deleted && len(l.AllowedCIDRs) > 0 && len(t.VIP.SecurityGroupIDs) > 0 {
			return errCIDRsAndGroups("vip_sg_ids")
		}
	}
	return nil
}

func errCIDRsAndGroups(field string) error {
	return ErrValidation(field, "Allowed CIDRs are not allowed when using custom VIP Security Groups.")
}

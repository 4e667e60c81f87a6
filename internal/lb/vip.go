package lb

import "net/netip"

// VIP is an address of a load balancer, as the network service gave it.
type VIP struct {
	PortID    string     `json:"port_id"`
	NetworkID string     `json:"network_id"`
	SubnetID  string     `json:"subnet_id"`
	Address   netip.Addr `json:"address"`
	// OwnPort is true when poise created the port, and so deletes it with the load balancer.
	OwnPort bool `json:"own_port"`
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
}

package neutron

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// common is what every row has: the standard attributes of Neutron.
type common struct {
	ID          string   `bun:"id,pk"`
	ProjectID   string   `bun:"project_id"`
	Description string   `bun:"description"`
	Tags        []string `bun:"tags"`
	Revision    int64    `bun:"revision"`
	CreatedAt   string   `bun:"created_at"`
	UpdatedAt   string   `bun:"updated_at"`
}

func newCommon(projectID string) common {
	now := timestamp()
	return common{ID: uuid.NewString(), ProjectID: projectID, Tags: []string{}, CreatedAt: now, UpdatedAt: now}
}

// touch counts a change.
func (c *common) touch() {
	c.Revision++
	c.UpdatedAt = timestamp()
}

func (c *common) view() object {
	return object{
		"id": c.ID, "project_id": c.ProjectID, "tenant_id": c.ProjectID, "description": c.Description, "tags": c.Tags,
		"revision_number": c.Revision, "created_at": toSeconds(c.CreatedAt), "updated_at": toSeconds(c.UpdatedAt),
	}
}

// timestamp is finer than what the wire shows, so that objects keep the order in which they were made.
func timestamp() string { return time.Now().UTC().Format("2006-01-02T15:04:05.000000Z") }

func toSeconds(timestamp string) string { return timestamp[:len("2006-01-02T15:04:05")] + "Z" }

type network struct {
	bun.BaseModel `bun:"table:neutron_networks,alias:n"`
	common
	Name         string `bun:"name"`
	AdminStateUp bool   `bun:"admin_state_up"`
	Shared       bool   `bun:"shared"`
	External     bool   `bun:"external"`
	MTU          int    `bun:"mtu"`
	PortSecurity bool   `bun:"port_security_enabled"`
	QoSPolicyID  string `bun:"qos_policy_id,nullzero"`
}

type subnet struct {
	bun.BaseModel `bun:"table:neutron_subnets,alias:s"`
	common
	NetworkID  string      `bun:"network_id"`
	Name       string      `bun:"name"`
	CIDR       string      `bun:"cidr"`
	GatewayIP  string      `bun:"gateway_ip,nullzero"` // "": no gateway
	EnableDHCP bool        `bun:"enable_dhcp"`
	Pools      []pool      `bun:"allocation_pools"`
	DNS        []string    `bun:"dns_nameservers"`
	HostRoutes []hostRoute `bun:"host_routes"`
	NextPlace  int64       `bun:"next_place"`
	PoolID     string      `bun:"subnetpool_id,nullzero"` // the pool that the range is from; "": none

	RAMode      string `bun:"ipv6_ra_mode"` // "": none; see [subnet.readModes]
	AddressMode string `bun:"ipv6_address_mode"`
}

// prefix and gateway read what [subnet.read] has checked before it was stored.
func (s *subnet) prefix() netip.Prefix { return netip.MustParsePrefix(s.CIDR) }

// gateway is the zero Addr when there is none.
func (s *subnet) gateway() netip.Addr {
	gateway, _ := netip.ParseAddr(s.GatewayIP)
	return gateway
}

// pool is a run of addresses, both ends included.
type pool struct {
	Start netip.Addr `json:"start"`
	End   netip.Addr `json:"end"`
}

type hostRoute struct {
	Destination netip.Prefix `json:"destination"`
	NextHop     netip.Addr   `json:"nexthop"`
}

type port struct {
	bun.BaseModel `bun:"table:neutron_ports,alias:p"`
	common
	NetworkID    string          `bun:"network_id"`
	Name         string          `bun:"name"`
	AdminStateUp bool            `bun:"admin_state_up"`
	MAC          string          `bun:"mac_address"`
	DeviceID     string          `bun:"device_id"`
	DeviceOwner  string          `bun:"device_owner"`
	PortSecurity bool            `bun:"port_security_enabled"`
	AddressPairs []addressPair   `bun:"address_pairs"`
	DHCPOptions  []dhcpOption    `bun:"dhcp_options"`
	HostID       string          `bun:"host_id"`
	VNICType     string          `bun:"vnic_type"`
	Profile      json.RawMessage `bun:"profile,type:text"`
	RouterID     string          `bun:"router_id,nullzero"` // whose leg it is; "": no router's
	Holder       string          `bun:"holder,nullzero"`    // which load balancer or server has it; "": none
	HolderMade   bool            `bun:"holder_made"`
	QoSPolicyID  string          `bun:"qos_policy_id,nullzero"`
	GroupsGiven  bool            `bun:"groups_given"` // since its load balancer has it; see [port.filtersVIP]

	Addresses []address   `bun:"rel:has-many,join:id=port_id"`
	Groups    []portGroup `bun:"rel:has-many,join:id=port_id"`
}

type addressPair struct {
	MAC string `json:"mac_address"`
	IP  string `json:"ip_address"`
}

// dhcpOption is kept and shown; nothing here speaks DHCP.
type dhcpOption struct {
	Name      string `json:"opt_name"`
	Value     string `json:"opt_value"`
	IPVersion int    `json:"ip_version"`
}

// address is one address of a port.
type address struct {
	bun.BaseModel `bun:"table:neutron_addresses,alias:a"`
	SubnetID      string `bun:"subnet_id,pk"`
	Address       string `bun:"address,pk"`
	Place         *int64 `bun:"place"`
	PortID        string `bun:"port_id"`
	Position      int    `bun:"position"`
}

type router struct {
	bun.BaseModel `bun:"table:neutron_routers,alias:r"`
	common
	Name             string      `bun:"name"`
	AdminStateUp     bool        `bun:"admin_state_up"`
	EnableSNAT       bool        `bun:"enable_snat"`
	GatewayNetworkID string      `bun:"gateway_network_id,nullzero"` // "": no external gateway
	Routes           []hostRoute `bun:"routes"`

	Legs []*port `bun:"rel:has-many,join:id=router_id"`
}

// The device owners that Neutron gives to the ports it makes itself.
const (
	ownerInterface  = "network:router_interface"
	ownerGateway    = "network:router_gateway"
	ownerFloatingIP = "network:floatingip"
	ownerBalancer   = "Octavia"
)

// gateway is the router's leg on its external network, nil when there is none.
func (r *router) gateway() *port {
	for _, leg := range r.Legs {
		if leg.DeviceOwner == ownerGateway {
			return leg
		}
	}
	return nil
}

type floatingIP struct {
	bun.BaseModel `bun:"table:neutron_floating_ips,alias:f"`
	common
	NetworkID     string `bun:"floating_network_id"`
	Address       string `bun:"floating_ip_address"`
	AddressPortID string `bun:"address_port_id"` // the port, nobody's to see, that holds Address on the external network
	PortID        string `bun:"port_id,nullzero"`
	FixedAddress  string `bun:"fixed_ip_address,nullzero"`
	RouterID      string `bun:"router_id,nullzero"`
	DNSName       string `bun:"dns_name"`
	DNSDomain     string `bun:"dns_domain"`

	Port   *port   `bun:"rel:belongs-to,join:port_id=id"`
	Router *router `bun:"rel:belongs-to,join:router_id=id"`
}

package console

import (
	"context"
	"net/url"
	"slices"
	"strings"
)

type network struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Status   string   `json:"status"`
	External bool     `json:"router:external"`
	Shared   bool     `json:"shared"`
	Subnets  []string `json:"subnets"`
}

type subnet struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	CIDR      string `json:"cidr"`
	NetworkID string `json:"network_id"`
	GatewayIP string `json:"gateway_ip"`
}

type port struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Status      string `json:"status"`
	NetworkID   string `json:"network_id"`
	DeviceOwner string `json:"device_owner"`
	FixedIPs    []struct {
		SubnetID string `json:"subnet_id"`
		Address  string `json:"ip_address"`
	} `json:"fixed_ips"`
}

type floatingIP struct {
	ID        string `json:"id"`
	Address   string `json:"floating_ip_address"`
	Fixed     string `json:"fixed_ip_address"`
	NetworkID string `json:"floating_network_id"`
	PortID    string `json:"port_id"`
	Status    string `json:"status"`
}

type server struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Status    string `json:"status"`
	Addresses map[string][]struct {
		Address string `json:"addr"`
		Kind    string `json:"OS-EXT-IPS:type"`
	} `json:"addresses"`
}

// ips are a server's own addresses, without floating IPs.
func (s server) ips() []string {
	var all []string
	for _, of := range s.Addresses {
		for _, a := range of {
			if a.Kind != "floating" {
				all = append(all, a.Address)
			}
		}
	}
	slices.Sort(all)
	return all
}

func (p port) addresses() string {
	all := make([]string, len(p.FixedIPs))
	for i, ip := range p.FixedIPs {
		all[i] = ip.Address
	}
	return strings.Join(all, ", ")
}

// named is a name, or the id of what has none.
func named(name, id string) string {
	if name != "" {
		return name
	}
	return id
}

// own is the query for what belongs to the person's project: administrators would see everybody's.
func (c *cloud) own() string { return "?project_id=" + url.QueryEscape(c.Project.ID) }

func (c *cloud) floatingIPs(ctx context.Context) ([]floatingIP, error) {
	return list[floatingIP](ctx, c, networking, "floatingips"+c.own(), "floatingips")
}

func (c *cloud) ports(ctx context.Context) ([]port, error) {
	return list[port](ctx, c, networking, "ports"+c.own(), "ports")
}

// networks are all that the person may use: the project's, shared and external ones.
func (c *cloud) networks(ctx context.Context) ([]network, error) {
	all, err := list[network](ctx, c, networking, "networks", "networks")
	slices.SortFunc(all, func(a, b network) int { return strings.Compare(a.Name, b.Name) })
	return all, err
}

func (c *cloud) subnets(ctx context.Context) ([]subnet, error) {
	all, err := list[subnet](ctx, c, networking, "subnets", "subnets")
	slices.SortFunc(all, func(a, b subnet) int { return strings.Compare(a.Name, b.Name) })
	return all, err
}

func (c *cloud) servers(ctx context.Context) ([]server, error) {
	all, err := list[server](ctx, c, computing, "servers/detail", "servers")
	slices.SortFunc(all, func(a, b server) int { return strings.Compare(a.Name, b.Name) })
	return all, err
}

func networkOptions(all []network, wanted func(network) bool) []option {
	var options []option
	for _, n := range all {
		if wanted(n) {
			options = append(options, option{n.ID, named(n.Name, n.ID)})
		}
	}
	return options
}

func subnetOptions(all []subnet) []option {
	options := make([]option, len(all))
	for i, s := range all {
		options[i] = option{s.ID, named(s.Name, s.ID) + " (" + s.CIDR + ")"}
	}
	return options
}

// freePortOptions are ports that nothing uses.
func freePortOptions(all []port) []option {
	var options []option
	for _, p := range all {
		if p.DeviceOwner == "" && len(p.FixedIPs) > 0 {
			options = append(options, option{p.ID, named(p.Name, p.ID) + " (" + p.addresses() + ")"})
		}
	}
	return options
}

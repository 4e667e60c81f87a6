package console

import "slices"

// networkPages and serverPages show what load balancers stand in front of.
var (
	networkPages = []page{
		{method: "GET", pattern: "/networks", handle: (*view).showNetworks},
		{method: "GET", pattern: "/ports", handle: (*view).showPorts},
	}
	serverPages = []page{{method: "GET", pattern: "/servers", handle: (*view).showServers}}
)

func (v *view) showNetworks() error {
	c, err := v.open(v.person.Region)
	if err != nil {
		return err
	}
	networks, err := c.networks(v.r.Context())
	if err != nil {
		return err
	}
	subnets, err := c.subnets(v.r.Context())
	if err != nil {
		return err
	}
	return v.render(v.networksPage(c.region, networks, subnets))
}

// subnetsOf are the subnets of a network.
func subnetsOf(n network, all []subnet) []subnet {
	return slices.DeleteFunc(slices.Clone(all), func(s subnet) bool { return s.NetworkID != n.ID })
}

func (v *view) showPorts() error {
	c, err := v.open(v.person.Region)
	if err != nil {
		return err
	}
	ports, err := c.ports(v.r.Context())
	if err != nil {
		return err
	}
	return v.render(v.portsPage(c.region, ports))
}

func (v *view) showServers() error {
	c, err := v.open(v.person.Region)
	if err != nil {
		return err
	}
	servers, err := c.servers(v.r.Context())
	if err != nil {
		return err
	}
	return v.render(v.serversPage(c.region, servers))
}

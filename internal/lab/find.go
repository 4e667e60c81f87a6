package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/external"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/routers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
)

// present is the part of the lab that exists; what does not is nil or empty.
type present struct {
	project        string // its id
	inside         *networks.Network
	insideSubnet   *subnets.Subnet
	external       *networks.Network
	externalSubnet *subnets.Subnet
	router         *routers.Router
	ports          []ports.Port     // of the inside network
	servers        []servers.Server // with a port on the inside network, by name
}

// survey finds what there is of the lab.
func (l *Lab) survey(ctx context.Context) (*present, error) {
	p := &present{}
	var err error
	if p.project, err = l.projectID(ctx); err != nil {
		return nil, err
	}
	inside := networks.ListOpts{Name: l.networkName(), ProjectID: p.project}
	if p.inside, p.insideSubnet, err = l.findNetwork(ctx, inside, l.subnetName()); err != nil {
		return nil, err
	}
	outside := external.ListOptsExt{ListOptsBuilder: networks.ListOpts{Name: External}, External: gophercloud.Enabled}
	if p.external, p.externalSubnet, err = l.findNetwork(ctx, outside, External); err != nil {
		return nil, err
	}
	found, err := list(ctx, routers.List(l.network, routers.ListOpts{Name: l.routerName(), ProjectID: p.project}), routers.ExtractRouters)
	if err != nil {
		return nil, fmt.Errorf("router %s: %w", l.routerName(), err)
	}
	p.router = first(found)
	if p.inside != nil {
		err = l.surveyServers(ctx, p)
	}
	return p, err
}

func (l *Lab) findNetwork(ctx context.Context, which networks.ListOptsBuilder, subnetName string) (*networks.Network, *subnets.Subnet, error) {
	found, err := list(ctx, networks.List(l.network, which), networks.ExtractNetworks)
	if err != nil || len(found) == 0 {
		return nil, nil, err
	}
	ranges, err := list(ctx, subnets.List(l.network, subnets.ListOpts{NetworkID: found[0].ID, Name: subnetName}), subnets.ExtractSubnets)
	if err != nil {
		return nil, nil, fmt.Errorf("subnet %s: %w", subnetName, err)
	}
	return &found[0], first(ranges), nil
}

func (l *Lab) surveyServers(ctx context.Context, p *present) error {
	var err error
	if p.ports, err = list(ctx, ports.List(l.network, ports.ListOpts{NetworkID: p.inside.ID}), ports.ExtractPorts); err != nil {
		return fmt.Errorf("ports of %s: %w", p.inside.Name, err)
	}
	all, err := list(ctx, servers.List(l.compute, servers.ListOpts{AllTenants: true}), servers.ExtractServers)
	if err != nil {
		return fmt.Errorf("servers: %w", err)
	}
	slices.SortFunc(all, func(a, b servers.Server) int { return strings.Compare(a.Name, b.Name) })
	for _, server := range all {
		if p.portOf(server.ID) != nil {
			p.servers = append(p.servers, server)
		}
	}
	return nil
}

// portOf is the port of a device on the inside network, or nil.
func (p *present) portOf(deviceID string) *ports.Port {
	for i := range p.ports {
		if p.ports[i].DeviceID == deviceID {
			return &p.ports[i]
		}
	}
	return nil
}

// addressOf is the fixed address of a server, "" when it has none.
func (p *present) addressOf(serverID string) string {
	if port := p.portOf(serverID); port != nil && len(port.FixedIPs) > 0 {
		return port.FixedIPs[0].IPAddress
	}
	return ""
}

func (p *present) server(name string) *servers.Server {
	for i := range p.servers {
		if p.servers[i].Name == name {
			return &p.servers[i]
		}
	}
	return nil
}

func first[T any](found []T) *T {
	if len(found) == 0 {
		return nil
	}
	return &found[0]
}

package lab

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/external"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/routers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/portsecurity"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
)

// Program is what greets in the servers.
type Program string

// The programs: poise's own greeter, or Nmap's ncat as in the guide.
const (
	Builtin Program = ""
	Ncat    Program = "ncat"
)

// Up makes what is missing of the lab and waits until the servers run.
func (l *Lab) Up(ctx context.Context, program Program) error {
	p, err := l.survey(ctx)
	if err != nil {
		return err
	}
	if err := l.upInside(ctx, p); err != nil {
		return err
	}
	where, err := planOf(p.insideSubnet.CIDR)
	if err != nil {
		return err
	}
	if err := l.upExternal(ctx, p, where); err != nil {
		return err
	}
	if err := l.upRouter(ctx, p, where); err != nil {
		return err
	}
	for _, s := range serverHosts {
		if err := l.upServer(ctx, p, s.name, at(where.inside, s.host), program); err != nil {
			return fmt.Errorf("server %s: %w", s.name, err)
		}
	}
	return nil
}

func (l *Lab) upInside(ctx context.Context, p *present) error {
	var err error
	if p.inside == nil {
		p.inside, err = networks.Create(ctx, l.network, networks.CreateOpts{Name: l.networkName(), ProjectID: p.project}).Extract()
		if err != nil {
			return fmt.Errorf("network %s: %w", l.networkName(), err)
		}
	}
	l.tell("network", p.inside.Name, "")
	if p.insideSubnet == nil {
		if p.insideSubnet, err = l.addRange(ctx, p); err != nil {
			return fmt.Errorf("subnet %s: %w", l.subnetName(), err)
		}
	}
	l.tell("subnet", p.insideSubnet.Name, p.insideSubnet.CIDR)
	return nil
}

// addRange gives the inside network the first range that the fabric does not refuse.
func (l *Lab) addRange(ctx context.Context, p *present) (subnet *subnets.Subnet, err error) {
	for _, where := range plans {
		opts := rangeOf(l.subnetName(), p.inside.ID, where.inside, insidePool)
		opts.ProjectID = p.project
		subnet, err = subnets.Create(ctx, l.network, opts).Extract()
		if !gophercloud.ResponseCodeIs(err, http.StatusBadRequest) {
			break
		}
	}
	return subnet, err
}

func rangeOf(name, networkID string, cidr netip.Prefix, pool [2]byte) subnets.CreateOpts {
	gateway := at(cidr, gatewayHost)
	return subnets.CreateOpts{
		Name: name, NetworkID: networkID, CIDR: cidr.String(), IPVersion: gophercloud.IPv4, GatewayIP: &gateway,
		AllocationPools: []subnets.AllocationPool{{Start: at(cidr, pool[0]), End: at(cidr, pool[1])}},
	}
}

func (l *Lab) upExternal(ctx context.Context, p *present, where plan) error {
	var err error
	if p.external == nil {
		opts := external.CreateOptsExt{CreateOptsBuilder: networks.CreateOpts{Name: External}, External: gophercloud.Enabled}
		if p.external, err = networks.Create(ctx, l.network, opts).Extract(); err != nil {
			return fmt.Errorf("network %s: %w", External, err)
		}
	}
	if p.externalSubnet == nil {
		opts := rangeOf(External, p.external.ID, where.external, externalPool)
		if p.externalSubnet, err = subnets.Create(ctx, l.network, opts).Extract(); err != nil {
			return fmt.Errorf("subnet %s: %w", External, err)
		}
	}
	l.tell("network", External, p.externalSubnet.CIDR+", reachable from this host")
	return nil
}

func (l *Lab) upRouter(ctx context.Context, p *present, where plan) error {
	if p.router == nil {
		leg := routers.ExternalFixedIP{SubnetID: p.externalSubnet.ID, IPAddress: at(where.external, routerHost)}
		router, err := routers.Create(ctx, l.network, routers.CreateOpts{
			Name: l.routerName(), ProjectID: p.project,
			GatewayInfo: &routers.GatewayInfo{NetworkID: p.external.ID, ExternalFixedIPs: []routers.ExternalFixedIP{leg}},
		}).Extract()
		if err != nil {
			return fmt.Errorf("router %s: %w", l.routerName(), err)
		}
		p.router = router
	}
	if p.portOf(p.router.ID) == nil {
		_, err := routers.AddInterface(ctx, l.network, p.router.ID, routers.AddInterfaceOpts{SubnetID: p.insideSubnet.ID}).Extract()
		if err != nil {
			return fmt.Errorf("router %s on %s: %w", p.router.Name, p.insideSubnet.Name, err)
		}
	}
	l.tell("router", p.router.Name, "between "+p.inside.Name+" and "+External)
	return nil
}

// upServer makes the server unless it is there, and has it greet with program.
func (l *Lab) upServer(ctx context.Context, p *present, name, address string, program Program) error {
	server := p.server(name)
	if server == nil {
		port, err := l.serverPort(ctx, p, name, address)
		if err != nil {
			return err
		}
		server, err = servers.Create(ctx, l.compute, servers.CreateOpts{
			Name: name, Networks: []servers.Network{{Port: port.ID}},
			Metadata: metadataOf(program),
		}, nil).Extract()
		if err != nil {
			return err
		}
	} else if server.Metadata[metadataProgram] != string(program) {
		if err := l.setProgram(ctx, server.ID, program); err != nil {
			return err
		}
	}
	if err := l.waitActive(ctx, server.ID); err != nil {
		return err
	}
	l.tell("server", name, fmt.Sprintf("%s:%d", address, GreetPort))
	return nil
}

// serverPort makes the server's port, or takes the one that an earlier attempt made.
func (l *Lab) serverPort(ctx context.Context, p *present, name, address string) (*ports.Port, error) {
	made := slices.IndexFunc(p.ports, func(port ports.Port) bool { return port.Name == name && port.DeviceID == "" })
	if made >= 0 {
		return &p.ports[made], nil
	}
	opts := ports.CreateOpts{
		Name: name, NetworkID: p.inside.ID, ProjectID: p.project,
		FixedIPs: []ports.IP{{SubnetID: p.insideSubnet.ID, IPAddress: address}},
	}
	// Without port security everybody may reach the server; the default group would let in only servers beside it.
	port, err := ports.Create(ctx, l.network, portsecurity.PortCreateOptsExt{
		CreateOptsBuilder: opts, PortSecurityEnabled: gophercloud.Disabled,
	}).Extract()
	if err != nil {
		return nil, fmt.Errorf("port: %w", err)
	}
	return port, nil
}

func (l *Lab) waitActive(ctx context.Context, id string) error {
	return wait(ctx, func(ctx context.Context) (bool, error) {
		server, err := servers.Get(ctx, l.compute, id).Extract()
		if err != nil {
			return false, err
		}
		if server.Status == "ERROR" {
			return false, fmt.Errorf("the server failed: %s", server.Fault.Message)
		}
		return server.Status == "ACTIVE", nil
	})
}

package lab

import (
	"context"
	"fmt"

	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
	"github.com/jedib0t/go-pretty/v6/table"
)

// Status prints what there is of the lab, and the load balancers in it.
func (l *Lab) Status(ctx context.Context) error {
	p, err := l.survey(ctx)
	if err != nil {
		return err
	}
	if p.inside == nil && p.external == nil {
		return ErrMissing
	}
	l.printNetworks(p)
	l.printServers(p)
	return l.printBalancers(ctx, p)
}

func (l *Lab) printNetworks(p *present) {
	t := l.newTable("Network", "Subnet", "Range")
	for _, n := range []struct {
		network *networks.Network
		subnet  *subnets.Subnet
	}{{p.inside, p.insideSubnet}, {p.external, p.externalSubnet}} {
		switch {
		case n.network == nil:
		case n.subnet == nil:
			t.AppendRow(table.Row{n.network.Name, "", ""})
		default:
			t.AppendRow(table.Row{n.network.Name, n.subnet.Name, n.subnet.CIDR})
		}
	}
	t.Render()
}

func (l *Lab) printServers(p *present) {
	t := l.newTable("Server", "Status", "Address", "Port", "Service", "Program")
	for _, s := range p.servers {
		t.AppendRow(table.Row{s.Name, s.Status, p.addressOf(s.ID), s.Metadata[metadataPort], s.Metadata[metadataService], programName(s.Metadata)})
	}
	t.Render()
}

func programName(metadata map[string]string) string {
	if name := metadata[metadataProgram]; name != "" {
		return name
	}
	return "built in"
}

func (l *Lab) printBalancers(ctx context.Context, p *present) error {
	found, err := l.balancers(ctx, p)
	if err != nil {
		return err
	}
	floating, err := l.floatingIPs(ctx, p)
	if err != nil {
		return err
	}
	outside := map[string]string{} // floating addresses by port
	for _, f := range floating {
		outside[f.PortID] = f.FloatingIP
	}
	t := l.newTable("Load balancer", "VIP", "Floating IP", "Provisioning", "Operating")
	for _, b := range found {
		t.AppendRow(table.Row{b.Name, b.VipAddress, outside[b.VipPortID], b.ProvisioningStatus, b.OperatingStatus})
	}
	t.Render()
	return nil
}

// newTable looks like the tables of the openstack client.
func (l *Lab) newTable(columns ...any) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(l.out)
	t.AppendHeader(columns)
	t.Style().Format.Header = 0
	return t
}

// Welcome prints what can be done with a lab that is up.
func (l *Lab) Welcome() {
	fmt.Fprintf(l.out, "\nThe servers greet on port %d. Put a load balancer in front of them:\n\n", GreetPort)
	fmt.Fprintf(l.out, "  openstack loadbalancer create --name mylb --vip-subnet-id %s\n", l.subnetName())
}

package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/loadbalancers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/routers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
)

// Down takes the lab away, and with it the load balancers and floating IPs that use its networks. It takes what there is
// of it, in the order in which things depend on each other; nothing is left when it returns nil.
func (l *Lab) Down(ctx context.Context) error {
	p, err := l.survey(ctx)
	if err != nil {
		return err
	}
	for _, step := range []func(context.Context, *present) error{
		l.downBalancers, l.downFloatingIPs, l.downServers, l.downRouter, l.downPorts, l.downNetworks,
	} {
		if err := step(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) downBalancers(ctx context.Context, p *present) error {
	found, err := l.balancers(ctx, p)
	if err != nil {
		return err
	}
	for _, b := range found {
		err := loadbalancers.Delete(ctx, l.balancer, b.ID, loadbalancers.DeleteOpts{Cascade: true}).ExtractErr()
		if err != nil && !isMissing(err) {
			return fmt.Errorf("load balancer %s: %w", b.Name, err)
		}
	}
	for _, b := range found {
		err := wait(ctx, func(ctx context.Context) (bool, error) {
			_, err := loadbalancers.Get(ctx, l.balancer, b.ID).Extract()
			if isMissing(err) {
				return true, nil
			}
			return false, err
		})
		if err != nil {
			return fmt.Errorf("end of load balancer %s: %w", b.Name, err)
		}
		l.tell("load balancer", b.Name, "removed with all that is below it")
	}
	return nil
}

// balancers are the load balancers with their VIP in the lab, whoever owns them.
func (l *Lab) balancers(ctx context.Context, p *present) ([]loadbalancers.LoadBalancer, error) {
	if p.inside == nil {
		return nil, nil
	}
	pager := loadbalancers.List(l.balancer, loadbalancers.ListOpts{VipNetworkID: p.inside.ID, SortKey: "name"})
	found, err := list(ctx, pager, loadbalancers.ExtractLoadBalancers)
	if err != nil {
		return nil, fmt.Errorf("load balancers: %w", err)
	}
	return found, nil
}

func (l *Lab) downFloatingIPs(ctx context.Context, p *present) error {
	found, err := l.floatingIPs(ctx, p)
	if err != nil {
		return err
	}
	for _, f := range found {
		if err := floatingips.Delete(ctx, l.network, f.ID).ExtractErr(); err != nil && !isMissing(err) {
			return fmt.Errorf("floating IP %s: %w", f.FloatingIP, err)
		}
		l.tell("floating IP", f.FloatingIP, "removed")
	}
	return nil
}

func (l *Lab) floatingIPs(ctx context.Context, p *present) ([]floatingips.FloatingIP, error) {
	if p.external == nil {
		return nil, nil
	}
	pager := floatingips.List(l.network, floatingips.ListOpts{FloatingNetworkID: p.external.ID})
	found, err := list(ctx, pager, floatingips.ExtractFloatingIPs)
	if err != nil {
		return nil, fmt.Errorf("floating IPs: %w", err)
	}
	return found, nil
}

func (l *Lab) downServers(ctx context.Context, p *present) error {
	for _, server := range p.servers {
		if err := servers.Delete(ctx, l.compute, server.ID).ExtractErr(); err != nil && !isMissing(err) {
			return fmt.Errorf("server %s: %w", server.Name, err)
		}
		err := wait(ctx, func(ctx context.Context) (bool, error) {
			_, err := servers.Get(ctx, l.compute, server.ID).Extract()
			if isMissing(err) {
				return true, nil
			}
			return false, err
		})
		if err != nil {
			return fmt.Errorf("end of server %s: %w", server.Name, err)
		}
		l.tell("server", server.Name, "removed")
	}
	return nil
}

func (l *Lab) downRouter(ctx context.Context, p *present) error {
	if p.router == nil {
		return nil
	}
	legs, err := list(ctx, ports.List(l.network, ports.ListOpts{DeviceID: p.router.ID}), ports.ExtractPorts)
	if err != nil {
		return fmt.Errorf("legs of router %s: %w", p.router.Name, err)
	}
	for _, leg := range legs {
		if leg.DeviceOwner != "network:router_interface" {
			continue
		}
		if err := routers.RemoveInterface(ctx, l.network, p.router.ID, routers.RemoveInterfaceOpts{PortID: leg.ID}).Err; err != nil {
			return fmt.Errorf("leg of router %s: %w", p.router.Name, err)
		}
	}
	if err := routers.Delete(ctx, l.network, p.router.ID).ExtractErr(); err != nil && !isMissing(err) {
		return fmt.Errorf("router %s: %w", p.router.Name, err)
	}
	l.tell("router", p.router.Name, "removed")
	return nil
}

// downPorts removes what the servers, which do not own their ports, and people have left on the inside network.
func (l *Lab) downPorts(ctx context.Context, p *present) error {
	if p.inside == nil {
		return nil
	}
	left, err := list(ctx, ports.List(l.network, ports.ListOpts{NetworkID: p.inside.ID}), ports.ExtractPorts)
	if err != nil {
		return fmt.Errorf("ports of %s: %w", p.inside.Name, err)
	}
	for _, port := range left {
		if err := ports.Delete(ctx, l.network, port.ID).ExtractErr(); err != nil && !isMissing(err) {
			return fmt.Errorf("port %s: %w", strings.TrimSpace(port.Name+" "+port.ID), err)
		}
	}
	return nil
}

func (l *Lab) downNetworks(ctx context.Context, p *present) error {
	var errs error
	for _, n := range []*networks.Network{p.inside, p.external} {
		if n == nil {
			continue
		}
		if err := networks.Delete(ctx, l.network, n.ID).ExtractErr(); err != nil && !isMissing(err) {
			errs = errors.Join(errs, fmt.Errorf("network %s: %w", n.Name, err))
			continue
		}
		l.tell("network", n.Name, "removed with its subnet")
	}
	return errs
}

func isMissing(err error) bool { return gophercloud.ResponseCodeIs(err, http.StatusNotFound) }

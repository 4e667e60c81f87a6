// Package lab is the playground: two networks, a router between them, and three servers to put a load balancer in front
// of, made and taken away through the public APIs with an administrator's credentials, like any other client would.
//
//	ext-net 198.51.100.0/24 ── router-<region> ── network-<region> 10.15.25.0/24
//	                                               ├ srv-lbaas-1  10.15.25.105:61234
//	                                               ├ srv-lbaas-2  10.15.25.236:61234
//	                                               └ srv-lbaas-3  10.15.25.58:61234
//
// Everything but the external network belongs to the project demo. Where the server's fabric carries loopback addresses
// only, the ranges are 127.51.100.0/24 and 127.15.25.0/24.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/projects"
	"github.com/gophercloud/gophercloud/v2/pagination"
)

const (
	// Project owns the lab.
	Project = "demo"
	// External is the name of the network on which floating IPs are.
	External = "ext-net"
	// GreetPort is the TCP port on which the servers greet.
	GreetPort = 61234

	// patience bounds how long the lab waits for the server to bring something up or take it away.
	patience = 30 * time.Second
	// glance is the pause between two looks while waiting.
	glance = 100 * time.Millisecond
)

// ErrMissing says that what was asked for is not there because the lab is not up.
var ErrMissing = errors.New("the lab is not up")

// Lab is the playground of one region.
type Lab struct {
	region   string
	out      io.Writer // where steps are told
	identity *gophercloud.ServiceClient
	network  *gophercloud.ServiceClient
	compute  *gophercloud.ServiceClient
	balancer *gophercloud.ServiceClient
}

// New returns the lab of a region on the cloud that provider is signed in to; its steps are told to out.
func New(provider *gophercloud.ProviderClient, region string, out io.Writer) (*Lab, error) {
	l := &Lab{region: region, out: out}
	for _, service := range []struct {
		name string
		open func(*gophercloud.ProviderClient, gophercloud.EndpointOpts) (*gophercloud.ServiceClient, error)
		into **gophercloud.ServiceClient
	}{
		{"identity", openstack.NewIdentityV3, &l.identity},
		{"network", openstack.NewNetworkV2, &l.network},
		{"compute", openstack.NewComputeV2, &l.compute},
		{"load balancer", openstack.NewLoadBalancerV2, &l.balancer},
	} {
		client, err := service.open(provider, gophercloud.EndpointOpts{Region: region})
		if err != nil {
			return nil, fmt.Errorf("%s service of region %q: %w", service.name, region, err)
		}
		*service.into = client
	}
	return l, nil
}

func (l *Lab) networkName() string { return "network-" + strings.ToLower(l.region) }
func (l *Lab) subnetName() string  { return "subnet-" + strings.ToLower(l.region) }
func (l *Lab) routerName() string  { return "router-" + strings.ToLower(l.region) }

// projectID finds the project that owns the lab.
func (l *Lab) projectID(ctx context.Context) (string, error) {
	found, err := list(ctx, projects.List(l.identity, projects.ListOpts{Name: Project}), projects.ExtractProjects)
	if err != nil {
		return "", fmt.Errorf("project %s: %w", Project, err)
	}
	if len(found) == 0 {
		return "", fmt.Errorf("there is no project %s", Project)
	}
	return found[0].ID, nil
}

// tell prints what happened to one thing.
func (l *Lab) tell(kind, name, what string) {
	fmt.Fprintf(l.out, "  ✓ %-14s %-22s %s\n", kind, name, what)
}

// list reads all pages.
func list[T any](ctx context.Context, pager pagination.Pager, extract func(pagination.Page) ([]T, error)) ([]T, error) {
	all, err := pager.AllPages(ctx)
	if err != nil {
		return nil, err
	}
	return extract(all)
}

// wait asks until done says so.
func wait(ctx context.Context, done func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	again := time.NewTicker(glance)
	defer again.Stop()
	for {
		if ok, err := done(ctx); ok || err != nil {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

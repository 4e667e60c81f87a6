package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/listeners"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/loadbalancers"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/pools"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/routers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
	"github.com/gophercloud/gophercloud/v2/pagination"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"poise/bench/server"
	"poise/internal/clouds"
)

// port is where the lab's servers greet, and where the listeners listen.
const port = 61234

// connectTimeout bounds one attempt to connect. The client does not wait for ACTIVE, so that its first attempts may come
// too early: one that is lost because the address is not there yet is made again soon, where TCP itself would wait for a
// second.
const connectTimeout = 20 * time.Millisecond

// labServer is a server of the playground.
type labServer struct {
	name, address, namespace string
}

// balancer is a whole load balancer.
type balancer struct {
	id, pool, address string
	members           []balancerMember
}

type balancerMember struct {
	id     string
	server labServer
}

// greeting is what the member says.
func greeting(m balancerMember) string { return "Yello from " + m.server.name + "!" }

// api is the server's APIs as the demo user, and as the admin.
type api struct {
	balancers *gophercloud.ServiceClient
	compute   *gophercloud.ServiceClient // as admin
	network   *gophercloud.ServiceClient
	subnet    string // the lab's
}

func (a *api) signIn(ctx context.Context, s *server.Server) error {
	demo, where, err := s.Cloud(ctx, clouds.User)
	if err != nil {
		return err
	}
	admin, _, err := s.Cloud(ctx, clouds.Admin)
	if err != nil {
		return err
	}
	if a.balancers, err = openstack.NewLoadBalancerV2(demo, where); err != nil {
		return err
	}
	if a.compute, err = openstack.NewComputeV2(admin, where); err != nil {
		return err
	}
	a.network, err = openstack.NewNetworkV2(demo, where)
	return err
}

// labServers finds what `poise lab up` made.
func (a *api) labServers(ctx context.Context) ([]labServer, error) {
	page, err := subnets.List(a.network, subnets.ListOpts{Name: "subnet-" + strings.ToLower("RegionOne")}).AllPages(ctx)
	if err != nil {
		return nil, err
	}
	found, err := subnets.ExtractSubnets(page)
	if err != nil || len(found) != 1 {
		return nil, fmt.Errorf("%d lab subnets, want one (%w)", len(found), err)
	}
	a.subnet = found[0].ID
	page, err = servers.List(a.compute, servers.ListOpts{AllTenants: true}).AllPages(ctx)
	if err != nil {
		return nil, err
	}
	var all []struct {
		Name      string `json:"name"`
		Namespace string `json:"OS-EXT-SRV-ATTR:instance_name"`
		Addresses map[string][]struct {
			Address string `json:"addr"`
		} `json:"addresses"`
	}
	if err := servers.ExtractServersInto(page, &all); err != nil {
		return nil, err
	}
	var lab []labServer
	for _, s := range all {
		for _, addresses := range s.Addresses {
			lab = append(lab, labServer{s.Name, addresses[0].Address, s.Namespace})
		}
	}
	if len(lab) < 3 {
		return nil, fmt.Errorf("%d lab servers, want three", len(lab))
	}
	return lab, nil
}

// makeLargeSubnet makes a subnet with room for thousands of load balancers, and has further ones go there.
func (a *api) makeLargeSubnet(ctx context.Context) error {
	network, err := networks.Create(ctx, a.network, networks.CreateOpts{Name: "many"}).Extract()
	if err != nil {
		return err
	}
	subnet, err := subnets.Create(ctx, a.network, subnets.CreateOpts{NetworkID: network.ID, CIDR: "10.16.0.0/16", IPVersion: 4}).Extract()
	if err != nil {
		return err
	}
	page, err := routers.List(a.network, routers.ListOpts{}).AllPages(ctx)
	if err != nil {
		return err
	}
	found, err := routers.ExtractRouters(page)
	if err != nil || len(found) != 1 {
		return fmt.Errorf("%d lab routers, want one (%w)", len(found), err)
	}
	a.subnet = subnet.ID
	return routers.AddInterface(ctx, a.network, found[0].ID, routers.AddInterfaceOpts{SubnetID: subnet.ID}).Err
}

// makeBalancer makes a load balancer with so many of the lab's first servers as members, without waiting in between.
func (b *bench) makeBalancer(ctx context.Context, members int) (balancer, error) {
	made, err := loadbalancers.Create(ctx, b.api.balancers, loadbalancers.CreateOpts{VipSubnetID: b.api.subnet}).Extract()
	if err != nil {
		return balancer{}, err
	}
	listener, err := listeners.Create(ctx, b.api.balancers, listeners.CreateOpts{
		LoadbalancerID: made.ID, Protocol: listeners.ProtocolTCP, ProtocolPort: port,
	}).Extract()
	if err != nil {
		return balancer{}, err
	}
	pool, err := pools.Create(ctx, b.api.balancers, pools.CreateOpts{
		ListenerID: listener.ID, Protocol: pools.ProtocolTCP, LBMethod: pools.LBMethodRoundRobin,
	}).Extract()
	if err != nil {
		return balancer{}, err
	}
	whole := balancer{id: made.ID, pool: pool.ID, address: net.JoinHostPort(made.VipAddress, fmt.Sprint(port))}
	for _, member := range b.servers[:members] {
		m, err := pools.CreateMember(ctx, b.api.balancers, pool.ID, pools.CreateMemberOpts{Address: member.address, ProtocolPort: port}).Extract()
		if err != nil {
			return balancer{}, err
		}
		whole.members = append(whole.members, balancerMember{m.ID, member})
	}
	b.made = append(b.made, whole)
	return whole, nil
}

// makers is how many clients make load balancers at once.
const makers = 4

// makeWhole makes load balancers with a listener, a pool and one member, each by one request.
func (b *bench) makeWhole(ctx context.Context, many int) error {
	member := pools.CreateMemberOpts{Address: b.servers[0].address, ProtocolPort: port}
	request := loadbalancers.CreateOpts{
		VipSubnetID: b.api.subnet,
		Listeners: []listeners.CreateOpts{{
			Protocol: listeners.ProtocolTCP, ProtocolPort: port, DefaultPool: &pools.CreateOpts{
				Name:     "pool",
				Protocol: pools.ProtocolTCP, LBMethod: pools.LBMethodRoundRobin, Members: []pools.CreateMemberOpts{member},
			},
		}},
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(makers)
	var mu sync.Mutex // guards b.made
	for range many {
		group.Go(func() error {
			made, err := loadbalancers.Create(ctx, b.api.balancers, request).Extract()
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			b.made = append(b.made, balancer{id: made.ID, address: net.JoinHostPort(made.VipAddress, fmt.Sprint(port))})
			return nil
		})
	}
	return group.Wait()
}

// countBalancers lists all load balancers, page by page.
func (a *api) countBalancers(ctx context.Context) (n int, err error) {
	err = loadbalancers.List(a.balancers, loadbalancers.ListOpts{}).EachPage(ctx, func(_ context.Context, page pagination.Page) (bool, error) {
		some, err := loadbalancers.ExtractLoadBalancers(page)
		n += len(some)
		return true, err
	})
	return n, err
}

func (b *bench) deleteBalancer(ctx context.Context, id string) error {
	for i, made := range b.made {
		if made.id == id {
			b.made = append(b.made[:i], b.made[i+1:]...)
			break
		}
	}
	return loadbalancers.Delete(ctx, b.api.balancers, id, loadbalancers.DeleteOpts{Cascade: true}).ExtractErr()
}

func (b *bench) setWeight(ctx context.Context, pool string, m balancerMember, weight int) error {
	return pools.UpdateMember(ctx, b.api.balancers, pool, m.id, pools.UpdateMemberOpts{Weight: &weight}).Err
}

// untilAnswer connects from one of the lab's servers until the load balancer answers, with want in it.
func (b *bench) untilAnswer(ctx context.Context, address, want string) error {
	from := b.servers[len(b.servers)-1].namespace
	return server.Until(ctx, func() error {
		answer, err := askFrom(from, address)
		if err == nil && (answer == "" || !strings.Contains(answer, want)) {
			err = fmt.Errorf("the answer is %q, want %q", answer, want)
		}
		return err
	})
}

// untilAllAnswer waits until every load balancer answers.
func (b *bench) untilAllAnswer(ctx context.Context) error {
	for _, made := range b.made {
		if err := b.untilAnswer(ctx, made.address, ""); err != nil {
			return err
		}
	}
	return nil
}

// askFrom connects out of a namespace and reads to the end.
func askFrom(namespace, address string) (string, error) {
	connection, err := dialFrom(namespace, address)
	if err != nil {
		return "", err
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(connection)
	return string(answer), err
}

// dialFrom connects on a thread that is in the namespace for the time of the call.
func dialFrom(namespace, address string) (connection net.Conn, err error) {
	there, err := os.Open(filepath.Join("/run/netns", namespace))
	if err != nil {
		return nil, err
	}
	defer there.Close()
	runtime.LockOSThread()                           // unlocked only once the thread is back home
	home, err := os.Open("/proc/thread-self/ns/net") // not the main thread's, which may be elsewhere
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	defer home.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	connection, err = net.DialTimeout("tcp4", address, connectTimeout)
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return nil, errors.Join(err, back)
	}
	runtime.UnlockOSThread()
	return connection, err
}

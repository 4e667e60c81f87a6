package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
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
	"golang.org/x/sys/unix"

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

func (a *api) signIn(ctx context.Context, file string) error {
	credentials, err := clouds.Read(file)
	if err != nil {
		return err
	}
	client := func(cloud string) (*gophercloud.ProviderClient, error) {
		auth := credentials.Clouds[cloud].Auth
		return openstack.AuthenticatedClient(ctx, gophercloud.AuthOptions{
			IdentityEndpoint: auth.AuthURL, Username: auth.Username, Password: auth.Password,
			DomainName: auth.UserDomainName, TenantName: auth.ProjectName,
		})
	}
	demo, err := client(clouds.User)
	if err != nil {
		return err
	}
	admin, err := client(clouds.Admin)
	if err != nil {
		return err
	}
	for _, c := range []*gophercloud.ProviderClient{demo, admin} { // a restarted server has closed the idle connections
		c.HTTPClient = http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Second}}
	}
	where := gophercloud.EndpointOpts{Region: credentials.Clouds[clouds.User].RegionName}
	if a.balancers, err = openstack.NewLoadBalancerV2(demo, where); err != nil {
		return err
	}
	if a.compute, err = openstack.NewComputeV2(admin, where); err != nil {
		return err
	}
	network, err := openstack.NewNetworkV2(demo, where)
	if err != nil {
		return err
	}
	a.network = network
	return nil
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
func (s *server) makeBalancer(ctx context.Context, members int) (balancer, error) {
	made, err := loadbalancers.Create(ctx, s.api.balancers, loadbalancers.CreateOpts{VipSubnetID: s.api.subnet}).Extract()
	if err != nil {
		return balancer{}, err
	}
	listener, err := listeners.Create(ctx, s.api.balancers, listeners.CreateOpts{
		LoadbalancerID: made.ID, Protocol: listeners.ProtocolTCP, ProtocolPort: port,
	}).Extract()
	if err != nil {
		return balancer{}, err
	}
	pool, err := pools.Create(ctx, s.api.balancers, pools.CreateOpts{
		ListenerID: listener.ID, Protocol: pools.ProtocolTCP, LBMethod: pools.LBMethodRoundRobin,
	}).Extract()
	if err != nil {
		return balancer{}, err
	}
	b := balancer{id: made.ID, pool: pool.ID, address: net.JoinHostPort(made.VipAddress, fmt.Sprint(port))}
	for _, server := range s.servers[:members] {
		m, err := pools.CreateMember(ctx, s.api.balancers, pool.ID, pools.CreateMemberOpts{Address: server.address, ProtocolPort: port}).Extract()
		if err != nil {
			return balancer{}, err
		}
		b.members = append(b.members, balancerMember{m.ID, server})
	}
	s.made = append(s.made, b)
	return b, nil
}

func (s *server) deleteBalancer(ctx context.Context, id string) error {
	for i, b := range s.made {
		if b.id == id {
			s.made = append(s.made[:i], s.made[i+1:]...)
			break
		}
	}
	return loadbalancers.Delete(ctx, s.api.balancers, id, loadbalancers.DeleteOpts{Cascade: true}).ExtractErr()
}

func (s *server) setWeight(ctx context.Context, pool string, m balancerMember, weight int) error {
	return pools.UpdateMember(ctx, s.api.balancers, pool, m.id, pools.UpdateMemberOpts{Weight: &weight}).Err
}

// untilAnswer connects from one of the lab's servers until the load balancer answers, with want in it.
func (s *server) untilAnswer(ctx context.Context, address, want string) error {
	from := s.servers[len(s.servers)-1].namespace
	return until(ctx, func() error {
		answer, err := askFrom(from, address)
		if err == nil && (answer == "" || !strings.Contains(answer, want)) {
			err = fmt.Errorf("the answer is %q, want %q", answer, want)
		}
		return err
	})
}

// untilAllAnswer waits until every load balancer answers.
func (s *server) untilAllAnswer(ctx context.Context) error {
	for _, b := range s.made {
		if err := s.untilAnswer(ctx, b.address, ""); err != nil {
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
	home, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return nil, err
	}
	defer home.Close()
	runtime.LockOSThread() // unlocked only once the thread is back home
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

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/listeners"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/loadbalancers"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/monitors"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/pools"
	"golang.org/x/sync/errgroup"

	"poise/bench/server"
)

const (
	stormRounds  = 3
	stormSeconds = 10
	askers       = 4   // clients of the load balancer in the other network
	healthyPools = 67  // of three members each
	deadMembers  = 5   // of each load balancer
	firstDead    = 200 // third byte of the first address that nobody has
)

// everySecond checks members each second; one failure is enough for ERROR.
var everySecond = monitors.CreateOpts{Type: "TCP", Delay: 1, Timeout: 1, MaxRetries: 1, MaxRetriesDown: 1}

// moment is what a span of time was like.
type moment struct {
	packets, drops int // of the kernel's backlog, which all namespaces share
	answers        int64
	errors         int           // members in ERROR, the most seen at once
	server         time.Duration // processor time of the server
}

// measureStorm compares, several times, a quiet time with one in which so many load balancers check members that do not exist. Meanwhile clients
// of a load balancer in another network are answered, and 201 healthy members beside it are checked.
func (b *bench) measureStorm(ctx context.Context, balancers int) error {
	healthy, err := b.makeHealthy(ctx)
	if err != nil {
		return err
	}
	if err := b.api.makeLargeSubnet(ctx); err != nil {
		return err
	}
	if err := b.makeStorm(ctx, balancers); err != nil {
		return err
	}
	for range stormRounds {
		quiet, err := b.watch(ctx, healthy)
		if err != nil {
			return err
		}
		tell("quiet", quiet)
		checks, err := b.startChecks(ctx)
		if err != nil {
			return err
		}
		storm, err := b.watch(ctx, healthy)
		if err != nil {
			return err
		}
		tell(fmt.Sprintf("%d x %d dead members", balancers, deadMembers), storm)
		fmt.Printf("%-36s %.2f of the packets, %.2f of the answers\n", "  against quiet",
			float64(storm.packets)/float64(quiet.packets), float64(storm.answers)/float64(quiet.answers))
		for _, id := range checks {
			if err := monitors.Delete(ctx, b.api.balancers, id).ExtractErr(); err != nil {
				return err
			}
		}
	}
	return nil
}

func tell(what string, m moment) {
	fmt.Printf("%-36s %d packets a second, %d dropped, %d answers a second, %d healthy members in ERROR, server %v of processor time\n",
		what, m.packets/stormSeconds, m.drops, m.answers/stormSeconds, m.errors, m.server)
}

// makeHealthy makes a load balancer with many listeners, each with a pool of the lab's servers.
func (b *bench) makeHealthy(ctx context.Context) (balancer, error) {
	request := loadbalancers.CreateOpts{VipSubnetID: b.api.subnet}
	for i := range healthyPools {
		pool := &pools.CreateOpts{
			Name: fmt.Sprintf("healthy-%d", i), Protocol: pools.ProtocolTCP, LBMethod: pools.LBMethodRoundRobin, Monitor: everySecond,
		}
		for _, s := range b.servers[:3] {
			pool.Members = append(pool.Members, pools.CreateMemberOpts{Address: s.address, ProtocolPort: port})
		}
		request.Listeners = append(request.Listeners, listeners.CreateOpts{
			Protocol: listeners.ProtocolTCP, ProtocolPort: port - i, DefaultPool: pool,
		})
	}
	made, err := loadbalancers.Create(ctx, b.api.balancers, request).Extract()
	if err != nil {
		return balancer{}, err
	}
	one := balancer{id: made.ID, address: fmt.Sprintf("%s:%d", made.VipAddress, port)}
	if err := b.untilAnswer(ctx, one.address, ""); err != nil {
		return one, err
	}
	return one, server.Until(ctx, func() error {
		online, errors, err := b.members(ctx, one.id)
		if err == nil && online < 3*healthyPools {
			err = fmt.Errorf("%d members are ONLINE, %d in ERROR", online, errors)
		}
		return err
	})
}

// members are how many of a load balancer's members are ONLINE and in ERROR.
func (b *bench) members(ctx context.Context, id string) (online, errors int, err error) {
	tree, err := loadbalancers.GetStatuses(ctx, b.api.balancers, id).Extract()
	if err != nil {
		return 0, 0, err
	}
	for _, l := range tree.Loadbalancer.Listeners {
		for _, p := range l.Pools {
			for _, m := range p.Members {
				switch m.OperatingStatus {
				case "ONLINE":
					online++
				case "ERROR":
					errors++
				}
			}
		}
	}
	return online, errors, nil
}

// makeStorm makes the load balancers with the dead members, which nobody checks yet.
func (b *bench) makeStorm(ctx context.Context, balancers int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(makers)
	var mu sync.Mutex // guards b.made
	for i := range balancers {
		group.Go(func() error {
			pool := &pools.CreateOpts{Name: "dead", Protocol: pools.ProtocolTCP, LBMethod: pools.LBMethodRoundRobin}
			for m := range deadMembers {
				n := i*deadMembers + m
				address := fmt.Sprintf("10.16.%d.%d", firstDead+n/200, 10+n%200)
				pool.Members = append(pool.Members, pools.CreateMemberOpts{Address: address, ProtocolPort: port})
			}
			made, err := loadbalancers.Create(ctx, b.api.balancers, loadbalancers.CreateOpts{
				VipSubnetID: b.api.subnet,
				Listeners:   []listeners.CreateOpts{{Protocol: listeners.ProtocolTCP, ProtocolPort: port, DefaultPool: pool}},
			}).Extract()
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			b.made = append(b.made, balancer{id: made.ID, pool: made.Pools[0].ID})
			return nil
		})
	}
	return group.Wait()
}

// startChecks has all dead members checked, by these monitors.
func (b *bench) startChecks(ctx context.Context) (ids []string, err error) {
	for _, made := range b.made {
		request := everySecond
		request.PoolID = made.pool
		monitor, err := monitors.Create(ctx, b.api.balancers, request).Extract()
		if err != nil {
			return nil, err
		}
		ids = append(ids, monitor.ID)
	}
	return ids, nil
}

// watch has clients ask the load balancer for a while, and looks at its members every second.
func (b *bench) watch(ctx context.Context, healthy balancer) (m moment, err error) {
	before, err := backlog()
	if err != nil {
		return m, err
	}
	cpu, err := b.CPU()
	if err != nil {
		return m, err
	}
	limited, cancel := context.WithTimeout(ctx, stormSeconds*time.Second)
	defer cancel()
	var answers atomic.Int64
	var clients errgroup.Group
	from := b.servers[len(b.servers)-1].namespace
	for range askers {
		clients.Go(func() error {
			for limited.Err() == nil {
				if _, err := askFrom(from, healthy.address); err == nil {
					answers.Add(1)
				}
			}
			return nil
		})
	}
	for limited.Err() == nil {
		_, errors, err := b.members(ctx, healthy.id)
		if err != nil {
			return m, err
		}
		m.errors = max(m.errors, errors)
		select {
		case <-limited.Done():
		case <-time.After(time.Second):
		}
	}
	if err := clients.Wait(); err != nil {
		return m, err
	}
	after, err := backlog()
	if err != nil {
		return m, err
	}
	m.server, err = b.CPU()
	m.server -= cpu
	m.packets, m.drops, m.answers = after.packets-before.packets, after.drops-before.drops, answers.Load()
	return m, err
}

// backlog reads what the kernel has taken from its backlog, and dropped before it, on all processors: the machine's, whoever caused
// it (/proc/net/softnet_stat).
func backlog() (sum moment, err error) {
	text, err := os.ReadFile("/proc/net/softnet_stat")
	for line := range strings.Lines(string(text)) {
		var packets, drops int
		if _, err := fmt.Sscanf(line, "%x %x", &packets, &drops); err != nil {
			return sum, fmt.Errorf("softnet_stat: %w", err)
		}
		sum.packets, sum.drops = sum.packets+packets, sum.drops+drops
	}
	return sum, err
}

package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"poise/bench/server"
)

// octavia is what a real Octavia answers for a second of processor time: its newest release, with drivers that do nothing,
// its Keystone and its database on the same two processors. It answered 29 lists and 125 shows in a second to four clients
// at once, about twice as many as to one, so that both processors were busy.
var octavia = struct{ lists, shows float64 }{lists: 29. / 2, shows: 125. / 2}

// Targets.
const (
	listTarget      = 5 * time.Millisecond    // median
	showTarget      = 1500 * time.Microsecond // median
	createTarget    = 8 * time.Millisecond    // median
	cheaperTarget   = 20                      // times the requests that Octavia answers for a second of processor time
	residentTarget  = 120                     // MiB
	batchMembers    = 10_000
	batchTarget     = 1500 * time.Millisecond // from the request to ACTIVE
	largePool       = 5_000                   // members
	addMemberTarget = 30 * time.Millisecond   // median, from the request to ACTIVE
)

// Rounds of what takes long.
const (
	batchRounds     = 5
	addMemberRounds = 50
)

// bench is a server with load balancers, and what was found so far.
type bench struct {
	*server.Server
	client *client
	runs   int
	ids    []string // of the load balancers
	met    bool     // every target so far
}

// report prints a line of the table.
func (b *bench) report(what, measured, target string, met bool) {
	verdict := "ok"
	if !met {
		verdict, b.met = "MISSED", false
	}
	fmt.Printf("%-52s %-28s %-12s %s\n", what, measured, target, verdict)
}

// populate makes load balancers with two listeners, two pools and ten members each, and waits until all are ACTIVE.
func (b *bench) populate(ctx context.Context, n int) error {
	begin := time.Now()
	for i := range n {
		id, err := b.client.create(ctx, "loadbalancers", "loadbalancer", map[string]any{
			"name": fmt.Sprintf("lb-%d", i), "vip_subnet_id": b.client.subnet, "tags": []string{"bench"},
			"listeners": []any{listener(80, "a"), listener(443, "b")},
		})
		if err != nil {
			return err
		}
		b.ids = append(b.ids, id)
	}
	for _, id := range b.ids {
		if err := b.active(ctx, id); err != nil {
			return err
		}
	}
	fmt.Printf("%d load balancers made, ACTIVE after %v\n\n", n, time.Since(begin).Round(time.Millisecond))
	return nil
}

func listener(port int, pool string) map[string]any {
	var members []any
	for i := range 5 {
		members = append(members, map[string]any{"address": fmt.Sprintf("10.16.255.%d", i+1), "protocol_port": 8000 + port})
	}
	return map[string]any{"protocol": "TCP", "protocol_port": port, "default_pool": map[string]any{
		"name": pool, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "members": members,
	}}
}

func (b *bench) lists(ctx context.Context) error {
	return b.compare(ctx, "list of all load balancers", listTarget, octavia.lists, func(int) string { return "loadbalancers" })
}

func (b *bench) shows(ctx context.Context) error {
	return b.compare(ctx, "one load balancer", showTarget, octavia.shows, func(i int) string {
		return "loadbalancers/" + b.ids[i%len(b.ids)]
	})
}

// compare gets paths one after the other, and compares what that costs with what it costs Octavia.
func (b *bench) compare(ctx context.Context, what string, target time.Duration, peer float64, path func(i int) string) error {
	p50, cpu, err := b.repeat(b.runs, func(i int) error {
		return b.client.send(ctx, http.MethodGet, path(i), nil, nil)
	})
	if err != nil {
		return err
	}
	perSecond := 1 / cpu.Seconds()
	b.report(what+", p50", p50.String(), "≤ "+target.String(), p50 <= target)
	b.report(what+", requests per CPU second", fmt.Sprintf("%.0f (%.0f × Octavia)", perSecond, perSecond/peer),
		fmt.Sprintf("≥ %d ×", cheaperTarget), perSecond >= cheaperTarget*peer)
	return nil
}

// change makes changes one after the other.
func (b *bench) change(what string, runs int, target time.Duration, do func(i int) error) error {
	p50, cpu, err := b.repeat(runs, do)
	if err != nil {
		return err
	}
	b.report(what+", p50", fmt.Sprintf("%v (%v CPU)", p50, cpu.Round(100*time.Microsecond)), "≤ "+target.String(), p50 <= target)
	return nil
}

// listeners makes listeners of one load balancer.
func (b *bench) listeners(ctx context.Context) error {
	return b.change("create of a listener", b.runs, createTarget, func(i int) error {
		_, err := b.client.create(ctx, "listeners", "listener", map[string]any{
			"loadbalancer_id": b.ids[i%len(b.ids)], "protocol": "TCP", "protocol_port": 10_000 + i,
		})
		return err
	})
}

func (b *bench) resident(context.Context) error {
	MiB := b.ResidentMiB()
	b.report("resident memory", fmt.Sprintf("%d MiB", MiB), fmt.Sprintf("≤ %d MiB", residentTarget), MiB > 0 && MiB <= residentTarget)
	return nil
}

// batch replaces all members of a pool by others.
func (b *bench) batch(ctx context.Context) error {
	balancer, pool, err := b.alone(ctx)
	if err != nil {
		return err
	}
	return b.change(fmt.Sprintf("batch of %d members to ACTIVE", batchMembers), batchRounds, batchTarget, func(i int) error {
		return b.replace(ctx, balancer, pool, 20+i, batchMembers)
	})
}

// addMember adds members to a large pool, one after the other.
func (b *bench) addMember(ctx context.Context) error {
	balancer, pool, err := b.alone(ctx)
	if err != nil {
		return err
	}
	if err := b.replace(ctx, balancer, pool, 30, largePool); err != nil {
		return err
	}
	return b.change(fmt.Sprintf("member added to %d, to ACTIVE", largePool), addMemberRounds, addMemberTarget, func(i int) error {
		_, err := b.client.create(ctx, "pools/"+pool+"/members", "member", memberAt(31, i))
		if err == nil {
			err = b.active(ctx, balancer)
		}
		return err
	})
}

// alone makes a load balancer with one listener and an empty pool.
func (b *bench) alone(ctx context.Context) (balancer, pool string, err error) {
	if balancer, err = b.client.create(ctx, "loadbalancers", "loadbalancer", map[string]any{"vip_subnet_id": b.client.subnet}); err != nil {
		return "", "", err
	}
	listener, err := b.client.create(ctx, "listeners", "listener", map[string]any{"loadbalancer_id": balancer, "protocol": "TCP", "protocol_port": 80})
	if err != nil {
		return "", "", err
	}
	pool, err = b.client.create(ctx, "pools", "pool", map[string]any{"listener_id": listener, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"})
	return balancer, pool, errOr(err, func() error { return b.active(ctx, balancer) })
}

// replace makes the members of a pool n addresses of 10.<net>.0.0/16, and waits until they are ACTIVE.
func (b *bench) replace(ctx context.Context, balancer, pool string, net, n int) error {
	members := make([]any, n)
	for i := range members {
		members[i] = memberAt(net, i)
	}
	err := b.client.send(ctx, http.MethodPut, "pools/"+pool+"/members", map[string]any{"members": members}, nil)
	return errOr(err, func() error { return b.active(ctx, balancer) })
}

func memberAt(net, i int) map[string]any {
	return map[string]any{
		"name": fmt.Sprintf("member-%d", i), "address": fmt.Sprintf("10.%d.%d.%d", net, i/250, i%250+1), "protocol_port": 80, "weight": 10,
	}
}

func errOr(err error, next func() error) error {
	if err != nil {
		return err
	}
	return next()
}

// active waits until a load balancer is ACTIVE.
func (b *bench) active(ctx context.Context, id string) error {
	return server.Until(ctx, func() error {
		var answer struct {
			LoadBalancer struct {
				Status string `json:"provisioning_status"`
			} `json:"loadbalancer"`
		}
		if err := b.client.send(ctx, http.MethodGet, "loadbalancers/"+id, nil, &answer); err != nil {
			return err
		}
		if status := answer.LoadBalancer.Status; status != "ACTIVE" {
			return fmt.Errorf("%s is %s", id, strings.ToLower(status))
		}
		return nil
	})
}

// repeat does something again and again: half of the runs take less than p50, and each costs the server so much processor
// time on average.
func (b *bench) repeat(runs int, do func(i int) error) (p50, cpu time.Duration, err error) {
	before, err := b.CPU()
	if err != nil {
		return 0, 0, err
	}
	times := make([]time.Duration, runs)
	for i := range times {
		begin := time.Now()
		if err := do(i); err != nil {
			return 0, 0, err
		}
		times[i] = time.Since(begin)
	}
	after, err := b.CPU()
	slices.Sort(times)
	return times[runs/2].Round(10 * time.Microsecond), (after - before) / time.Duration(runs), err
}

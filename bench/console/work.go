package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/loadbalancers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"

	"poise/bench/server"
	"poise/internal/clouds"
)

// Targets.
const (
	pageTarget     = 30 * time.Millisecond // 95 of 100 requests, in the server's own time
	transferTarget = 250_000               // bytes of the first page with all that it loads, as they are sent
	idleTarget     = 0.01                  // of one processor, for all open pages together while nothing happens
	memoryTarget   = 40                    // MiB for all open pages together
)

// idleFor is how long open pages are watched.
const idleFor = 30 * time.Second

// bench is a server with load balancers, somebody who is signed in, and what was found so far.
type bench struct {
	*server.Server
	runs      int
	balancers *gophercloud.ServiceClient
	ids       []string // of the load balancers
	pool      string   // of the first
	root      string   // of the console
	client    *http.Client
	met       bool // every target so far
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
	provider, where, err := b.Cloud(ctx, clouds.User)
	if err != nil {
		return err
	}
	network, err := openstack.NewNetworkV2(provider, where)
	if err != nil {
		return err
	}
	made, err := networks.Create(ctx, network, networks.CreateOpts{Name: "bench"}).Extract()
	if err != nil {
		return err
	}
	subnet, err := subnets.Create(ctx, network, subnets.CreateOpts{NetworkID: made.ID, CIDR: "10.16.0.0/16", IPVersion: 4}).Extract()
	if err != nil {
		return err
	}
	if b.balancers, err = openstack.NewLoadBalancerV2(provider, where); err != nil {
		return err
	}
	for i := range n {
		var out map[string]struct {
			ID    string
			Pools []struct{ ID string }
		}
		in := map[string]any{"loadbalancer": map[string]any{
			"name": fmt.Sprintf("lb-%d", i), "vip_subnet_id": subnet.ID, "listeners": []any{listener(80), listener(443)},
		}}
		if _, err := b.balancers.Post(ctx, b.balancers.ServiceURL("lbaas", "loadbalancers"), in, &out, nil); err != nil {
			return err
		}
		b.ids = append(b.ids, out["loadbalancer"].ID)
		if i == 0 && len(out["loadbalancer"].Pools) > 0 {
			b.pool = out["loadbalancer"].Pools[0].ID
		}
	}
	for _, id := range b.ids {
		if err := server.Until(ctx, func() error { return b.isActive(ctx, id) }); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) isActive(ctx context.Context, id string) error {
	lb, err := loadbalancers.Get(ctx, b.balancers, id).Extract()
	if err == nil && lb.ProvisioningStatus != "ACTIVE" {
		err = fmt.Errorf("%s is %s", id, lb.ProvisioningStatus)
	}
	return err
}

func listener(port int) map[string]any {
	var members []any
	for i := range 10 {
		members = append(members, map[string]any{"address": fmt.Sprintf("10.16.255.%d", i+1), "protocol_port": 8000 + port})
	}
	return map[string]any{"protocol": "TCP", "protocol_port": port, "default_pool": map[string]any{
		"name": fmt.Sprintf("pool-%d", port), "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "members": members,
	}}
}

// signIn opens the console as the demo user does.
func (b *bench) signIn(ctx context.Context) error {
	cloud, err := b.Account(clouds.User)
	if err != nil {
		return err
	}
	b.root = strings.TrimSuffix(cloud.Auth.AuthURL, "/identity/v3") + "/console"
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	b.client = &http.Client{Jar: jar, Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	form := url.Values{"user": {cloud.Auth.Username}, "password": {cloud.Auth.Password}, "project": {cloud.Auth.ProjectName}, "domain": {cloud.Auth.UserDomainName}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, b.root+"/sign-in", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := b.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the console answers %s", answer.Status)
	}
	return nil
}

// get reads a page as it is sent, and how long that took.
func (b *bench) get(ctx context.Context, path string) (page []byte, sent int, took time.Duration, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.root+path, nil)
	if err != nil {
		return nil, 0, 0, err
	}
	r.Header.Set("Accept-Encoding", "gzip")
	begin := time.Now()
	answer, err := b.client.Do(r)
	if err != nil {
		return nil, 0, 0, err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	took = time.Since(begin)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, answer.Status)
	}
	if err == nil && answer.Header.Get("Content-Encoding") == "gzip" {
		page, err = unzipped(raw)
	}
	return page, len(raw), took, err
}

// pages looks at every sort of page, and at what the first one loads.
func (b *bench) pages(ctx context.Context) error {
	if err := b.transfer(ctx); err != nil {
		return err
	}
	one := "/load-balancers/RegionOne/" + b.ids[0]
	for _, path := range []string{
		"/", "/load-balancers", "/load-balancers?q=lb-7&sort=name", one, one + "?tab=listeners", one + "?tab=pools&pool=" + b.pool, one + "?tab=traffic",
		one + "?tab=history", one + "/listeners/new", one + "/pools/new", "/load-balancers/new", "/floating-ips", "/networks", "/ports", "/certificates",
		"/flavors", "/quotas",
	} {
		before, err := b.CPU()
		if err != nil {
			return err
		}
		var times []time.Duration
		for range b.runs {
			_, _, took, err := b.get(ctx, path)
			if err != nil {
				return err
			}
			times = append(times, took)
		}
		after, err := b.CPU()
		if err != nil {
			return err
		}
		slices.Sort(times)
		p95 := times[len(times)*95/100].Round(100 * time.Microsecond)
		name := strings.NewReplacer(b.ids[0], "…", b.pool, "…").Replace(path)
		b.report(name+", p95", fmt.Sprintf("%v (%v CPU)", p95, ((after-before)/time.Duration(b.runs)).Round(100*time.Microsecond)), "≤ "+pageTarget.String(), p95 <= pageTarget)
	}
	return nil
}

// loaded finds what a page loads besides.
var loaded = regexp.MustCompile(`(?:src|href)="/console(/static/[^"]+)"`)

// transfer counts what a browser gets that comes for the first time.
func (b *bench) transfer(ctx context.Context) error {
	page, sum, _, err := b.get(ctx, "/load-balancers")
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, found := range loaded.FindAllStringSubmatch(string(page), -1) {
		if seen[found[1]] {
			continue
		}
		seen[found[1]] = true
		_, sent, _, err := b.get(ctx, found[1])
		if err != nil {
			return err
		}
		sum += sent
	}
	b.report("first page with all that it loads", fmt.Sprintf("%d kB", sum/1000), fmt.Sprintf("≤ %d kB", transferTarget/1000), sum <= transferTarget)
	return nil
}

// stayOpen has people leave the list open, while nothing happens and then while load balancers are renamed.
func (b *bench) stayOpen(ctx context.Context, n int) error {
	before := b.ResidentMiB()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	told := make(chan time.Time, n*len(b.ids))
	for range n {
		if err := b.follow(ctx, told); err != nil {
			return err
		}
	}
	cpu, err := b.costs(func() error { return wait(ctx, idleFor) })
	if err != nil {
		return err
	}
	share := cpu.Seconds() / idleFor.Seconds()
	b.report(fmt.Sprintf("%d open pages, processor", n), fmt.Sprintf("%.2f %%", 100*share), fmt.Sprintf("≤ %.0f %%", 100*idleTarget), share <= idleTarget)
	more := b.ResidentMiB() - before
	b.report(fmt.Sprintf("%d open pages, memory", n), fmt.Sprintf("%d MiB", more), fmt.Sprintf("≤ %d MiB", memoryTarget), more <= memoryTarget)
	return b.changes(ctx, n, told)
}

// changes renames load balancers and waits until everybody has been told.
func (b *bench) changes(ctx context.Context, n int, told <-chan time.Time) error {
	const changes = 20
	var worst time.Duration
	cpu, err := b.costs(func() error {
		for i := range changes {
			begin := time.Now()
			name := "renamed-" + strconv.Itoa(i)
			if _, err := loadbalancers.Update(ctx, b.balancers, b.ids[i%len(b.ids)], loadbalancers.UpdateOpts{Name: &name}).Extract(); err != nil {
				return err
			}
			for range n {
				select {
				case at := <-told:
					worst = max(worst, at.Sub(begin))
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(10 * time.Second):
					return fmt.Errorf("change %d is not told to everybody", i)
				}
			}
			drain(told) // what else there was to tell, such as that it is ACTIVE again
		}
		return nil
	})
	if err != nil {
		return err
	}
	b.report(fmt.Sprintf("a change until all %d pages know, worst", n), worst.Round(time.Millisecond).String(), "≤ 1s", worst <= time.Second)
	fmt.Printf("%-52s %v\n", "a change that all of them are told, processor", (cpu / changes).Round(100*time.Microsecond))
	return nil
}

// drain takes what is told until nothing more is.
func drain(told <-chan time.Time) {
	for {
		select {
		case <-told:
		case <-time.After(200 * time.Millisecond):
			return
		}
	}
}

// follow keeps a page open, and notes when it is told of a change.
func (b *bench) follow(ctx context.Context, told chan<- time.Time) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.root+"/events", nil)
	if err != nil {
		return err
	}
	answer, err := b.client.Do(r)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("events: %s", answer.Status)
	}
	go func() { // ends with ctx
		defer answer.Body.Close()
		for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
			if lines.Text() == "event: changed" {
				told <- time.Now()
			}
		}
	}()
	return nil
}

// costs is the server's processor time while something is done.
func (b *bench) costs(do func() error) (time.Duration, error) {
	before, err := b.CPU()
	if err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, err
	}
	after, err := b.CPU()
	return after - before, err
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unzipped is what was sent as gzip.
func unzipped(raw []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

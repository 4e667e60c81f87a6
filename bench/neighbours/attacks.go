package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	idleClients = 20_000
	// openFileReserve is what a process of idle clients needs besides them.
	openFileReserve = 100
	patternPolicies = 400
	silentBalancers = 3
	silentMembers   = 500 // of each
	changeRate      = 1_000
	changeWorkers   = 16
	followers       = 128
)

// attack is one of the things that tenant A does.
type attack struct {
	name    string
	prepare func(ctx context.Context, a *tenant) error // once, before the first measurement; nil when there is nothing to do
	begin   func(ctx context.Context, a *tenant, group *cgroup) (end func() (did string, err error), err error)
}

func attacks() []attack {
	return []attack{
		{"connect flood", nil, byClients("connects", webPort, 32, "connections")},
		{"idle clients", nil, beginIdle},
		{"TLS handshake flood", nil, byClients("handshakes", securePort, 32, "handshakes")},
		{"HTTP/2 rapid reset", nil, byClients("resets", securePort, 8, "streams")},
		{"regex storm", preparePatterns, byClients("patterns", patternPort, 8, "requests")},
		{"silent members", prepareSilent, beginSilent},
		{"bulk", nil, byClients("bulk", bulkPort, 4, "KiB")},
		{"config changes", nil, beginChanges},
		{"log followers", nil, beginFollowers},
	}
}

// run starts the processes of an attack and waits until all of it is under way.
func run(units string, starts ...func() (*process, error)) (end func() (string, error), err error) {
	var all []*process
	for _, start := range starts {
		p, err := start()
		if err != nil {
			_, endErr := endAll(all, units)
			return nil, errors.Join(err, endErr)
		}
		all = append(all, p)
	}
	for _, p := range all {
		if _, err := p.line(); err != nil {
			_, endErr := endAll(all, units)
			return nil, errors.Join(err, endErr)
		}
	}
	return func() (string, error) { return endAll(all, units) }, nil
}

// endAll ends the processes of an attack, and says what they have done together. Where they do different things, units has a
// word for each.
func endAll(all []*process, units string) (did string, err error) {
	done := make([]int, len(strings.Split(units, ", ")))
	for i, p := range all {
		_ = p.in.Close()
		line, lineErr := p.line()
		n, _ := strconv.Atoi(line)
		done[i%len(done)] += n
		err = errors.Join(err, lineErr, p.stop())
	}
	var words []string
	for i, unit := range strings.Split(units, ", ") {
		words = append(words, fmt.Sprint(done[i], " ", unit))
	}
	return strings.Join(words, ", "), err
}

// byClients attacks one of A's ports with the workers of one process.
func byClients(kind string, port, workers int, unit string) func(context.Context, *tenant, *cgroup) (func() (string, error), error) {
	return func(_ context.Context, a *tenant, group *cgroup) (func() (string, error), error) {
		return run(unit, func() (*process, error) {
			return start(a.client, group, "attack", kind, a.at(port), strconv.Itoa(workers))
		})
	}
}

// beginIdle has as many processes as the limit of open files asks for hold the clients.
func beginIdle(_ context.Context, a *tenant, group *cgroup) (end func() (string, error), err error) {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return nil, err
	}
	most := int(min(files.Max, idleClients+openFileReserve)) - openFileReserve
	var starts []func() (*process, error)
	for left := idleClients; left > 0; left -= most {
		n := min(left, most)
		starts = append(starts, func() (*process, error) {
			return start(a.client, group, "attack", "idle", a.at(webPort), strconv.Itoa(n))
		})
	}
	return run("connections held", starts...)
}

// preparePatterns makes a listener with as many policies as it may have.
func preparePatterns(ctx context.Context, a *tenant) error {
	listener, err := a.makeListener(ctx, patternPort, object{"protocol": "HTTP", "default_pool_id": a.pool})
	if err != nil {
		return err
	}
	for n := range patternPolicies {
		pattern := fmt.Sprintf("^(a|b|ab|ba)*(%s){1,9}c%d$", strings.Repeat("(a|ab)?", 8), n)
		policy, err := a.create(ctx, lbaas+"/l7policies", "l7policy", object{"listener_id": listener, "action": "REJECT"})
		if err == nil {
			rule := object{"type": "HEADER", "key": "X-A", "compare_type": "REGEX", "value": pattern}
			_, err = a.create(ctx, lbaas+"/l7policies/"+id(policy)+"/rules", "rule", rule)
		}
		if err != nil {
			fmt.Printf("regex storm: %d policies, then: %v\n", n, err)
			return nil
		}
	}
	return nil
}

// prepareSilent makes load balancers with members at addresses that nobody has; nobody checks them yet.
func prepareSilent(ctx context.Context, a *tenant) error {
	for n := range silentBalancers {
		lb, err := a.create(ctx, lbaas+"/loadbalancers", "loadbalancer", object{"vip_subnet_id": a.subnet, "name": "silent"})
		if err != nil {
			return err
		}
		pool, err := a.create(ctx, lbaas+"/pools", "pool", object{
			"loadbalancer_id": id(lb), "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "name": "silent",
		})
		if err != nil {
			return err
		}
		listener := object{"loadbalancer_id": id(lb), "protocol": "TCP", "protocol_port": 80, "default_pool_id": id(pool)}
		if _, err := a.create(ctx, lbaas+"/listeners", "listener", listener); err != nil {
			return err
		}
		var members []object
		for m := range silentMembers {
			members = append(members, object{"address": fmt.Sprintf("10.20.%d.%d", 100+n*4+m/200, 10+m%200), "protocol_port": 80})
		}
		if _, _, err := a.send(ctx, http.MethodPut, lbaas+"/pools/"+id(pool)+"/members", "", object{"members": members}); err != nil {
			return err
		}
	}
	return nil
}

// beginSilent has the silent members checked every second.
func beginSilent(ctx context.Context, a *tenant, _ *cgroup) (end func() (string, error), err error) {
	all, _, err := a.send(ctx, http.MethodGet, lbaas+"/pools?name=silent", "", nil)
	if err != nil {
		return nil, err
	}
	var monitors []string
	pools, _ := all["pools"].([]any)
	for _, p := range pools {
		pool, _ := p.(map[string]any)
		monitor, err := a.create(ctx, lbaas+"/healthmonitors", "healthmonitor", object{
			"pool_id": id(pool), "type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1,
		})
		if err != nil {
			return nil, err
		}
		monitors = append(monitors, id(monitor))
	}
	return func() (string, error) {
		for _, monitor := range monitors {
			if _, _, err := a.send(ctx, http.MethodDelete, lbaas+"/healthmonitors/"+monitor, "", nil); err != nil {
				return "", err
			}
		}
		return fmt.Sprint(len(monitors)*silentMembers, " members"), nil
	}, nil
}

func beginChanges(_ context.Context, a *tenant, group *cgroup) (end func() (string, error), err error) {
	return run("changes", func() (*process, error) {
		return start("", group, "attack", "changes", a.root+a.member, strconv.Itoa(changeWorkers), a.token)
	})
}

// beginFollowers has as many follow the log of a listener as may, without reading, while it is asked.
func beginFollowers(_ context.Context, a *tenant, group *cgroup) (end func() (string, error), err error) {
	log := a.root + lbaas + "/listeners/" + a.webListener + "/log"
	return run("followers, requests",
		func() (*process, error) {
			return start("", group, "attack", "followers", log, strconv.Itoa(followers), a.token)
		},
		func() (*process, error) {
			return start(a.client, group, "attack", "requests", a.at(webPort), "8")
		})
}

package robust

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// thing is one object of the APIs as a test sees it, by the names of objects instead of their ids. It is comparable.
type thing struct {
	kind   string
	parent string // the load balancer, the pool of a member or a health monitor
	up     bool
	number int    // what a kind's row in kinds says
	text   string // the description
	place  string // of a member: address and port; of a listener: the port
	link   string // the default pool of a listener, the load balancer of a floating IP
}

// world is things by name.
type world map[string]thing

// The kinds of things, parents first.
var kinds = []struct {
	name, path, plural string
	number             string // the attribute that thing.number stands for
}{
	{"loadbalancer", "/load-balancer/v2/lbaas/loadbalancers", "loadbalancers", ""},
	{"listener", "/load-balancer/v2/lbaas/listeners", "listeners", "connection_limit"},
	{"pool", "/load-balancer/v2/lbaas/pools", "pools", ""},
	{"member", "/load-balancer/v2/lbaas/pools/%s/members", "members", "weight"},
	{"healthmonitor", "/load-balancer/v2/lbaas/healthmonitors", "healthmonitors", "max_retries"},
	{"floatingip", "/network/v2.0/floatingips", "floatingips", ""},
}

// census is what the APIs show.
type census struct {
	things  world
	ids     map[string]string // by name
	objects map[string]object // by name
}

// takeCensus reads everything that c sees.
func takeCensus(ctx context.Context, c client) (census, error) {
	s := census{things: world{}, ids: map[string]string{}, objects: map[string]object{}}
	parents := map[string]string{} // names by id
	for _, k := range kinds {
		paths := []string{k.path}
		if k.name == "member" {
			paths = nil
			for _, name := range s.things.names("pool") {
				paths = append(paths, fmt.Sprintf(k.path, s.ids[name]))
			}
		}
		for _, path := range paths {
			all, err := c.tryList(ctx, path, k.plural)
			if err != nil {
				return s, err
			}
			for _, o := range all {
				name := nameOf(k.name, o)
				if _, twice := s.things[name]; twice {
					return s, fmt.Errorf("there are two %s", name)
				}
				if k.name == "member" {
					pool := strings.Split(path, "/")[5]
					o["pools"] = []any{map[string]any{"id": pool}}
				}
				s.ids[name], s.objects[name] = o.text("id"), o
				parents[o.text("id")] = name
				if k.name == "loadbalancer" {
					parents[o.text("vip_port_id")] = name
				}
			}
		}
		for name, o := range s.objects {
			if nameOf(k.name, o) == name && o["kind"] == nil {
				o["kind"] = k.name
				s.things[name] = view(k.name, k.number, o, parents)
			}
		}
	}
	return s, nil
}

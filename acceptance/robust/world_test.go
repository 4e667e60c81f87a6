package robust

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// thing is one object of the APIs as a test sees it, with the names of others instead of their ids. It is comparable.
type thing struct {
	kind   string
	parent string // the load balancer; of a member or a health monitor, the pool
	up     bool   // admin_state_up
	number int    // the attribute that the kind says
	text   string // the description
	place  string // of a member: address and port; of a listener: the port
	link   string // of a listener: the default pool; of a floating IP: the load balancer
}

// world is things by their names.
type world map[string]thing

// kind is a kind of thing.
type kind struct{ name, path, plural, number string }

// kinds are in the order in which one refers to another.
var kinds = []kind{
	{"loadbalancer", "/load-balancer/v2/lbaas/loadbalancers", "loadbalancers", ""},
	{"pool", "/load-balancer/v2/lbaas/pools", "pools", ""},
	{"listener", "/load-balancer/v2/lbaas/listeners", "listeners", "connection_limit"},
	{"member", "/load-balancer/v2/lbaas/pools/%s/members", "members", "weight"},
	{"healthmonitor", "/load-balancer/v2/lbaas/healthmonitors", "healthmonitors", "max_retries"},
	{"floatingip", "/network/v2.0/floatingips", "floatingips", ""},
}

func kindOf(name string) kind {
	return kinds[slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })]
}

// names are those of the kind's things for which also is true, in order.
func (w world) names(kind string, also func(name string, t thing) bool) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(w)) {
		if t := w[name]; t.kind == kind && also(name, t) {
			names = append(names, name)
		}
	}
	return names
}

func all(string, thing) bool { return true }

func below(parent string) func(string, thing) bool {
	return func(_ string, t thing) bool { return t.parent == parent }
}

// without is the world after a thing was removed, with all that is below it.
func (w world) without(name string) world {
	after := maps.Clone(w)
	delete(after, name)
	for other, t := range w {
		switch {
		case t.parent == name:
			after = after.without(other)
		case t.link == name:
			t.link = ""
			if _, left := after[other]; left {
				after[other] = t
			}
		}
	}
	return after
}

func (w world) with(name string, t thing) world {
	after := maps.Clone(w)
	after[name] = t
	return after
}

// census is what the APIs show.
type census struct {
	things  world
	objects map[string]object // by the things' names
	names   map[string]string // by id; a load balancer's VIP port bears its name as well
}

// takeCensus reads everything that a caller sees.
func takeCensus(ctx context.Context, c client) (census, error) {
	s := census{things: world{}, objects: map[string]object{}, names: map[string]string{}}
	for _, k := range kinds {
		if k.name != "member" {
			if err := s.read(ctx, c, k, k.path, ""); err != nil {
				return s, err
			}
			continue
		}
		for _, pool := range s.things.names("pool", all) {
			if err := s.read(ctx, c, k, fmt.Sprintf(k.path, s.objects[pool].text("id")), pool); err != nil {
				return s, err
			}
		}
	}
	return s, nil
}

func (s census) read(ctx context.Context, c client, k kind, path, parent string) error {
	found, err := c.tryList(ctx, path, k.plural)
	if err != nil {
		return err
	}
	for _, o := range found {
		name := o.text("name")
		if k.name == "floatingip" {
			name = o.text("description")
		}
		if name == "" {
			name = o.text("id")
		}
		if _, twice := s.things[name]; twice {
			return fmt.Errorf("there are two %s", name)
		}
		t := s.view(k, o)
		if parent != "" {
			t.parent = parent
		}
		s.things[name], s.objects[name], s.names[o.text("id")] = t, o, name
		if k.name == "loadbalancer" {
			s.names[o.text("vip_port_id")] = name
		}
	}
	return nil
}

// view is what an object of an answer says.
func (s census) view(k kind, o object) thing {
	t := thing{kind: k.name}
	t.up, _ = o["admin_state_up"].(bool)
	if number, ok := o[k.number].(float64); ok {
		t.number = int(number)
	}
	for _, parents := range []string{"loadbalancers", "pools"} {
		if found, _ := o[parents].([]any); k.name != "loadbalancer" && len(found) > 0 && t.parent == "" {
			t.parent = s.names[found[0].(map[string]any)["id"].(string)]
		}
	}
	switch k.name {
	case "listener":
		t.place, t.link = fmt.Sprint(o["protocol_port"]), s.names[o.text("default_pool_id")]
	case "member":
		t.place = fmt.Sprintf("%v:%v", o["address"], o["protocol_port"])
	case "floatingip":
		t.link = s.names[o.text("port_id")]
		return t // its description is its name
	}
	t.text = o.text("description")
	return t
}

// pending says which object is on its way.
func (s census) pending() error {
	return s.status(func(v string) bool { return !strings.HasPrefix(v, "PENDING_") })
}

// active says which object is not ACTIVE.
func (s census) active() error { return s.status(func(v string) bool { return v == "ACTIVE" }) }

func (s census) status(wanted func(string) bool) error {
	for name, o := range s.objects {
		if status := o.text("provisioning_status"); status != "" && !wanted(status) {
			return fmt.Errorf("%s is %s", name, status)
		}
	}
	return nil
}

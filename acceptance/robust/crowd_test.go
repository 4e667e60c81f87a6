package robust

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
)

const crowdListeners = 8

// subject is the one load balancer that all clients change.
type subject struct {
	client
	balancer, pool string
	listeners      []string
}

func (s *server) newSubject(name string) subject {
	s.t.Helper()
	b := subject{client: s.demo}
	create := func(kind string, body object) string {
		s.t.Helper()
		return s.demo.must(s.t, "POST", kindOf(kind).path, kind, object{kind: body}).text("id")
	}
	b.balancer = create("loadbalancer", object{"name": name, "vip_subnet_id": s.subnet})
	b.pool = create("pool", object{"name": "pool", "loadbalancer_id": b.balancer, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"})
	for i := range crowdListeners {
		b.listeners = append(b.listeners, create("listener", object{
			"name": fmt.Sprint("listener ", i), "loadbalancer_id": b.balancer, "protocol": "TCP", "protocol_port": 80 + i, "default_pool_id": b.pool,
		}))
	}
	return b
}

// change is one request of a client. What it changes is written to by others too, or by nobody else.
type change func(ctx context.Context, b subject) error

func (b subject) request(ctx context.Context, method, path string, body object) (object, error) {
	a, err := b.send(ctx, method, path, body)
	if err == nil && !a.ok() {
		err = fmt.Errorf("%s %s %v: %v", method, path, body, a)
	}
	for kind := range body {
		return a.inside(kind), err
	}
	return nil, err
}

// script is what a client does: it adds a member, changes it, removes each other one, adds a listener and removes it, and
// writes its number on the load balancer, one of the listeners and the pool, in between.
func script(client int) []change {
	member, listener := "", ""
	members := func(b subject) string { return fmt.Sprintf(kindOf("member").path, b.pool) }
	changes := []change{
		func(ctx context.Context, b subject) error {
			o, err := b.request(ctx, "POST", members(b), object{"member": object{
				"name": fmt.Sprint("member ", client), "address": fmt.Sprintf("10.15.26.%d", client), "protocol_port": 1000 + client,
			}})
			member = o.text("id")
			return err
		},
		func(ctx context.Context, b subject) error { return b.mark(ctx, "loadbalancer", b.balancer, client) },
		func(ctx context.Context, b subject) error {
			_, err := b.request(ctx, "PUT", members(b)+"/"+member, object{"member": object{"weight": client, "name": fmt.Sprint("weighed ", client)}})
			return err
		},
		func(ctx context.Context, b subject) error {
			return b.mark(ctx, "listener", b.listeners[client%crowdListeners], client)
		},
		func(ctx context.Context, b subject) error {
			o, err := b.request(ctx, "POST", kindOf("listener").path, object{"listener": object{
				"name": fmt.Sprint("own ", client), "loadbalancer_id": b.balancer, "protocol": "TCP", "protocol_port": 2000 + client,
			}})
			listener = o.text("id")
			return err
		},
		func(ctx context.Context, b subject) error { return b.mark(ctx, "pool", b.pool, client) },
		func(ctx context.Context, b subject) error {
			_, err := b.request(ctx, "DELETE", kindOf("listener").path+"/"+listener, nil)
			return err
		},
	}
	if client%2 == 0 {
		changes = append(changes, func(ctx context.Context, b subject) error {
			_, err := b.request(ctx, "DELETE", members(b)+"/"+member, nil)
			return err
		})
	}
	return changes
}

// mark writes the client's number into two attributes at once. The answer must show it, whoever else writes.
func (b subject) mark(ctx context.Context, kind, id string, client int) error {
	wanted := object{"name": fmt.Sprintf("%s by %d", kind, client), "description": fmt.Sprint(client)}
	o, err := b.request(ctx, "PUT", kindOf(kind).path+"/"+id, object{kind: wanted})
	if err == nil && (o["name"] != wanted["name"] || o["description"] != wanted["description"]) {
		err = fmt.Errorf("%s: the answer shows %v and %v, want %v", kind, o["name"], o["description"], wanted)
	}
	return err
}

// TestCrowdEqualsSerialExecution has many clients change one load balancer at the same time. Every request succeeds, and
// the result is that of the same requests one after the other, in an order in which those come last that had the last
// word.
func TestCrowdEqualsSerialExecution(t *testing.T) {
	r := random(t)
	s := newServer(t, "")
	crowd := rounds(100, 200)
	together := s.newSubject("together")
	group := errgroup.Group{}
	for client := range crowd {
		own := together
		own.client = s.demo.another()
		group.Go(func() error {
			defer own.http.CloseIdleConnections()
			return own.play(t.Context(), client)
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	result := together.state(t)

	serial := s.newSubject("serial")
	for _, client := range r.Perm(crowd) {
		if err := serial.play(t.Context(), client); err != nil {
			t.Fatal("alone:", err)
		}
	}
	serial.markLike(t, together)
	if diff := cmp.Diff(serial.state(t), result); diff != "" {
		t.Errorf("(-one after the other +together)\n%s", diff)
	}
}

func (b subject) play(ctx context.Context, client int) error {
	for _, change := range script(client) {
		if err := change(ctx, b); err != nil {
			return fmt.Errorf("client %d: %w", client, err)
		}
	}
	return nil
}

// marked are the objects that several clients write to, each as kind and id.
func (b subject) marked() [][2]string {
	marked := [][2]string{{"loadbalancer", b.balancer}, {"pool", b.pool}}
	for _, id := range b.listeners {
		marked = append(marked, [2]string{"listener", id})
	}
	return marked
}

// markLike repeats the requests that had the last word on another subject.
func (b subject) markLike(t *testing.T, other subject) {
	t.Helper()
	for i, theirs := range other.marked() {
		o := b.must(t, "GET", kindOf(theirs[0]).path+"/"+theirs[1], theirs[0], nil)
		client, err := strconv.Atoi(o.text("description"))
		if err != nil {
			t.Fatalf("%v was never marked: %v", theirs, o)
		}
		if err := b.mark(t.Context(), theirs[0], b.marked()[i][1], client); err != nil {
			t.Fatal(err)
		}
	}
}

// state is everything that the API shows of the subject, by name, with names instead of ids and without times and
// addresses.
func (b subject) state(t *testing.T) map[string]object {
	t.Helper()
	state := map[string]object{}
	eventually(t, "all ACTIVE", patience, func() error {
		clear(state)
		names := []string{} // pairs of old and new, for the Replacer
		for _, k := range kinds {
			path := k.path
			switch k.name {
			case "loadbalancer":
				path += "?id=" + b.balancer
			case "member":
				path = fmt.Sprintf(path, b.pool)
			case "floatingip", "healthmonitor":
				continue
			default:
				path += "?load_balancer_id=" + b.balancer
			}
			found, err := b.tryList(t.Context(), path, k.plural)
			if err != nil {
				return err
			}
			for _, o := range found {
				if o["provisioning_status"] != "ACTIVE" {
					return fmt.Errorf("%s is %s", o["name"], o["provisioning_status"])
				}
				state[o.text("name")] = o
				names = append(names, o.text("id"), o.text("name"))
			}
		}
		for name, o := range state {
			state[name] = o.normal(t, strings.NewReplacer(names...))
		}
		return nil
	})
	return state
}

// normal replaces ids and leaves out what differs from one load balancer to the next.
func (o object) normal(t *testing.T, names *strings.Replacer) object {
	t.Helper()
	for _, attribute := range []string{"created_at", "updated_at", "vip_address", "vip_port_id"} {
		delete(o, attribute)
	}
	for _, v := range o {
		if list, ok := v.([]any); ok {
			slices.SortFunc(list, func(a, b any) int {
				return strings.Compare(names.Replace(fmt.Sprint(a)), names.Replace(fmt.Sprint(b)))
			})
		}
	}
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var normal object
	if err := json.Unmarshal([]byte(names.Replace(string(text))), &normal); err != nil {
		t.Fatal(err)
	}
	return normal
}

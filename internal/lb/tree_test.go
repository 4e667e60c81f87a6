package lb_test

import (
	"net/netip"
	"testing"
	"time"

	"poise/internal/lb"
)

// noon is when the tests' first change happens; every later one is a second after the one before.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// at is the time of the change that makes a generation.
func at(generation int64) time.Time { return noon.Add(time.Duration(generation) * time.Second) }

var (
	one = netip.MustParseAddr("10.0.0.1")
	two = netip.MustParseAddr("10.0.0.2")
)

// house makes a load balancer of two listeners (l1 on port 80 with pool p1, l2 on port 81 with none) and two pools
// (p1 with members m1, m2 and health monitor h1; p2 with member m3).
func house(t testing.TB) *lb.LoadBalancer {
	t.Helper()
	tree, err := lb.NewLoadBalancer(lb.LoadBalancerCreate{
		ID: "lb", ProjectID: "project", VIP: lb.VIP{Address: netip.MustParseAddr("192.0.2.1")},
	}, at(1))
	must(t, err)
	for _, step := range []func(*lb.LoadBalancer) error{
		createListener("l1", 80),
		createListener("l2", 81),
		createPool("p1", "l1"),
		createPool("p2", ""),
		createMember("p1", "m1", one, 80),
		createMember("p1", "m2", two, 80),
		createMember("p2", "m3", one, 80),
		createMonitor("p1", "h1", "TCP"),
	} {
		tree = tree.Next(at(tree.Generation + 1))
		must(t, step(tree))
	}
	return tree
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// step is a change of a tree.
type step = func(*lb.LoadBalancer) error

func createListener(id string, port int) step {
	return func(t *lb.LoadBalancer) error {
		_, err := t.CreateListener(lb.ListenerCreate{ID: id, Protocol: "TCP", ProtocolPort: port})
		return err
	}
}

func createPool(id, listener string) step {
	return func(t *lb.LoadBalancer) error {
		_, err := t.CreatePool(lb.PoolCreate{
			ID: id, Protocol: "TCP", ListenerID: listener, PoolAttrs: lb.PoolAttrs{Algorithm: lb.Some(lb.Algorithm("ROUND_ROBIN"))},
		})
		return err
	}
}

func createMember(pool, id string, address netip.Addr, port int) step {
	return func(t *lb.LoadBalancer) error {
		_, err := t.CreateMember(pool, lb.MemberCreate{ID: id, Address: address, ProtocolPort: port})
		return err
	}
}

func createMonitor(pool, id, kind string) step {
	return func(t *lb.LoadBalancer) error {
		_, err := t.CreateHealthMonitor(pool, lb.HealthMonitorCreate{ID: id, Type: kind, HealthMonitorAttrs: lb.HealthMonitorAttrs{
			DelaySec: lb.Some(5), TimeoutSec: lb.Some(3), MaxRetries: lb.Some(2),
		}})
		return err
	}
}

func deleteListener(id string) step {
	return func(t *lb.LoadBalancer) error { return t.DeleteListener(id) }
}

func deletePool(id string) step {
	return func(t *lb.LoadBalancer) error { return t.DeletePool(id) }
}

func deleteMember(pool, id string) step {
	return func(t *lb.LoadBalancer) error { return t.DeleteMember(pool, id) }
}

func deleteMonitor(id string) step {
	return func(t *lb.LoadBalancer) error { return t.DeleteHealthMonitor(id) }
}

func deleteAll(cascade bool) step {
	return func(t *lb.LoadBalancer) error { return t.Delete(cascade) }
}

func updateListener(id string, in lb.ListenerAttrs) step {
	return func(t *lb.LoadBalancer) error { _, err := t.UpdateListener(id, in); return err }
}

func updatePool(id string, in lb.PoolAttrs) step {
	return func(t *lb.LoadBalancer) error { _, err := t.UpdatePool(id, in); return err }
}

func updateMember(pool, id string, in lb.MemberAttrs) step {
	return func(t *lb.LoadBalancer) error { _, err := t.UpdateMember(pool, id, in); return err }
}

func updateMonitor(id string, in lb.HealthMonitorAttrs) step {
	return func(t *lb.LoadBalancer) error { _, err := t.UpdateHealthMonitor(id, in); return err }
}

func replaceMembers(pool string, additiveOnly bool, list ...lb.MemberCreate) step {
	return func(t *lb.LoadBalancer) error { return t.ReplaceMembers(pool, list, additiveOnly) }
}

// persistence is an update of a pool's session persistence; options are names of further attributes with any value.
func persistence(kind string, options ...string) lb.PoolAttrs {
	p := lb.SessionPersistence{Type: kind}
	for _, o := range options {
		switch o {
		case "cookie_name":
			p.CookieName = "session"
		case "persistence_timeout":
			p.TimeoutSec = new(int)
		default:
			p.CookieName = o
		}
	}
	return lb.PoolAttrs{Persistence: lb.Some(p)}
}

// object finds any object of a tree.
func object(t testing.TB, tree *lb.LoadBalancer, id string) *lb.Object {
	t.Helper()
	var found *lb.Object
	tree.Walk(func(_ lb.Kind, _ string, o *lb.Object, _ any) {
		if o.ID == id {
			found = o
		}
	})
	if found == nil {
		t.Fatalf("no object %s", id)
	}
	return found
}

package lb_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/lb"
)

// change applies steps to a tree, each in a generation of its own.
func change(t testing.TB, tree *lb.LoadBalancer, steps ...step) *lb.LoadBalancer {
	t.Helper()
	for _, s := range steps {
		tree = tree.Next(at(tree.Generation + 1))
		must(t, s(tree))
	}
	return tree
}

func TestDefaults(t *testing.T) {
	tree := house(t)
	l, err := tree.Listener("l1")
	must(t, err)
	want := &lb.Listener{
		Object:   lb.Object{ID: "l1", ProjectID: "project", AdminStateUp: true, CreatedAt: at(2), UpdatedAt: at(9), CreatedIn: 2, ChangedIn: 9},
		Protocol: lb.TCP, ProtocolPort: 80, ConnectionLimit: -1, DefaultPoolID: "p1",
		TimeoutClientDataMs: 50_000, TimeoutMemberConnectMs: 5_000, TimeoutMemberDataMs: 50_000, ClientAuthentication: "NONE",
	}
	if diff := cmp.Diff(want, l); diff != "" {
		t.Errorf("listener (-want +got)\n%s", diff)
	}
	p, err := tree.Pool("p1")
	must(t, err)
	if m := p.Members[0]; m.Weight != 1 || m.Backup || m.MonitorAddress.IsValid() || m.MonitorPort != 0 || !m.AdminStateUp {
		t.Errorf("member %+v", m)
	}
	if h := p.Monitor; h.DelaySec != 5 || h.TimeoutSec != 3 || h.MaxRetries != 2 || h.MaxRetriesDown != 3 {
		t.Errorf("health monitor %+v", h)
	}
}

// TestNull resets attributes (octavia-resources.md, column "null on U").
func TestNull(t *testing.T) {
	set := lb.Common{Name: lb.Some("n"), AdminStateUp: lb.Some(true), Tags: lb.Some([]string{"b", "a", "b"})}
	null := lb.Common{Name: lb.Null[string](), AdminStateUp: lb.Null[bool](), Tags: lb.Null[[]string]()}
	number, noNumber := lb.Some(7), lb.Null[int]()
	tree := change(t, house(t),
		updateListener("l1", lb.ListenerAttrs{
			Common: set, Description: lb.Some("d"), ConnectionLimit: number, TimeoutClientDataMs: number, TimeoutMemberConnectMs: number,
			TimeoutMemberDataMs: number, TimeoutTCPInspectMs: number, AllowedCIDRs: lb.Some([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}),
		}),
		updateMember("p1", "m1", lb.MemberAttrs{Common: set, Weight: number, Backup: lb.Some(true), MonitorAddress: lb.Some(two), MonitorPort: number}),
		updateMonitor("h1", lb.HealthMonitorAttrs{Common: set, MaxRetriesDown: number}),
		updatePool("p1", lb.PoolAttrs{Common: set, Description: lb.Some("d"), Persistence: lb.Some(lb.SessionPersistence{Type: "SOURCE_IP"})}),
	)
	before, err := tree.Listener("l1")
	must(t, err)
	if before.Name != "n" || before.ConnectionLimit != 7 || before.TimeoutTCPInspectMs != 7 || !cmp.Equal(before.Tags, []string{"a", "b"}) {
		t.Errorf("listener %+v", before)
	}
	tree = change(t, tree,
		updateListener("l1", lb.ListenerAttrs{
			Common: null, Description: lb.Null[string](), ConnectionLimit: noNumber, DefaultPoolID: lb.Null[string](), TimeoutClientDataMs: noNumber,
			TimeoutMemberConnectMs: noNumber, TimeoutMemberDataMs: noNumber, TimeoutTCPInspectMs: noNumber, AllowedCIDRs: lb.Null[[]netip.Prefix](),
		}),
		updateMember("p1", "m1", lb.MemberAttrs{Common: null, Weight: noNumber, Backup: lb.Null[bool](), MonitorAddress: lb.Null[netip.Addr](), MonitorPort: noNumber}),
		updateMonitor("h1", lb.HealthMonitorAttrs{Common: null, MaxRetriesDown: noNumber}),
		updatePool("p1", lb.PoolAttrs{Common: null, Description: lb.Null[string](), Persistence: lb.Null[lb.SessionPersistence]()}),
	)
	l, err := tree.Listener("l1")
	must(t, err)
	if l.Name != "" || l.AdminStateUp || l.Description != "" || l.ConnectionLimit != -1 || l.DefaultPoolID != "" || l.TimeoutClientDataMs != 50_000 ||
		l.TimeoutMemberConnectMs != 5_000 || l.TimeoutMemberDataMs != 50_000 || l.TimeoutTCPInspectMs != 0 || l.AllowedCIDRs != nil || len(l.Tags) != 2 {
		t.Errorf("listener %+v", l)
	}
	p, err := tree.Pool("p1")
	must(t, err)
	if p.Persistence != nil || p.Description != "" || p.AdminStateUp {
		t.Errorf("pool %+v", p)
	}
	if m := p.Members[0]; m.Weight != 1 || m.Backup || m.MonitorAddress.IsValid() || m.MonitorPort != 0 || m.AdminStateUp || len(m.Tags) != 2 {
		t.Errorf("member %+v", m)
	}
	if h := p.Monitor; h.MaxRetriesDown != 3 || h.DelaySec != 5 || h.AdminStateUp {
		t.Errorf("health monitor %+v", h)
	}
}

// TestBatch replaces members (octavia-resources.md §4.1): listed ones get defaults for what the list leaves out.
func TestBatch(t *testing.T) {
	full := lb.MemberAttrs{
		Common: lb.Common{Name: lb.Some("n"), Tags: lb.Some([]string{"t"}), AdminStateUp: lb.Some(false)},
		Weight: lb.Some(9), Backup: lb.Some(true), MonitorAddress: lb.Some(two), MonitorPort: lb.Some(81),
	}
	list := []lb.MemberCreate{{ID: "x", Address: one, ProtocolPort: 80}, {ID: "y", Address: two, ProtocolPort: 81, SubnetID: lb.Some("s")}}
	start := change(t, house(t), updateMember("p1", "m1", full))

	tree := change(t, start, replaceMembers("p1", false, list...))
	p, err := tree.Pool("p1")
	must(t, err)
	kept := *p.Members[0]
	if kept.ID != "m1" || kept.Name != "n" || len(kept.Tags) != 1 || !kept.AdminStateUp || kept.Weight != 1 || kept.Backup ||
		kept.MonitorAddress.IsValid() || kept.MonitorPort != 0 {
		t.Errorf("listed member %+v", kept)
	}
	if !p.Members[1].Deleted || p.Members[2].ID != "y" || p.Members[2].SubnetID != "s" || len(p.Members) != 3 {
		t.Errorf("members %+v", p.Members)
	}
	if subnets := p.NewSubnets(list); len(subnets) != 0 {
		t.Errorf("new subnets after the batch: %v", subnets)
	}

	tree = change(t, start, replaceMembers("p1", true, list...))
	if p, err = tree.Pool("p1"); err != nil || p.Members[1].Deleted || len(p.Members) != 3 {
		t.Errorf("additive batch: %+v", p.Members)
	}
	before, err := start.Pool("p1")
	must(t, err)
	if subnets := before.NewSubnets(list); len(subnets) != 1 || subnets[0] != "s" {
		t.Errorf("new subnets before the batch: %v", subnets)
	}
	tree = change(t, start, replaceMembers("p1", true))
	if object(t, tree, "lb").ChangedIn == tree.Generation {
		t.Error("a batch of nothing concerns the load balancer")
	}
}

func TestMemberLimit(t *testing.T) {
	tree := house(t)
	tree = tree.Next(at(tree.Generation + 1))
	p, err := tree.Pool("p1")
	must(t, err)
	for len(p.Members) < lb.MaxMembers {
		p.Members = append(p.Members, &lb.Member{})
	}
	if err := createMember("p1", "x", one, 90)(tree); lb.CodeOf(err) != lb.Invalid {
		t.Errorf("member beside %d others: %v", lb.MaxMembers, err)
	}
}

func TestCounters(t *testing.T) {
	a := lb.Counters{ActiveConnections: 1, TotalConnections: 2, BytesIn: 3, BytesOut: 4, RequestErrors: 5}
	if got := a.Plus(a); got != (lb.Counters{ActiveConnections: 2, TotalConnections: 4, BytesIn: 6, BytesOut: 8, RequestErrors: 10}) {
		t.Errorf("%+v", got)
	}
}

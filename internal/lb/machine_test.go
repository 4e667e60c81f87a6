package lb_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"poise/internal/lb"
)

// machine is one load balancer under random changes, with acknowledgements and failures of a node in between.
type machine struct {
	lb.Snapshot
	made    int                              // ids given out
	expects map[string]lb.ProvisioningStatus // what the last changes say of single objects, until the next acknowledgement
}

// TestMachine changes load balancers at random and holds what must be true after every step.
func TestMachine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{expects: map[string]lb.ProvisioningStatus{}}
		m.start(t)
		t.Repeat(map[string]func(*rapid.T){
			"create listener":  m.createListener,
			"update listener":  m.updateListener,
			"delete listener":  m.delete(lb.KindListener, func(t *lb.LoadBalancer, _, id string) error { return t.DeleteListener(id) }),
			"create pool":      m.createPool,
			"update pool":      m.updatePool,
			"delete pool":      m.delete(lb.KindPool, func(t *lb.LoadBalancer, _, id string) error { return t.DeletePool(id) }),
			"create member":    m.createMember,
			"update member":    m.updateMember,
			"delete member":    m.delete(lb.KindMember, (*lb.LoadBalancer).DeleteMember),
			"replace members":  m.replaceMembers,
			"create monitor":   m.createMonitor,
			"delete monitor":   m.delete(lb.KindHealthMonitor, func(t *lb.LoadBalancer, _, id string) error { return t.DeleteHealthMonitor(id) }),
			"update monitor":   m.updateMonitor,
			"create policy":    m.createPolicy,
			"update policy":    m.updatePolicy,
			"delete policy":    m.delete(lb.KindL7Policy, func(t *lb.LoadBalancer, _, id string) error { return t.DeleteL7Policy(id) }),
			"create rule":      m.createRule,
			"update rule":      m.updateRule,
			"delete rule":      m.delete(lb.KindL7Rule, (*lb.LoadBalancer).DeleteL7Rule),
			"update root":      m.updateRoot,
			"delete root":      m.deleteRoot,
			"acknowledge some": m.acknowledgeSome,
			"acknowledge all":  m.acknowledgeAll,
			"fail":             m.fail,
			"":                 m.check,
		})
	})
}

func (m *machine) start(t *rapid.T) {
	tree, err := lb.NewLoadBalancer(lb.LoadBalancerCreate{ID: "lb", VIP: lb.VIP{Address: netip.MustParseAddr("192.0.2.1")}}, noon)
	if err != nil {
		t.Fatal(err)
	}
	m.Snapshot = lb.Snapshot{Tree: tree}
	clear(m.expects)
}

// try makes one change. It may be refused, with an error of the domain; refused or not, it leaves the old tree alone.
func (m *machine) try(t *rapid.T, change step) bool {
	old := m.Tree
	before := dump(old)
	next := old.Next(at(old.Generation + 1))
	err := change(next)
	if diff := cmp.Diff(before, dump(old)); diff != "" {
		t.Fatalf("the old tree has changed (-before +after)\n%s", diff)
	}
	if err != nil {
		if lb.CodeOf(err) == 0 {
			t.Fatalf("%v is not an error of the domain", err)
		}
		return false
	}
	m.Tree = next
	return true
}

// expect remembers the status that an object must show until the next acknowledgement.
func (m *machine) expect(id string, deleted bool) {
	m.Tree.Walk(func(_ lb.Kind, _ string, o *lb.Object, _ any) {
		switch {
		case o.ID != id:
		case deleted && o.ChangedIn != m.Tree.Generation: // deleted by an earlier change, which may have failed since
		case deleted:
			m.expects[id] = lb.PendingDelete
		case o.CreatedIn > m.Observed.Applied:
			m.expects[id] = lb.PendingCreate
		default:
			m.expects[id] = lb.PendingUpdate
		}
	})
}

func (m *machine) id() string {
	m.made++
	return fmt.Sprint("o", m.made)
}

// pick is the id of an object of a kind, and its parent's; now and then of none.
func (m *machine) pick(t *rapid.T, kind lb.Kind) (parent, id string) {
	ids := [][2]string{{"lb", "none"}}
	m.Tree.Walk(func(k lb.Kind, parent string, o *lb.Object, _ any) {
		if k == kind {
			ids = append(ids, [2]string{parent, o.ID})
		}
	})
	picked := rapid.SampledFrom(ids).Draw(t, string(kind))
	return picked[0], picked[1]
}

func common(t *rapid.T) lb.Common {
	return lb.Common{
		AdminStateUp: rapid.SampledFrom([]lb.Opt[bool]{{}, lb.Some(true), lb.Some(false), lb.Null[bool]()}).Draw(t, "admin"),
		Tags:         rapid.SampledFrom([]lb.Opt[[]string]{{}, lb.Some([]string{"a"}), lb.Some([]string{"b", "a"})}).Draw(t, "tags"),
	}
}

func (m *machine) listenerAttrs(t *rapid.T) lb.ListenerAttrs {
	_, pool := m.pick(t, lb.KindPool)
	cert := rapid.SampledFrom([]lb.Opt[string]{{}, {}, lb.Null[string](), lb.Some("cert")})
	return lb.ListenerAttrs{
		Common:                 common(t),
		DefaultTLSContainerRef: cert.Draw(t, "certificate"), ClientCATLSContainerRef: cert.Draw(t, "CA"), ClientCRLContainerRef: cert.Draw(t, "CRL"),
		DefaultPoolID: rapid.SampledFrom([]lb.Opt[string]{{}, {}, lb.Null[string](), lb.Some(pool)}).Draw(t, "default pool"),
		AllowedCIDRs: rapid.SampledFrom([]lb.Opt[[]netip.Prefix]{
			{}, {}, lb.Some([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}), lb.Some([]netip.Prefix{netip.MustParsePrefix("fd00::/8")}),
		}).Draw(t, "cidrs"),
	}
}

func (m *machine) createListener(t *rapid.T) {
	id := m.id()
	in := lb.ListenerCreate{
		ID: id, ListenerAttrs: m.listenerAttrs(t), ProtocolPort: rapid.IntRange(1, 4).Draw(t, "port"),
		Protocol: rapid.SampledFrom(append(lb.ListenerProtocols, "HTTP", "HTTP")).Draw(t, "protocol"), // mostly one with policies
	}
	if m.try(t, func(t *lb.LoadBalancer) error { _, err := t.CreateListener(in); return err }) {
		m.expect(id, false)
		m.expect("lb", false)
	}
}

func (m *machine) updateListener(t *rapid.T) {
	_, id := m.pick(t, lb.KindListener)
	if m.try(t, updateListener(id, m.listenerAttrs(t))) {
		m.expect(id, false)
		m.expect("lb", false)
	}
}

func (m *machine) createPool(t *rapid.T) {
	_, listener := m.pick(t, lb.KindListener)
	if rapid.Bool().Draw(t, "alone") {
		listener = ""
	}
	id := m.id()
	protocol := rapid.SampledFrom(append(lb.PoolProtocols, "HTTP", "HTTP")).Draw(t, "protocol")
	if m.try(t, func(t *lb.LoadBalancer) error {
		_, err := t.CreatePool(lb.PoolCreate{
			ID: id, Protocol: protocol, ListenerID: listener, PoolAttrs: lb.PoolAttrs{Algorithm: lb.Some(lb.Algorithm("ROUND_ROBIN"))},
		})
		return err
	}) {
		m.expect(id, false)
		m.expect("lb", false)
		if listener != "" {
			m.expect(listener, false)
		}
	}
}

func (m *machine) updatePool(t *rapid.T) {
	_, id := m.pick(t, lb.KindPool)
	in := lb.PoolAttrs{Common: common(t)}
	if rapid.Bool().Draw(t, "persistent") {
		in.Persistence = lb.Some(lb.SessionPersistence{Type: rapid.SampledFrom(lb.PersistenceTypes).Draw(t, "type")})
	}
	if m.try(t, updatePool(id, in)) {
		m.expectUsers(id)
	}
}

// expectUsers says that a pool, its listeners and the load balancer have changed.
func (m *machine) expectUsers(pool string) {
	m.expect(pool, false)
	m.expect("lb", false)
	for _, l := range m.Tree.ListenersOf(pool) {
		m.expect(l.ID, l.Deleted)
	}
}

func memberCreate(t *rapid.T, id string) lb.MemberCreate {
	return lb.MemberCreate{
		ID: id, Address: rapid.SampledFrom([]netip.Addr{one, two, netip.MustParseAddr("::ffff:10.0.0.1")}).Draw(t, "address"),
		ProtocolPort: rapid.IntRange(1, 2).Draw(t, "port"),
		MemberAttrs:  lb.MemberAttrs{Common: common(t), Weight: lb.Some(rapid.IntRange(0, 2).Draw(t, "weight"))},
	}
}

func (m *machine) createMember(t *rapid.T) {
	_, pool := m.pick(t, lb.KindPool)
	in := memberCreate(t, m.id())
	if m.try(t, func(t *lb.LoadBalancer) error { _, err := t.CreateMember(pool, in); return err }) {
		m.expect(in.ID, false)
		m.expectUsers(pool)
	}
}

func (m *machine) updateMember(t *rapid.T) {
	pool, id := m.pick(t, lb.KindMember)
	if m.try(t, updateMember(pool, id, lb.MemberAttrs{Common: common(t), Weight: lb.Null[int]()})) {
		m.expect(id, false)
		m.expectUsers(pool)
	}
}

func (m *machine) replaceMembers(t *rapid.T) {
	_, pool := m.pick(t, lb.KindPool)
	list := make([]lb.MemberCreate, rapid.IntRange(0, 3).Draw(t, "length"))
	for i := range list {
		list[i] = memberCreate(t, m.id())
	}
	additiveOnly := rapid.Bool().Draw(t, "additive")
	if !m.try(t, replaceMembers(pool, additiveOnly, list...)) {
		return
	}
	p, err := m.Tree.Pool(pool)
	if err != nil {
		t.Fatal(err)
	}
	alive := slices.DeleteFunc(slices.Clone(p.Members), func(m *lb.Member) bool { return m.Deleted })
	if len(alive) < len(list) || !additiveOnly && len(alive) != len(list) {
		t.Fatalf("%d members after a batch of %d, additive only: %t", len(alive), len(list), additiveOnly)
	}
	if len(list) > 0 {
		m.expectUsers(pool)
	}
	for _, member := range p.Members {
		if member.Deleted {
			m.expect(member.ID, true)
		}
	}
}

func (m *machine) createMonitor(t *rapid.T) {
	_, pool := m.pick(t, lb.KindPool)
	id := m.id()
	if m.try(t, createMonitor(pool, id, rapid.SampledFrom(lb.MonitorTypes).Draw(t, "type"))) {
		m.expect(id, false)
		m.expectUsers(pool)
	}
}

func (m *machine) updateMonitor(t *rapid.T) {
	pool, id := m.pick(t, lb.KindHealthMonitor)
	path := rapid.SampledFrom([]lb.Opt[string]{{}, lb.Some("/x"), lb.Null[string]()}).Draw(t, "path")
	if m.try(t, updateMonitor(id, lb.HealthMonitorAttrs{Common: common(t), URLPath: path})) {
		m.expect(id, false)
		m.expectUsers(pool)
	}
}

func (m *machine) policyAttrs(t *rapid.T) lb.L7PolicyAttrs {
	_, pool := m.pick(t, lb.KindPool)
	return lb.L7PolicyAttrs{
		Common:         common(t),
		Action:         rapid.SampledFrom([]lb.Opt[string]{{}, {}, lb.Some(lb.Reject), lb.Some(lb.RedirectToPool), lb.Null[string]()}).Draw(t, "action"),
		RedirectPoolID: rapid.SampledFrom([]lb.Opt[string]{{}, lb.Some(pool), lb.Null[string]()}).Draw(t, "pool"),
		RedirectURL:    rapid.SampledFrom([]lb.Opt[string]{{}, {}, lb.Some("http://a/"), lb.Null[string]()}).Draw(t, "URL"),
		Position:       rapid.SampledFrom([]lb.Opt[int]{{}, lb.Some(1), lb.Some(2), lb.Some(99)}).Draw(t, "position"),
	}
}

func (m *machine) createPolicy(t *rapid.T) {
	_, listener := m.pick(t, lb.KindListener)
	id := m.id()
	if m.try(t, policy(listener, id, m.policyAttrs(t))) {
		m.expect(id, false)
		m.expect(listener, false)
		m.expect("lb", false)
	}
}

func (m *machine) updatePolicy(t *rapid.T) {
	listener, id := m.pick(t, lb.KindL7Policy)
	if m.try(t, updatePolicy(id, m.policyAttrs(t))) {
		m.expect(id, false)
		m.expect(listener, false)
		m.expect("lb", false)
	}
}

func ruleAttrs(t *rapid.T) lb.L7RuleAttrs {
	attrs := ruleOf(rapid.SampledFrom(lb.L7RuleTypes).Draw(t, "type"), rapid.SampledFrom(lb.L7CompareTypes).Draw(t, "compare type"),
		rapid.SampledFrom([]string{"", "k"}).Draw(t, "key"), rapid.SampledFrom([]string{"", "true", "(", "7"}).Draw(t, "value"))
	attrs.Common = common(t)
	return attrs
}

func (m *machine) createRule(t *rapid.T) {
	_, policy := m.pick(t, lb.KindL7Policy)
	id := m.id()
	if m.try(t, l7Rule(policy, id, ruleAttrs(t))) {
		m.expect(id, false)
		m.expect(policy, false)
		m.expect("lb", false)
	}
}

func (m *machine) updateRule(t *rapid.T) {
	policy, id := m.pick(t, lb.KindL7Rule)
	if m.try(t, updateRule(policy, id, ruleAttrs(t))) {
		m.expect(id, false)
		m.expect(policy, false)
		m.expect("lb", false)
	}
}

func (m *machine) delete(kind lb.Kind, remove func(t *lb.LoadBalancer, parent, id string) error) func(*rapid.T) {
	return func(t *rapid.T) {
		parent, id := m.pick(t, kind)
		if m.try(t, func(t *lb.LoadBalancer) error { return remove(t, parent, id) }) {
			m.expectDeleted(id)
			m.expect("lb", false)
			if m.expects[id] != lb.PendingDelete {
				t.Fatalf("%s has not been deleted by the last change", id)
			}
		}
	}
}

func (m *machine) updateRoot(t *rapid.T) {
	in := lb.LoadBalancerAttrs{Common: common(t)}
	if m.try(t, func(t *lb.LoadBalancer) error { return t.Update(in) }) {
		m.expect("lb", false)
	}
}

func (m *machine) deleteRoot(t *rapid.T) {
	if m.try(t, deleteAll(rapid.IntRange(0, 4).Draw(t, "cascade") == 0)) { // seldom, so that there is much to delete
		m.expectDeleted("lb")
	}
}

// expectDeleted says that an object and all that is below it is being deleted.
func (m *machine) expectDeleted(id string) {
	gone := map[string]bool{id: true}
	m.Tree.Walk(func(_ lb.Kind, parent string, o *lb.Object, _ any) { // parents come first
		if gone[o.ID] || gone[parent] {
			gone[o.ID] = true
			m.expect(o.ID, true)
		}
	})
}

// acknowledgeSome has the node apply a generation that need not be the newest.
func (m *machine) acknowledgeSome(t *rapid.T) {
	m.acknowledge(t, rapid.Int64Range(m.Observed.Applied, m.Tree.Generation).Draw(t, "generation"))
}

// acknowledgeAll has the node apply the newest generation: nothing is pending then, and nothing deleted is left.
func (m *machine) acknowledgeAll(t *rapid.T) {
	if !m.acknowledge(t, m.Tree.Generation) {
		return
	}
	m.Tree.Walk(func(kind lb.Kind, _ string, o *lb.Object, _ any) {
		if got := m.Provisioning(o); got != lb.Active || o.Deleted {
			t.Fatalf("%s %s is %s, deleted: %t", kind, o.ID, got, o.Deleted)
		}
	})
}

// acknowledge tells whether the load balancer is still there; when it is gone, the next one begins.
func (m *machine) acknowledge(t *rapid.T, generation int64) bool {
	before := dump(m.Tree)
	m.Observed.Applied = generation
	if m.Observed.FailedIn <= generation {
		m.Observed.FailedIn = 0
	}
	purged := m.Tree.Purge(generation)
	if diff := cmp.Diff(before, dump(m.Tree)); diff != "" {
		t.Fatalf("purging has changed the tree (-before +after)\n%s", diff)
	}
	clear(m.expects)
	if purged == nil {
		m.start(t)
		return false
	}
	m.Tree = purged
	m.Observed.Status = lb.Rollup(m.Tree, lb.Seen{}, m.Observed.Status, noon)
	return true
}

// fail has the node fail to apply the newest generation.
func (m *machine) fail(t *rapid.T) {
	if m.Observed.Applied == m.Tree.Generation {
		t.Skip("nothing to apply")
	}
	m.Observed.FailedIn, m.Observed.Failure = m.Tree.Generation, "no space left"
	clear(m.expects)
	m.Tree.Walk(func(kind lb.Kind, _ string, o *lb.Object, _ any) {
		want := lb.Active
		if o.ChangedIn > m.Observed.Applied || kind == lb.KindLoadBalancer {
			want = lb.Failed
		}
		if got := m.Provisioning(o); got != want {
			t.Fatalf("%s is %s after a failure, want %s", o.ID, got, want)
		}
	})
}

// check holds what is true of every tree at every time.
func (m *machine) check(t *rapid.T) {
	ids := map[string]bool{}
	m.Tree.Walk(func(kind lb.Kind, parent string, o *lb.Object, _ any) {
		if ids[o.ID] || kind != lb.KindLoadBalancer && !ids[parent] {
			t.Fatalf("%s %s is there twice, or before its parent %s", kind, o.ID, parent)
		}
		ids[o.ID] = true
		if o.CreatedIn > o.ChangedIn || o.ChangedIn > m.Tree.ChangedIn || m.Tree.ChangedIn > m.Tree.Generation {
			t.Fatalf("%s: created in %d, changed in %d, load balancer in %d of %d", o.ID, o.CreatedIn, o.ChangedIn, m.Tree.ChangedIn, m.Tree.Generation)
		}
		if m.Tree.Deleted && !o.Deleted {
			t.Fatalf("%s outlives its load balancer", o.ID)
		}
		if want := m.expects[o.ID]; want != "" && m.Provisioning(o) != want {
			t.Fatalf("%s is %s, want %s", o.ID, m.Provisioning(o), want)
		}
	})
	m.checkListeners(t)
	for _, p := range m.Tree.Pools {
		checkPool(t, p)
	}
}

func (m *machine) checkListeners(t *rapid.T) {
	type port struct {
		number int
		udp    bool
	}
	ports := map[port]bool{}
	for _, l := range m.Tree.Listeners {
		if l.Deleted {
			continue
		}
		if p := (port{l.ProtocolPort, l.Protocol == lb.UDP}); ports[p] {
			t.Fatalf("two listeners on port %v", p)
		} else {
			ports[p] = true
		}
		for _, id := range l.PoolIDs() {
			if p, err := m.Tree.Pool(id); err != nil || p.Deleted || l.Protocol == lb.Prometheus || (l.Protocol == lb.UDP) != (p.Protocol == lb.UDP) {
				t.Fatalf("%s listener %s uses pool %+v: %v", l.Protocol, l.ID, p, err)
			}
		}
		checkPolicies(t, l)
	}
}

// checkPolicies holds that policies have targets and positions without gaps, and that the listener knows their order.
func checkPolicies(t *rapid.T, l *lb.Listener) {
	position := 0
	sorted := *l
	sorted.Policies = slices.Clone(l.Policies)
	slices.Reverse(sorted.Policies)
	sorted.SortPolicies()
	if !slices.Equal(sorted.Policies, l.Policies) {
		t.Fatalf("the policies of %s are kept as %v", l.ID, l.PolicyIDs)
	}
	for _, p := range l.Policies {
		if p.Deleted {
			continue
		}
		position++
		if got := l.Position(p); got != position {
			t.Fatalf("policy %s has position %d, want %d", p.ID, got, position)
		}
		targets := map[string]bool{
			lb.Reject: p.RedirectPoolID == "" && p.RedirectURL == "", lb.RedirectToPool: p.RedirectPoolID != "" && p.RedirectURL == "",
			lb.RedirectToURL: p.RedirectPoolID == "" && p.RedirectURL != "",
		}
		if !targets[p.Action] || l.Protocol != lb.HTTP && l.Protocol != lb.TerminatedHTTPS {
			t.Fatalf("%s listener %s has policy %+v", l.Protocol, l.ID, p)
		}
	}
}

func checkPool(t *rapid.T, p *lb.Pool) {
	type key struct {
		address netip.Addr
		port    int
	}
	members := map[key]bool{}
	for _, m := range p.Members {
		k := key{m.Address, m.ProtocolPort}
		switch {
		case p.Deleted && !m.Deleted, m.ChangedIn > p.ChangedIn:
			t.Fatalf("member %s changed in %d, its pool in %d", m.ID, m.ChangedIn, p.ChangedIn)
		case m.Deleted:
		case members[k]:
			t.Fatalf("two members at %v in pool %s", k, p.ID)
		default:
			members[k] = true
		}
	}
	if p.Monitor != nil && p.Deleted && !p.Monitor.Deleted {
		t.Fatalf("health monitor %s outlives its pool", p.Monitor.ID)
	}
}

// dump is the whole of a tree as text.
func dump(tree *lb.LoadBalancer) []string {
	var lines []string
	tree.Walk(func(kind lb.Kind, parent string, _ *lb.Object, whole any) {
		line, err := json.Marshal(whole)
		if err != nil {
			panic(err)
		}
		lines = append(lines, fmt.Sprintf("%s in %s: %s", kind, parent, line))
	})
	return lines
}

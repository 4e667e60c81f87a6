package octavia_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"poise/internal/lb"
	"poise/internal/rest"
)

// memory is a Control that keeps load balancers in memory. Rules are lb's own; nothing acknowledges a change until a
// test calls acknowledge.
type memory struct {
	mu        sync.Mutex
	snapshots []lb.Snapshot // in order of creation
	counters  map[string]lb.Counters
	broken    error // when set, every call fails with it
	looks     int   // at subnets
	clock     time.Time
}

// The network that the tests' VIPs and members are in.
const (
	subnetID  = "a2cfec3c-fed9-4414-87f9-bfadb076bbd9"
	networkID = "ac37dfca-3aed-496c-833d-7483905919de"
	missingID = "11111111-2222-3333-4444-555555555555"
	policyID  = "b6a0b4a2-7a5f-4a0b-8f8e-51b8d2b9b001"
	groupID   = "c7b1c5b3-8b60-4b1c-9a9f-62c9e3cac002"
)

func newMemory() *memory {
	return &memory{clock: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

// tick is the time of the next change; each is a second later than the one before.
func (m *memory) tick() time.Time {
	m.clock = m.clock.Add(time.Second)
	return m.clock
}

// acknowledge plays a node that has applied everything.
func (m *memory) acknowledge() {
	m.mu.Lock()
	defer m.mu.Unlock()
	var kept []lb.Snapshot
	for _, s := range m.snapshots {
		s.Observed.Applied = s.Tree.Generation
		if s.Tree = s.Tree.Purge(s.Observed.Applied); s.Tree == nil {
			continue
		}
		seen := lb.Seen{Listeners: map[string]lb.SeenListener{}}
		for _, l := range s.Tree.Listeners {
			seen.Listeners[l.ID] = lb.SeenListener{Listening: true}
		}
		s.Observed.Status = lb.Rollup(s.Tree, seen, s.Observed.Status, m.clock)
		kept = append(kept, s)
	}
	m.snapshots = kept
}

func (m *memory) Snapshot(_ context.Context, id string) (lb.Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, err := m.find(lb.KindLoadBalancer, id)
	if err != nil {
		return lb.Snapshot{}, err
	}
	return m.snapshots[at], nil
}

func (m *memory) Holder(_ context.Context, kind lb.Kind, id string) (lb.Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, err := m.find(kind, id)
	if err != nil {
		return lb.Snapshot{}, err
	}
	return m.snapshots[at], nil
}

func (m *memory) find(kind lb.Kind, id string) (int, error) {
	if m.broken != nil {
		return 0, m.broken
	}
	at := slices.IndexFunc(m.snapshots, func(s lb.Snapshot) bool {
		found := false
		s.Tree.Walk(func(k lb.Kind, _ string, o *lb.Object, _ any) { found = found || k == kind && o.ID == id })
		return found
	})
	if at < 0 {
		return 0, lb.ErrNotFound(kind, id)
	}
	return at, nil
}

func (m *memory) List(_ context.Context, projectID string) ([]lb.Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return nil, m.broken
	}
	var all []lb.Snapshot
	for _, s := range m.snapshots {
		if projectID == "" || s.Tree.ProjectID == projectID {
			all = append(all, s)
		}
	}
	return all, nil
}

func (m *memory) Create(_ context.Context, _ rest.Caller, in lb.LoadBalancerCreate, vip lb.VIPRequest) (lb.Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if vip.SubnetID != subnetID && vip.NetworkID != networkID {
		return lb.Snapshot{}, lb.ErrMissing("vip_subnet_id", "Subnet", vip.SubnetID)
	}
	in.VIP = lb.VIP{
		PortID: missingID, NetworkID: networkID, SubnetID: subnetID, Address: vip.Address, OwnPort: true,
		Additional: vip.Additional, VIPOptions: vip.VIPOptions,
	}
	if !in.VIP.Address.IsValid() {
		in.VIP.Address = netip.MustParseAddr("10.0.2.35")
	}
	t, err := lb.NewLoadBalancer(in, m.tick())
	if err != nil {
		return lb.Snapshot{}, err
	}
	s := lb.Snapshot{Tree: t}
	m.snapshots = append(m.snapshots, s)
	return s, nil
}

func (m *memory) Change(_ context.Context, id string, change func(*lb.LoadBalancer) error) (lb.Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, err := m.find(lb.KindLoadBalancer, id)
	if err != nil {
		return lb.Snapshot{}, err
	}
	_ = change(m.snapshots[at].Tree.Next(m.tick())) // a race that is lost: its outcome must not matter
	next := m.snapshots[at].Tree.Next(m.clock)
	if err := change(next); err != nil {
		return lb.Snapshot{}, err
	}
	m.snapshots[at].Tree = next
	return m.snapshots[at], nil
}

func (m *memory) Failover(ctx context.Context, id string) (lb.Snapshot, error) {
	return m.Change(ctx, id, (*lb.LoadBalancer).Failover)
}

func (m *memory) Reapply(string) {}

func (m *memory) Counters(context.Context, string) (map[string]lb.Counters, error) {
	return m.counters, nil
}

// VIPOptionsVisible knows no policy and no group but those of the tests.
func (m *memory) VIPOptionsVisible(_ context.Context, _ rest.Caller, options lb.VIPOptions) error {
	if id := options.QoSPolicyID; id != "" && id != policyID {
		return lb.ErrMissing("vip_qos_policy_id", "qos_policy", id)
	}
	for _, id := range options.SecurityGroupIDs {
		if id != groupID {
			return lb.ErrMissing("vip_sg_ids", "Security Group", id)
		}
	}
	return nil
}

func (m *memory) SubnetVisible(_ context.Context, _ rest.Caller, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looks++
	if id != subnetID {
		return lb.ErrMissing("subnet_id", "Subnet", id)
	}
	return nil
}

// The projects of the tests, and who works in them. The token of a user is its name.
const (
	projectA = "427d61b37c7e4c70b35b20ca216cdb97"
	projectB = "00000000000000000000000000000000"
)

var users = map[string]rest.Caller{
	"member":    {UserID: "1", ProjectID: projectA, Roles: []string{"member", "reader"}},
	"reader":    {UserID: "2", ProjectID: projectA, Roles: []string{"reader"}},
	"nobody":    {UserID: "3", ProjectID: projectA},
	"memberB":   {UserID: "4", ProjectID: projectB, Roles: []string{"member", "reader"}},
	"admin":     {UserID: "5", ProjectID: "admins", Roles: []string{"admin", "member", "reader"}},
	"service":   {UserID: "6", ProjectID: "services", Roles: []string{"service"}},
	"unscoped":  {UserID: "7", Roles: []string{"member", "reader"}},
	"lbmember":  {UserID: "8", ProjectID: projectA, Roles: []string{"load-balancer_member"}},
	"lbwatcher": {UserID: "9", ProjectID: projectB, Roles: []string{"load-balancer_global_observer"}},
	"lbquota":   {UserID: "11", ProjectID: projectB, Roles: []string{"load-balancer_quota_admin"}},
	"lbadmin":   {UserID: "10", ProjectID: projectB, Roles: []string{"load-balancer_admin"}},
}

// tokens verifies the tests' tokens.
type tokens struct{}

func (tokens) Verify(_ context.Context, token string) (rest.Caller, error) {
	if token == "broken" {
		return rest.Caller{}, errors.New("the identity service does not answer")
	}
	caller, ok := users[token]
	if !ok {
		return rest.Caller{}, rest.ErrUnauthenticated
	}
	return caller, nil
}

// count gives a listener counters.
func (m *memory) count(listenerID string, n uint64) {
	if m.counters == nil {
		m.counters = map[string]lb.Counters{}
	}
	m.counters[listenerID] = lb.Counters{ActiveConnections: int64(n), TotalConnections: n, BytesIn: n, BytesOut: n, RequestErrors: n}
}

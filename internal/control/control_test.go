package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"poise/internal/control"
	"poise/internal/database"
	"poise/internal/database/databasetest"
	"poise/internal/fabric/loopback"
	"poise/internal/lb"
	"poise/internal/link"
	"poise/internal/neutron"
	"poise/internal/node"
	"poise/internal/rest"
	"poise/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(databasetest.Suite{M: m}) }

// patience is how long a test waits for what should happen within milliseconds.
const patience = 20 * time.Second

var admin = rest.Caller{UserID: "u", ProjectID: "p", Roles: []string{"admin"}}

// cloud is a control plane with all that it works on: real network service, loopback fabric, real node.
type cloud struct {
	*control.Control
	vault   *vault
	network *neutron.Service
	subnet  string
	stop    func()
}

// start runs a control plane on the database; wrap may put something between it and its node.
func start(t *testing.T, db *database.DB, wrap func(link.Node) link.Node) *cloud {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	f := loopback.New(log)
	network, err := neutron.New(t.Context(), neutron.Config{DB: db, Fabric: f, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	balancers, err := store.New(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	engines, err := node.StartEngines(log)
	if err != nil {
		t.Fatal(err)
	}
	n := node.New(f, engines, log)
	var driven link.Node = n
	if wrap != nil {
		driven = wrap(n)
	}
	v := openVault(t, db)
	c := &cloud{Control: control.New(balancers, network, v, driven, log), vault: v, network: network}
	v.OnChange(c.SecretsChanged)
	n.ReportTo(c.Control)
	ctx, cancel := context.WithCancel(context.Background())
	group, ctx := errgroup.WithContext(ctx)
	for _, run := range []func(context.Context) error{network.Run, n.Run, c.Run} {
		group.Go(func() error { return run(ctx) })
	}
	c.stop = sync.OnceFunc(func() {
		cancel()
		if err := group.Wait(); err != nil {
			t.Error("a task ended with:", err)
		}
		n.Close()
		engines.Close()
	})
	t.Cleanup(c.stop)
	return c
}

// withSubnet makes a network with one subnet.
func (c *cloud) withSubnet(t *testing.T, cidr string) *cloud {
	t.Helper()
	id := c.post(t, "networks", map[string]any{"network": map[string]any{"name": "n"}})
	c.subnet = c.post(t, "subnets", map[string]any{"subnet": map[string]any{"network_id": id, "cidr": cidr, "ip_version": 4}})
	return c
}

func (c *cloud) post(t *testing.T, collection string, body any) (id string) {
	t.Helper()
	encoded, _ := json.Marshal(body)
	r := httptest.NewRequestWithContext(rest.WithCaller(t.Context(), admin), http.MethodPost, "/v2.0/"+collection, bytes.NewReader(encoded))
	w := httptest.NewRecorder()
	c.network.Handler().ServeHTTP(w, r)
	var answer map[string]struct{ ID string }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); w.Code != http.StatusCreated || err != nil {
		t.Fatalf("%s: %d %s", collection, w.Code, w.Body)
	}
	for _, object := range answer {
		id = object.ID
	}
	return id
}

func (c *cloud) create(t *testing.T) lb.Snapshot {
	t.Helper()
	id := uuid.NewString()
	snapshot, err := c.Create(t.Context(), admin,
		lb.LoadBalancerCreate{ID: id, ProjectID: "p"}, lb.VIPRequest{LoadBalancerID: id, ProjectID: "p", SubnetID: c.subnet})
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

// serveTCP gives the load balancer a listener on a free port and a pool with the members, and returns the address
// of the listener and the pool's id.
func (c *cloud) serveTCP(t *testing.T, s lb.Snapshot, members ...netip.AddrPort) (address netip.AddrPort, pool string) {
	t.Helper()
	address = netip.AddrPortFrom(s.Tree.VIP.Address, freePort(t, s.Tree.VIP.Address))
	listener, pool := uuid.NewString(), uuid.NewString()
	c.change(t, s.Tree.ID, func(tree *lb.LoadBalancer) error {
		if _, err := tree.CreateListener(lb.ListenerCreate{ID: listener, Protocol: "TCP", ProtocolPort: int(address.Port())}); err != nil {
			return err
		}
		_, err := tree.CreatePool(lb.PoolCreate{
			ID: pool, Protocol: "TCP", ListenerID: listener, PoolAttrs: lb.PoolAttrs{Algorithm: lb.Some(lb.Algorithm("ROUND_ROBIN"))},
		})
		return err
	})
	for _, m := range members {
		c.change(t, s.Tree.ID, func(tree *lb.LoadBalancer) error {
			_, err := tree.CreateMember(pool, lb.MemberCreate{ID: uuid.NewString(), Address: m.Addr(), ProtocolPort: int(m.Port())})
			return err
		})
	}
	return address, pool
}

func (c *cloud) change(t *testing.T, id string, f func(*lb.LoadBalancer) error) {
	t.Helper()
	if _, err := c.Change(t.Context(), id, f); err != nil {
		t.Fatal(err)
	}
}

// until waits for a load balancer to be as wanted.
func (c *cloud) until(t *testing.T, id, what string, wanted func(lb.Snapshot) bool) lb.Snapshot {
	t.Helper()
	var last lb.Snapshot
	eventually(t, what, func() error {
		var err error
		if last, err = c.Snapshot(t.Context(), id); err != nil {
			return err
		}
		if !wanted(last) {
			return fmt.Errorf("observed: %+v", last.Observed)
		}
		return nil
	})
	return last
}

func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("%s: not within %v: %v", what, patience, err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func isActive(s lb.Snapshot) bool {
	active := true
	s.Tree.Walk(func(_ lb.Kind, _ string, o *lb.Object, _ any) { active = active && s.Provisioning(o) == lb.Active })
	return active
}

func freePort(t *testing.T, ip netip.Addr) uint16 {
	t.Helper()
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

// greeter answers every connection with its name.
func greeter(t *testing.T, name string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.81.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			connection, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(connection, name)
			_ = connection.Close()
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func ask(address netip.AddrPort) (string, error) {
	connection, err := net.DialTimeout("tcp", address.String(), patience)
	if err != nil {
		return "", err
	}
	defer connection.Close()
	answer, err := io.ReadAll(connection)
	if err == nil && len(answer) == 0 {
		err = errors.New("closed without an answer")
	}
	return string(answer), err
}

func TestLoadBalancerComesIntoServiceAndGoes(t *testing.T) {
	db := databasetest.SQLite(t)
	c := start(t, db, nil).withSubnet(t, "127.81.1.0/24")
	s := c.create(t)
	if got := s.Provisioning(&s.Tree.Object); got != lb.PendingCreate {
		t.Errorf("the new load balancer is %s, want PENDING_CREATE", got)
	}
	address, _ := c.serveTCP(t, s, greeter(t, "one"), greeter(t, "two"))
	s = c.until(t, s.Tree.ID, "all ACTIVE and ONLINE", func(s lb.Snapshot) bool {
		return isActive(s) && s.Operating(&s.Tree.Object) == lb.Online
	})
	var answers []string
	for range 4 {
		answer, err := ask(address)
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, answer)
	}
	slices.Sort(answers)
	if diff := cmp.Diff([]string{"one", "one", "two", "two"}, answers); diff != "" {
		t.Error(diff)
	}
	eventually(t, "counters", func() error {
		counters, err := c.Counters(t.Context(), s.Tree.ID)
		if got := counters[s.Tree.Listeners[0].ID]; err != nil || got.TotalConnections != 4 || got.BytesOut != 12 {
			return fmt.Errorf("%+v, %v", got, err)
		}
		return nil
	})
	c.change(t, s.Tree.ID, func(tree *lb.LoadBalancer) error { return tree.Delete(true) })
	eventually(t, "gone", func() error {
		if _, err := c.Snapshot(t.Context(), s.Tree.ID); lb.CodeOf(err) != lb.NotFound {
			return fmt.Errorf("it is there: %v", err)
		}
		return nil
	})
	if _, err := net.Dial("tcp", address.String()); err == nil {
		t.Error("the deleted load balancer takes connections")
	}
	if owners, err := c.network.VIPOwners(t.Context()); err != nil || len(owners) > 0 {
		t.Errorf("ports are left: %v %v", owners, err)
	}
}

// faulty is a node that refuses for a while.
type faulty struct {
	link.Node
	broken atomic.Bool
}

func (f *faulty) Apply(ctx context.Context, a link.Assignment) error {
	if f.broken.Load() {
		return errors.New("the rack is on fire")
	}
	return f.Node.Apply(ctx, a)
}

func (f *faulty) Remove(ctx context.Context, id string) error {
	if f.broken.Load() {
		return errors.New("the rack is on fire")
	}
	return f.Node.Remove(ctx, id)
}

func TestFailureHasAReasonAndPasses(t *testing.T) {
	n := &faulty{}
	c := start(t, databasetest.SQLite(t), func(inner link.Node) link.Node { n.Node = inner; return n }).withSubnet(t, "127.81.2.0/24")
	n.broken.Store(true)
	id := c.create(t).Tree.ID
	inError := func(s lb.Snapshot) bool {
		return s.Provisioning(&s.Tree.Object) == lb.Failed && s.Reason(&s.Tree.Object) == "the rack is on fire"
	}
	c.until(t, id, "ERROR with the reason after create", inError)
	n.broken.Store(false)
	c.until(t, id, "ACTIVE by itself", isActive)
	n.broken.Store(true)
	c.AttachmentChanged("lb-" + id)
	c.until(t, id, "ERROR with the reason after it was to be plugged anew", inError)
	n.broken.Store(false)
	c.until(t, id, "ACTIVE by itself", isActive)
	n.broken.Store(true)
	c.change(t, id, func(tree *lb.LoadBalancer) error { return tree.Delete(false) })
	c.until(t, id, "ERROR with the reason after delete", func(s lb.Snapshot) bool {
		return s.Reason(&s.Tree.Object) == "removal from the node: the rack is on fire"
	})
	n.broken.Store(false)
	eventually(t, "gone by itself", func() error {
		if _, err := c.Snapshot(t.Context(), id); lb.CodeOf(err) != lb.NotFound {
			return errors.New("it is there")
		}
		return nil
	})
}

func TestRestartServesEverythingAgain(t *testing.T) {
	db := databasetest.SQLite(t)
	c := start(t, db, nil).withSubnet(t, "127.81.3.0/24")
	s := c.create(t)
	address, _ := c.serveTCP(t, s, greeter(t, "one"))
	orphan := uuid.NewString() // as after a crash between the VIP and the load balancer
	if _, err := c.network.CreateVIP(t.Context(), admin, lb.VIPRequest{LoadBalancerID: orphan, ProjectID: "p", SubnetID: c.subnet}); err != nil {
		t.Fatal(err)
	}
	c.stop()
	c = start(t, db, nil)
	eventually(t, "service", func() error { _, err := ask(address); return err })
	eventually(t, "only its own VIP port", func() error {
		owners, err := c.network.VIPOwners(t.Context())
		if !slices.Equal(owners, []string{s.Tree.ID}) {
			return fmt.Errorf("%v, %w", owners, err)
		}
		return nil
	})
}

func TestNothingIsCreatedBeforeLeftoversAreReleased(t *testing.T) {
	db := databasetest.SQLite(t)
	c := start(t, db, nil).withSubnet(t, "127.81.7.0/24")
	balancers, err := store.New(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	notRunning := control.New(balancers, c.network, nil, nil, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	id := uuid.NewString()
	_, err = notRunning.Create(ctx, admin,
		lb.LoadBalancerCreate{ID: id, ProjectID: "p"}, lb.VIPRequest{LoadBalancerID: id, ProjectID: "p", SubnetID: c.subnet})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("create before the start: %v, want it to wait", err)
	}
	if owners, err := c.network.VIPOwners(t.Context()); err != nil || len(owners) > 0 {
		t.Errorf("it has made ports: %v %v", owners, err)
	}
}

// What another process commits on the same database, this one applies.
func TestChangeOfAnotherProcessIsApplied(t *testing.T) {
	db := databasetest.SQLite(t)
	c := start(t, db, nil).withSubnet(t, "127.81.7.0/24")
	s := c.create(t)
	c.until(t, s.Tree.ID, "ACTIVE", isActive)
	other, err := store.New(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	rename := func(tree *lb.LoadBalancer) error {
		return tree.Update(lb.LoadBalancerAttrs{Common: lb.Common{Name: lb.Some("elsewhere")}})
	}
	if _, err := other.Change(t.Context(), s.Tree.ID, rename); err != nil {
		t.Fatal(err)
	}
	c.until(t, s.Tree.ID, "the other's change ACTIVE", func(s lb.Snapshot) bool { return s.Tree.Name == "elsewhere" && isActive(s) })
}

func TestTakenAddressShowsAndIsTakenOverOnceFree(t *testing.T) {
	c := start(t, databasetest.SQLite(t), nil).withSubnet(t, "127.81.6.0/24")
	s := c.create(t)
	squatter, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(s.Tree.VIP.Address, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer squatter.Close()
	port := squatter.Addr().(*net.TCPAddr).Port
	listener := uuid.NewString()
	c.change(t, s.Tree.ID, func(tree *lb.LoadBalancer) error {
		_, err := tree.CreateListener(lb.ListenerCreate{ID: listener, Protocol: "TCP", ProtocolPort: port})
		return err
	})
	s = c.until(t, s.Tree.ID, "the listener in ERROR", func(s lb.Snapshot) bool {
		return s.Observed.Status[listener].Operating == lb.InError
	})
	want := fmt.Sprintf("cannot listen on %s: address already in use", squatter.Addr())
	if got := s.Observed.Status[listener].Reason; got != want {
		t.Errorf("reason is %q, want %q", got, want)
	}
	if err := squatter.Close(); err != nil {
		t.Fatal(err)
	}
	c.until(t, s.Tree.ID, "the listener ONLINE", func(s lb.Snapshot) bool {
		return s.Observed.Status[listener].Operating == lb.Online
	})
}

func TestHealthShowsWithReasonAndRecovers(t *testing.T) {
	c := start(t, databasetest.SQLite(t), nil).withSubnet(t, "127.81.4.0/24")
	s := c.create(t)
	dead := netip.AddrPortFrom(netip.MustParseAddr("127.81.0.1"), freePort(t, netip.MustParseAddr("127.81.0.1")))
	_, pool := c.serveTCP(t, s, greeter(t, "one"), dead)
	c.change(t, s.Tree.ID, func(tree *lb.LoadBalancer) error {
		_, err := tree.CreateHealthMonitor(pool, lb.HealthMonitorCreate{
			ID: uuid.NewString(), Type: "TCP",
			HealthMonitorAttrs: lb.HealthMonitorAttrs{DelaySec: lb.Some(1), TimeoutSec: lb.Some(1), MaxRetries: lb.Some(1)},
		})
		return err
	})
	status := func(s lb.Snapshot, port uint16) lb.Status {
		for _, m := range s.Tree.Pools[0].Members {
			if m.ProtocolPort == int(port) {
				return s.Observed.Status[m.ID]
			}
		}
		return lb.Status{}
	}
	s = c.until(t, s.Tree.ID, "the dead member in ERROR", func(s lb.Snapshot) bool {
		return status(s, dead.Port()).Operating == lb.InError
	})
	if reason, want := status(s, dead.Port()).Reason, "connection refused by "+dead.String(); reason != want {
		t.Errorf("reason is %q, want %q", reason, want)
	}
	for _, o := range []*lb.Object{&s.Tree.Object, &s.Tree.Pools[0].Object} {
		if s.Operating(o) != lb.Degraded || s.Reason(o) == "" {
			t.Errorf("%s is %s (%q), want DEGRADED with a reason", o.ID, s.Operating(o), s.Reason(o))
		}
	}
	l, err := net.Listen("tcp", dead.String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c.until(t, s.Tree.ID, "all ONLINE again", func(s lb.Snapshot) bool {
		return status(s, dead.Port()).Operating == lb.Online && s.Operating(&s.Tree.Object) == lb.Online
	})
	c.change(t, s.Tree.ID, func(tree *lb.LoadBalancer) error { return tree.DeleteHealthMonitor(s.Tree.Pools[0].Monitor.ID) })
	c.until(t, s.Tree.ID, "NO_MONITOR", func(s lb.Snapshot) bool { return status(s, dead.Port()).Operating == lb.NoMonitor })
}

func TestConcurrentClientsEqualSerialExecution(t *testing.T) {
	const clients = 200
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		c := start(t, db, nil).withSubnet(t, "127.81.5.0/24")
		s := c.create(t)
		_, pool := c.serveTCP(t, s)
		var group errgroup.Group
		for i := range clients {
			group.Go(func() error {
				id := uuid.NewString()
				_, err := c.Change(context.Background(), s.Tree.ID, func(tree *lb.LoadBalancer) error {
					_, err := tree.CreateMember(pool, lb.MemberCreate{ID: id, Address: netip.AddrFrom4([4]byte{127, 82, 0, byte(i)}), ProtocolPort: 80})
					return err
				})
				if err != nil || i%2 == 0 {
					return err
				}
				_, err = c.Change(context.Background(), s.Tree.ID, func(tree *lb.LoadBalancer) error { return tree.DeleteMember(pool, id) })
				return err
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		s = c.until(t, s.Tree.ID, "all ACTIVE", isActive)
		if got := len(s.Tree.Pools[0].Members); got != clients/2 {
			t.Errorf("%d members are left, want %d", got, clients/2)
		}
	})
}

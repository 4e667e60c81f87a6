package store

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"poise/internal/database"
	"poise/internal/database/databasetest"
	"poise/internal/lb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(databasetest.Suite{M: m}) }

func newStore(t *testing.T, db *database.DB) *Store {
	t.Helper()
	s, err := New(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func create(t *testing.T, s *Store, project string) lb.Snapshot {
	t.Helper()
	tree, err := lb.NewLoadBalancer(lb.LoadBalancerCreate{
		ID: uuid.NewString(), ProjectID: project,
		VIP: lb.VIP{PortID: uuid.NewString(), Address: netip.MustParseAddr("10.15.25.178")},
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := s.Create(t.Context(), tree)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

// populate adds a listener with a pool, two members and a health monitor, and returns the pool's id.
func populate(t *testing.T, s *Store, id string) string {
	t.Helper()
	pool := uuid.NewString()
	change(t, s, id, func(tree *lb.LoadBalancer) error {
		listener := lb.ListenerCreate{ID: uuid.NewString(), Protocol: "TCP", ProtocolPort: 80}
		listener.AllowedCIDRs = lb.Some([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
		if _, err := tree.CreateListener(listener); err != nil {
			return err
		}
		_, err := tree.CreatePool(lb.PoolCreate{
			ID: pool, Protocol: "TCP", ListenerID: listener.ID,
			PoolAttrs: lb.PoolAttrs{Algorithm: lb.Some(lb.Algorithm("ROUND_ROBIN"))},
		})
		return err
	})
	for i := range 2 {
		change(t, s, id, func(tree *lb.LoadBalancer) error {
			_, err := tree.CreateMember(pool, member(i))
			return err
		})
	}
	change(t, s, id, func(tree *lb.LoadBalancer) error {
		_, err := tree.CreateHealthMonitor(pool, lb.HealthMonitorCreate{ID: uuid.NewString(), Type: "TCP"})
		return err
	})
	return pool
}

func member(i int) lb.MemberCreate {
	return lb.MemberCreate{ID: uuid.NewString(), Address: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), ProtocolPort: 80}
}

func change(t *testing.T, s *Store, id string, f func(*lb.LoadBalancer) error) lb.Snapshot {
	t.Helper()
	snapshot, err := s.Change(t.Context(), id, f)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

func acknowledge(t *testing.T, s *Store, id string) lb.Snapshot {
	t.Helper()
	snapshot, err := s.Observe(t.Context(), id, func(now lb.Snapshot) lb.Observation {
		return lb.Observation{Applied: now.Tree.Generation, Status: map[string]lb.Status{id: {Operating: lb.Online}}}
	})
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

// reread gives what another process would read.
func reread(t *testing.T, db *database.DB, id string) lb.Snapshot {
	t.Helper()
	snapshot, err := newStore(t, db).Snapshot(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

var sameSnapshot = cmp.Options{
	cmpopts.IgnoreUnexported(lb.LoadBalancer{}), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty(),
}

func TestWhatIsReadIsWhatWasWritten(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		s := newStore(t, db)
		id := create(t, s, "p").Tree.ID
		pool := populate(t, s, id)
		written := change(t, s, id, func(tree *lb.LoadBalancer) error {
			p, _ := tree.Pool(pool)
			return tree.DeleteMember(pool, p.Members[0].ID)
		})
		if diff := cmp.Diff(written, reread(t, db, id), sameSnapshot); diff != "" {
			t.Errorf("after a change (-written +read):\n%s", diff)
		}
		acknowledged := acknowledge(t, s, id)
		if diff := cmp.Diff(acknowledged, reread(t, db, id), sameSnapshot); diff != "" {
			t.Errorf("after the acknowledgement (-written +read):\n%s", diff)
		}
		if got := len(acknowledged.Tree.Pools[0].Members); got != 1 {
			t.Errorf("%d members are left, want 1: the deleted one is gone with its acknowledgement", got)
		}
	})
}

func TestDeletedLoadBalancerLeavesNoRow(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		s := newStore(t, db)
		id := create(t, s, "p").Tree.ID
		populate(t, s, id)
		acknowledge(t, s, id)
		change(t, s, id, func(tree *lb.LoadBalancer) error { return tree.Delete(true) })
		if gone := acknowledge(t, s, id); gone.Tree != nil {
			t.Error("the load balancer is still there")
		}
		if _, err := s.Snapshot(t.Context(), id); lb.CodeOf(err) != lb.NotFound {
			t.Errorf("Snapshot says %v, want not found", err)
		}
		for _, table := range []string{"load_balancers", "objects", "observations", "counters"} {
			if n, err := db.NewSelect().Table(table).Count(t.Context()); err != nil || n != 0 {
				t.Errorf("%d rows left in %s (%v)", n, table, err)
			}
		}
	})
}

func TestRefusedChangeChangesNothing(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		s := newStore(t, db)
		before := create(t, s, "p")
		refusal := &lb.Error{Code: lb.Conflict, Message: "no"}
		_, err := s.Change(t.Context(), before.Tree.ID, func(tree *lb.LoadBalancer) error {
			tree.Name = "half"
			return refusal
		})
		if err != error(refusal) {
			t.Errorf("error is %v, want the refusal itself", err)
		}
		if diff := cmp.Diff(before, reread(t, db, before.Tree.ID), sameSnapshot); diff != "" {
			t.Error(diff)
		}
	})
}

func TestHolder(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		s := newStore(t, db)
		id := create(t, s, "p").Tree.ID
		pool := populate(t, s, id)
		if got, err := s.Holder(t.Context(), lb.KindPool, pool); err != nil || got.Tree.ID != id {
			t.Errorf("holder of the pool: %v", err)
		}
		for name, missing := range map[string]struct {
			kind lb.Kind
			id   string
		}{"unknown": {lb.KindPool, uuid.NewString()}, "another kind": {lb.KindListener, pool}} {
			if _, err := s.Holder(t.Context(), missing.kind, missing.id); lb.CodeOf(err) != lb.NotFound {
				t.Errorf("%s: %v, want not found", name, err)
			}
		}
	})
}

func TestListIsOfTheProject(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		s := newStore(t, db)
		a, b := create(t, s, "a").Tree.ID, create(t, s, "b").Tree.ID
		for project, want := range map[string][]string{"a": {a}, "b": {b}, "": {a, b}, "c": nil} {
			list, err := newStore(t, db).List(t.Context(), project)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, snapshot := range list {
				got = append(got, snapshot.Tree.ID)
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("project %q: %v, want %v", project, got, want)
			}
		}
	})
}

// TestConcurrentChangesAllCount has 51 writers in several processes (stores of their own on one database) lose no update.
func TestConcurrentChangesAllCount(t *testing.T) {
	const stores, writers, changes = 3, 17, 2 // of each
	for name, balancers := range map[string]int{"one load balancer": 1, "many load balancers": 10} {
		t.Run(name, func(t *testing.T) {
			databasetest.Each(t, func(t *testing.T, db *database.DB) {
				s := newStore(t, db)
				ids, pools := make([]string, balancers), make([]string, balancers)
				for i := range ids {
					ids[i] = create(t, s, "p").Tree.ID
					pools[i] = populate(t, s, ids[i])
				}
				var wg sync.WaitGroup
				for store := range stores {
					s := newStore(t, db)
					for writer := range writers {
						n := store*writers + writer
						wg.Go(func() {
							for i := range changes {
								addMember(t, s, ids[n%balancers], pools[n%balancers], 100+n*changes+i)
							}
						})
					}
					wg.Go(func() { observeAll(t, s, ids) })
				}
				wg.Wait()
				total := 0
				for _, id := range ids {
					total += len(reread(t, db, id).Tree.Pools[0].Members)
				}
				if want := 2*balancers + stores*writers*changes; total != want {
					t.Errorf("%d members, want %d", total, want)
				}
			})
		})
	}
}

func addMember(t *testing.T, s *Store, id, pool string, n int) {
	_, err := s.Change(t.Context(), id, func(tree *lb.LoadBalancer) error {
		_, err := tree.CreateMember(pool, member(n))
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// observeAll acknowledges what load balancers have come to.
func observeAll(t *testing.T, s *Store, ids []string) {
	for _, id := range ids {
		_, err := s.Observe(t.Context(), id, func(now lb.Snapshot) lb.Observation {
			return lb.Observation{Applied: now.Tree.Generation}
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// Readers get a tree of one moment while others keep changing it, in their own process and in another.
func TestReadersAmongWriters(t *testing.T) {
	const members, writers, changes, readers = 100, 50, 2, 100 // so many that they wait for connections
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		s := newStore(t, db)
		id := create(t, s, "p").Tree.ID
		pool := populate(t, s, id)
		first := change(t, s, id, func(tree *lb.LoadBalancer) error {
			list := make([]lb.MemberCreate, members)
			for i := range list {
				list[i] = member(i)
			}
			return tree.ReplaceMembers(pool, list, false)
		}).Tree.Generation
		acknowledge(t, s, id)
		var writing, reading sync.WaitGroup
		for writer := range writers {
			writing.Go(func() {
				for i := range changes {
					_, err := s.Change(t.Context(), id, func(tree *lb.LoadBalancer) error {
						_, err := tree.CreateMember(pool, member(members+writer*changes+i))
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		done := make(chan struct{})
		for _, reader := range []*Store{s, newStore(t, db)} {
			for range readers {
				reading.Go(func() {
					for last := first; ; {
						got, err := reader.Snapshot(t.Context(), id)
						if err != nil {
							t.Error(err)
							return
						}
						if want := members + int(got.Tree.Generation-first); got.Tree.Generation < last || len(got.Tree.Pools[0].Members) != want {
							t.Errorf("generation %d after %d, with %d members, want %d", got.Tree.Generation, last, len(got.Tree.Pools[0].Members), want)
						}
						last = got.Tree.Generation
						select {
						case <-done:
							return
						default:
						}
					}
				})
			}
		}
		writing.Wait()
		close(done)
		reading.Wait()
	})
}

func TestCounters(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		s := newStore(t, db)
		id := create(t, s, "p").Tree.ID
		populate(t, s, id)
		listener := reread(t, db, id).Tree.Listeners[0].ID
		for _, bytes := range []uint64{5, 7} {
			want := map[string]lb.Counters{listener: {BytesIn: bytes}}
			given := map[string]lb.Counters{listener: {BytesIn: bytes}, uuid.NewString(): {BytesIn: 1}}
			if err := s.SaveCounters(t.Context(), map[string]map[string]lb.Counters{id: given}); err != nil {
				t.Fatal(err)
			}
			got, err := s.Counters(context.Background(), id)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("counters: %v\n%s", err, diff)
			}
		}
	})
}

// TestBusy lists those that have had traffic, the latest first.
func TestBusy(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		s := newStore(t, db)
		var ids []string
		for i := range 3 {
			id := create(t, s, "p").Tree.ID
			populate(t, s, id)
			listener := reread(t, db, id).Tree.Listeners[0].ID
			s.now = func() time.Time { return time.Unix(int64(1000+i), 0) }
			counted := lb.Counters{TotalConnections: uint64(i)} // the first has had no traffic
			if err := s.SaveCounters(t.Context(), map[string]map[string]lb.Counters{id: {listener: counted}}); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		got, err := s.Busy(t.Context())
		if diff := cmp.Diff([]string{ids[2], ids[1]}, got); err != nil || diff != "" {
			t.Errorf("busy: %v\n%s", err, diff)
		}
	})
}

// TestCountersOfMany keeps those of more load balancers than one transaction takes.
func TestCountersOfMany(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		s := newStore(t, db)
		all := map[string]map[string]lb.Counters{}
		for range countersAtOnce + 1 {
			all[uuid.NewString()] = map[string]lb.Counters{uuid.NewString(): {BytesIn: 1}} // unknown: dropped
		}
		listeners := map[string]string{} // by load balancer
		for range 3 {
			id := create(t, s, "p").Tree.ID
			populate(t, s, id)
			listeners[id] = reread(t, db, id).Tree.Listeners[0].ID
			all[id] = map[string]lb.Counters{listeners[id]: {BytesOut: 3}}
		}
		if err := s.SaveCounters(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		for id, listener := range listeners {
			if got, err := s.Counters(t.Context(), id); err != nil || len(got) != 1 || got[listener].BytesOut != 3 {
				t.Errorf("%v, %v", got, err)
			}
		}
	})
}

func TestLargePool(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		const size = 3 * insertBatch
		s := newStore(t, db)
		id := create(t, s, "p").Tree.ID
		pool := populate(t, s, id)
		list := make([]lb.MemberCreate, size)
		for i := range list {
			list[i] = member(i)
		}
		change(t, s, id, func(tree *lb.LoadBalancer) error { return tree.ReplaceMembers(pool, list, false) })
		acknowledge(t, s, id)
		if got := len(reread(t, db, id).Tree.Pools[0].Members); got != size {
			t.Errorf("%d members, want %d", got, size)
		}
		change(t, s, id, func(tree *lb.LoadBalancer) error { return tree.ReplaceMembers(pool, nil, false) })
		acknowledge(t, s, id)
		if got := len(reread(t, db, id).Tree.Pools[0].Members); got != 0 {
			t.Errorf("%d members, want none: %s", got, fmt.Sprint(id))
		}
	})
}

// TestOrderOfOneGeneration holds that objects which come with one change are read in the order in which they were given.
func TestOrderOfOneGeneration(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		s := newStore(t, db)
		id := create(t, s, "p").Tree.ID
		pool := populate(t, s, id)
		written := change(t, s, id, func(tree *lb.LoadBalancer) error {
			var list []lb.MemberCreate
			for i := range 30 {
				list = append(list, member(100-i))
			}
			return tree.ReplaceMembers(pool, list, true)
		})
		if diff := cmp.Diff(written, reread(t, db, id), sameSnapshot); diff != "" {
			t.Errorf("(-written +read)\n%s", diff)
		}
	})
}

package store

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"poise/internal/database"
	"poise/internal/database/databasetest"
	"poise/internal/lb"
)

func limit(t *testing.T, s *Store, project string, kind lb.Kind, n int) {
	t.Helper()
	if _, err := s.SetQuota(t.Context(), project, map[lb.Kind]lb.Opt[int]{kind: lb.Some(n)}); err != nil {
		t.Fatal(err)
	}
}

func TestQuotaRows(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		s := newStore(t, db)
		s.Configure(Settings{Quota: lb.Quota{lb.KindPool: 7}})
		if err := s.ResetQuota(t.Context(), "p"); lb.CodeOf(err) != lb.NotFound {
			t.Errorf("reset of what was never set: %v", err)
		}
		set, err := s.SetQuota(t.Context(), "p", map[lb.Kind]lb.Opt[int]{lb.KindPool: lb.Some(3), lb.KindMember: lb.Some(5)})
		if err != nil || set[lb.KindPool] != 3 || set[lb.KindMember] != 5 || set[lb.KindListener] != lb.NoLimit {
			t.Errorf("set: %v %v", set, err)
		}
		set, err = s.SetQuota(t.Context(), "p", map[lb.Kind]lb.Opt[int]{lb.KindPool: lb.Null[int]()})
		if err != nil || set[lb.KindPool] != 7 || set[lb.KindMember] != 5 {
			t.Errorf("null: %v %v", set, err)
		}
		all, err := s.ProjectQuotas(t.Context())
		if diff := cmp.Diff(map[string]lb.Quota{"p": set}, all); err != nil || diff != "" {
			t.Error(err, diff)
		}
		if err := s.ResetQuota(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
		after, err := s.Quota(t.Context(), "p")
		if diff := cmp.Diff(s.DefaultQuota(), after); err != nil || diff != "" {
			t.Error(err, diff)
		}
	})
}

// TestQuotaRace has many clients, of two processes, ask at once for more than the project may have, spread over its load
// balancers: each limit is reached and none is passed.
func TestQuotaRace(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		const clients, most = 24, 5
		processes := []*Store{newStore(t, db), newStore(t, db)}
		var balancers, pools []string
		for range 3 {
			id := create(t, processes[0], "p").Tree.ID
			balancers = append(balancers, id)
			pools = append(pools, populate(t, processes[0], id)) // one pool and two members each
		}
		limit(t, processes[0], "p", lb.KindLoadBalancer, 3+most)
		limit(t, processes[0], "p", lb.KindMember, 6+most)
		limit(t, processes[0], "p", lb.KindPool, 3)

		var made, refused atomic.Int64
		var group sync.WaitGroup
		attempt := func(f func() error) {
			group.Go(func() {
				switch err := f(); {
				case err == nil:
					made.Add(1)
				case lb.CodeOf(err) == lb.QuotaExceeded:
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		for i := range clients {
			s := processes[i%2]
			attempt(func() error {
				_, err := s.Change(t.Context(), balancers[i%3], func(tree *lb.LoadBalancer) error {
					_, err := tree.CreateMember(pools[i%3], member(100+i))
					return err
				})
				return err
			})
			attempt(func() error {
				tree, err := lb.NewLoadBalancer(lb.LoadBalancerCreate{ID: uuid.NewString(), ProjectID: "p"}, time.Now())
				if err != nil {
					return err
				}
				_, err = s.Create(t.Context(), tree)
				return err
			})
			attempt(func() error {
				_, err := s.Change(t.Context(), balancers[i%3], func(tree *lb.LoadBalancer) error {
					_, err := tree.CreatePool(lb.PoolCreate{
						ID: uuid.NewString(), Protocol: "TCP", PoolAttrs: lb.PoolAttrs{Algorithm: lb.Some(lb.Algorithm("SOURCE_IP"))},
					})
					return err
				})
				return err
			})
		}
		group.Wait()
		if made.Load() != 2*most || refused.Load() != 3*clients-2*most {
			t.Errorf("%d made and %d refused", made.Load(), refused.Load())
		}
		all, err := newStore(t, db).List(t.Context(), "p")
		members := 0
		for _, snapshot := range all {
			for _, p := range snapshot.Tree.Pools {
				members += len(p.Members)
			}
		}
		if err != nil || len(all) != 3+most || members != 6+most {
			t.Errorf("%d load balancers and %d members (%v)", len(all), members, err)
		}
	})
}

// TestQuotaCounts says what counts: everything that is not gone yet, of this project alone; a batch by its net growth.
func TestQuotaCounts(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		s := newStore(t, db)
		other := create(t, s, "other").Tree.ID
		populate(t, s, other)
		id := create(t, s, "p").Tree.ID
		pool := populate(t, s, id)
		limit(t, s, "p", lb.KindMember, 2)
		replace := func(members ...lb.MemberCreate) error {
			_, err := s.Change(t.Context(), id, func(tree *lb.LoadBalancer) error { return tree.ReplaceMembers(pool, members, false) })
			return err
		}
		add := func() error {
			_, err := s.Change(t.Context(), id, func(tree *lb.LoadBalancer) error {
				_, err := tree.CreateMember(pool, member(50))
				return err
			})
			return err
		}
		expect := func(what string, err error, refused bool) {
			t.Helper()
			var e *lb.Error
			if refused != errors.As(err, &e) || refused && e.Message != "Quota has been met for resources: Member" {
				t.Errorf("%s: %v", what, err)
			}
		}
		expect("a third member", add(), true)
		expect("two others instead", replace(member(7), member(8)), false)
		expect("three instead", replace(member(7), member(8), member(9)), true)
		expect("one fewer", replace(member(7)), false)
		expect("another while the deleted ones are still there", add(), true)
		acknowledge(t, s, id)
		expect("another once they are gone", add(), false)
		limit(t, s, "p", lb.KindMember, 0)
		change(t, s, id, func(tree *lb.LoadBalancer) error { return tree.Update(lb.LoadBalancerAttrs{}) }) // not about members
		limit(t, s, "p", lb.KindMember, lb.NoLimit)
		change(t, s, id, func(tree *lb.LoadBalancer) error {
			_, err := tree.CreateMember(pool, member(51))
			return err
		})
	})
}

// TestConfiguredQuota limits projects for which nothing was set.
func TestConfiguredQuota(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		s := newStore(t, db)
		s.Configure(Settings{Quota: lb.Quota{lb.KindLoadBalancer: 1}})
		create(t, s, "p")
		tree, err := lb.NewLoadBalancer(lb.LoadBalancerCreate{ID: uuid.NewString(), ProjectID: "p"}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Create(t.Context(), tree); lb.CodeOf(err) != lb.QuotaExceeded {
			t.Errorf("second load balancer: %v", err)
		}
		limit(t, s, "p", lb.KindLoadBalancer, 2)
		if _, err := s.Create(t.Context(), tree); err != nil {
			t.Errorf("with a limit of its own: %v", err)
		}
	})
}

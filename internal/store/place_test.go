package store

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"poise/internal/database"
	"poise/internal/database/databasetest"
	"poise/internal/lb"
)

// policyCreate is a policy with rules, put before those that are there.
func policyCreate(rules int) lb.L7PolicyCreate {
	p := lb.L7PolicyCreate{ID: uuid.NewString(), L7PolicyAttrs: lb.L7PolicyAttrs{Action: lb.Some(lb.Reject), Position: lb.Some(1)}}
	for range rules {
		p.Rules = append(p.Rules, lb.L7RuleCreate{ID: uuid.NewString(), L7RuleAttrs: lb.L7RuleAttrs{
			Type: lb.Some(lb.RulePath), CompareType: lb.Some(lb.CompareEqualTo), Value: lb.Some("/"),
		}})
	}
	return p
}

// TestWholeTreeIsReadAsItWasWritten keeps a tree whose objects were all made at once, so that ids alone order their rows.
func TestWholeTreeIsReadAsItWasWritten(t *testing.T) {
	same := append(sameSnapshot, cmpopts.SortSlices(func(a, b *lb.L7Rule) bool { return a.ID < b.ID }),
		cmpopts.SortSlices(func(a, b *lb.Pool) bool { return a.ID < b.ID }))
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		s := newStore(t, db)
		pool := lb.PoolCreate{ID: uuid.NewString(), Protocol: "HTTP", Monitor: &lb.HealthMonitorCreate{ID: uuid.NewString(), Type: "HTTP"}}
		pool.Name, pool.Algorithm = lb.Some("a"), lb.Some(lb.Algorithm("ROUND_ROBIN"))
		pool.Persistence = lb.Some(lb.SessionPersistence{Type: lb.PersistByAppCookie, CookieName: "c"})
		for i := range 5 {
			pool.Members = append(pool.Members, member(i))
		}
		yes := "true"
		listener := lb.ListenerCreate{ID: uuid.NewString(), Protocol: "HTTP", ProtocolPort: 80, DefaultPool: &pool}
		listener.InsertHeaders = lb.Some(map[string]*string{"X-Forwarded-For": &yes})
		for i := range 5 {
			listener.Policies = append(listener.Policies, policyCreate(i))
		}
		tree, err := lb.NewLoadBalancer(lb.LoadBalancerCreate{
			ID: uuid.NewString(), ProjectID: "p", VIP: lb.VIP{Address: netip.MustParseAddr("10.15.25.178")}, Listeners: []lb.ListenerCreate{listener},
		}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		written, err := s.Create(t.Context(), tree)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(written, reread(t, db, tree.ID), same); diff != "" {
			t.Errorf("after the creation (-written +read):\n%s", diff)
		}
		first, last := listener.Policies[0].ID, listener.Policies[4].ID // the last was put before all others
		written = change(t, s, tree.ID, func(tree *lb.LoadBalancer) error {
			if _, err := tree.UpdateL7Policy(first, lb.L7PolicyAttrs{Position: lb.Some(1)}); err != nil {
				return err
			}
			return tree.DeleteL7Policy(last)
		})
		if diff := cmp.Diff(written, reread(t, db, tree.ID), same); diff != "" {
			t.Errorf("after a change (-written +read):\n%s", diff)
		}
		left := acknowledge(t, s, tree.ID)
		if diff := cmp.Diff(left, reread(t, db, tree.ID), same); diff != "" {
			t.Errorf("after the acknowledgement (-written +read):\n%s", diff)
		}
		if policies := left.Tree.Listeners[0].Policies; len(policies) != 4 || policies[0].ID != first {
			t.Errorf("policies %v, want %s first of four", policies, first)
		}
	})
}

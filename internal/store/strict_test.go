package store

import (
	"testing"

	"github.com/google/uuid"

	"poise/internal/database/databasetest"
	"poise/internal/lb"
)

// TestStrictImmutable refuses changes of what is PENDING as Octavia does; in ERROR only deletion and failover are left.
func TestStrictImmutable(t *testing.T) {
	s := newStore(t, databasetest.SQLite(t))
	s.Configure(Settings{StrictImmutable: true})
	id := create(t, s, "p").Tree.ID
	changes := map[string]func(*lb.LoadBalancer) error{
		"update": func(tree *lb.LoadBalancer) error { return tree.Update(lb.LoadBalancerAttrs{}) },
		"listener": func(tree *lb.LoadBalancer) error {
			_, err := tree.CreateListener(lb.ListenerCreate{ID: uuid.NewString(), Protocol: "TCP", ProtocolPort: 80})
			return err
		},
		"failover": (*lb.LoadBalancer).Failover,
		"delete":   func(tree *lb.LoadBalancer) error { return tree.Delete(true) },
	}
	expect := func(name, message string) {
		t.Helper()
		_, err := s.Change(t.Context(), id, changes[name])
		switch {
		case message == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case message != "" && (lb.CodeOf(err) != lb.Immutable || err.Error() != message):
			t.Errorf("%s: %v, want %s", name, err, message)
		}
	}
	state := func(status string) string { return "Invalid state " + status + " of loadbalancer resource " + id }
	child := "Load Balancer " + id + " is immutable and cannot be updated."
	for name := range changes {
		want := state("PENDING_CREATE")
		if name == "listener" {
			want = child
		}
		expect(name, want)
	}
	acknowledge(t, s, id)
	expect("listener", "")
	expect("listener", child)
	expect("update", state("PENDING_UPDATE"))
	if _, err := s.Observe(t.Context(), id, func(now lb.Snapshot) lb.Observation {
		return lb.Observation{Applied: now.Observed.Applied, FailedIn: now.Tree.Generation, Failure: "no"}
	}); err != nil {
		t.Fatal(err)
	}
	expect("update", state("ERROR"))
	expect("listener", child)
	expect("failover", "")
	acknowledge(t, s, id)
	expect("update", "")
	acknowledge(t, s, id)
	expect("delete", "")
	expect("delete", state("PENDING_DELETE"))
}

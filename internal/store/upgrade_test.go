package store

import (
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"poise/internal/database"
	"poise/internal/database/databasetest"
	"poise/internal/lb"
)

// TestUpgrade brings a database of the first release, with a load balancer in it, up to date: it reads as before, can be
// changed, and counts for its project's quota.
func TestUpgrade(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		const first = "00001_load_balancers.sql"
		script, err := fs.ReadFile(migrations, "migrations/"+first)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Migrate(t.Context(), "store", fstest.MapFS{first: {Data: script}}); err != nil {
			t.Fatal(err)
		}
		for _, statement := range []string{
			`INSERT INTO load_balancers (id, project_id, created_at, version, body) VALUES
				('b', 'p', 0, 1, '{"id": "b", "project_id": "p", "name": "old", "provider": "poise", "generation": 2}')`,
			`INSERT INTO objects (id, load_balancer_id, parent_id, kind, created_in, body) VALUES
				('l', 'b', 'b', 'Listener', 2, '{"id": "l", "project_id": "p", "protocol": "TCP", "protocol_port": 80, "created_in": 2, "changed_in": 2}')`,
			`INSERT INTO observations (load_balancer_id, body) VALUES ('b', '{"applied": 2, "status": {"b": {"operating": "ONLINE"}, "l": {"operating": "ERROR", "reason": "old"}}}')`,
		} {
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		s := newStore(t, db)
		old, err := s.Snapshot(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]any{"old", 80, int64(2)}, []any{old.Tree.Name, old.Tree.Listeners[0].ProtocolPort, old.Observed.Applied}); diff != "" {
			t.Error(diff)
		}
		if old.Observed.Status["l"].Reason != "old" {
			t.Errorf("statuses %v", old.Observed.Status)
		}
		observed, err := s.Observe(t.Context(), "b", func(now lb.Snapshot) lb.Observation {
			after := now.Observed
			after.Status = map[string]lb.Status{"b": {Operating: lb.Degraded}, "l": after.Status["l"]}
			return after
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(observed, reread(t, db, "b"), sameSnapshot); diff != "" {
			t.Errorf("observed since (-written +read)\n%s", diff)
		}
		limit(t, s, "p", lb.KindListener, 1)
		_, err = s.Change(t.Context(), "b", func(tree *lb.LoadBalancer) error {
			_, err := tree.CreateListener(lb.ListenerCreate{ID: "m", Protocol: "TCP", ProtocolPort: 81})
			return err
		})
		if lb.CodeOf(err) != lb.QuotaExceeded {
			t.Errorf("a second listener: %v", err)
		}
		change(t, s, "b", func(tree *lb.LoadBalancer) error { return tree.Delete(true) })
		if gone := acknowledge(t, s, "b"); gone.Tree != nil {
			t.Error("the load balancer is still there")
		}
	})
}

package store

import (
	"context"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"poise/internal/database"
	"poise/internal/database/databasetest"
	"poise/internal/lb"
)

// TestLostConnection has PostgreSQL end the connection of a change before each of its statements in turn, its commit
// included. Nothing of such a change is there, and the next attempt works.
func TestLostConnection(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		if db.Dialect().Name() != dialect.PG {
			return // SQLite has no connection that could be lost
		}
		s := newStore(t, db)
		id := create(t, s, "p").Tree.ID
		pool := populate(t, s, id)
		cut := &cutter{db: db}
		db.DB = db.WithQueryHook(cut)
		list := []lb.MemberCreate{member(0), member(7), member(8)}
		replace := func(tree *lb.LoadBalancer) error { return tree.ReplaceMembers(pool, list, false) }
		acknowledged := func(now lb.Snapshot) lb.Observation { return lb.Observation{Applied: now.Tree.Generation} }
		for name, write := range map[string]func() (lb.Snapshot, error){
			"change":  func() (lb.Snapshot, error) { return s.Change(t.Context(), id, replace) },
			"observe": func() (lb.Snapshot, error) { return s.Observe(t.Context(), id, acknowledged) },
		} {
			before, lost := reread(t, db, id), 0
			for {
				cut.before(lost + 1)
				after, err := write()
				if err == nil {
					if diff := cmp.Diff(after, reread(t, db, id), sameSnapshot); diff != "" {
						t.Errorf("%s after %d lost connections (-written +read)\n%s", name, lost, diff)
					}
					break
				}
				lost++
				if lb.CodeOf(err) != 0 {
					t.Fatalf("%s: the lost connection is taken for the user's mistake: %v", name, err)
				}
				if diff := cmp.Diff(before, reread(t, db, id), sameSnapshot); diff != "" {
					t.Fatalf("%s left something behind when statement %d was lost (-before +now)\n%s", name, lost, diff)
				}
			}
			if lost < 3 { // next version, rows, COMMIT
				t.Errorf("%s: only %d statements were lost", name, lost)
			}
			cut.before(0)
		}
	})
}

// cutter ends the connection of a transaction before its nth statement.
type cutter struct {
	db *database.DB

	mu   sync.Mutex // guards what follows
	left int        // statements until the cut, that one included; 0: no cut
}

// before has the connection end before the nth statement of the next transaction.
func (c *cutter) before(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = n
}

// BeforeQuery counts the statements of a transaction (bun.QueryHook).
func (c *cutter) BeforeQuery(ctx context.Context, event *bun.QueryEvent) context.Context {
	if event.Query == "BEGIN" || event.Query == "ROLLBACK" {
		return ctx
	}
	c.mu.Lock()
	due := c.left == 1
	c.left = max(0, c.left-1)
	c.mu.Unlock()
	if due {
		_, _ = c.db.DB.DB.ExecContext(ctx, `SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle in transaction'`)
	}
	return ctx
}

// AfterQuery belongs to bun.QueryHook.
func (*cutter) AfterQuery(context.Context, *bun.QueryEvent) {}

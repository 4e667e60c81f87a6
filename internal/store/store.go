// Package store keeps load balancers in SQL. A tree is one row for the load balancer and one for each object below it,
// with the domain type as JSON; what is looked up by has a column of its own. There are two doors for writing:
// [Store.Change] for intent and [Store.Observe] for what became of it.
//
// Readers get immutable snapshots. Every write below a load balancer moves its version, so a snapshot in memory is
// good as long as no later version is in SQL; this holds with any number of processes on one database. Lists are
// filtered by their reader, over snapshots.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"time"

	"github.com/uptrace/bun"

	"poise/internal/database"
	"poise/internal/lb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Settings are what the operator adds to the domain's rules.
type Settings struct {
	Quota lb.Quota // of projects for which none was set; a kind that is missing is not limited
	// StrictImmutable refuses changes of a load balancer while a node has not acknowledged the last one.
	StrictImmutable bool
}

// Store keeps load balancers.
type Store struct {
	db       *database.DB
	now      func() time.Time
	cache    *cache
	settings Settings
	onChange func(projectID, id string, version int64)
	locks    keyedMutex // one change at a time for each load balancer in this process: others wait instead of retrying, or reading
}

// New brings the tables up to date and returns the store.
func New(ctx context.Context, db *database.DB) (*Store, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("store migrations: %w", err)
	}
	if err := db.Migrate(ctx, "store", files); err != nil {
		return nil, err
	}
	return &Store{db: db, now: time.Now, cache: newCache(), onChange: func(string, string, int64) {}}, nil
}

// Configure replaces the settings; nothing may be under way.
func (s *Store) Configure(settings Settings) { s.settings = settings }

// OnChange has f called for every new version of a load balancer that this process writes or comes to know of, and when it
// is gone; nothing may be under way.
func (s *Store) OnChange(f func(projectID, id string, version int64)) { s.onChange = f }

// Snapshot reads one load balancer; a missing one is lb.NotFound.
func (s *Store) Snapshot(ctx context.Context, id string) (lb.Snapshot, error) {
	version, err := readVersion(ctx, s.db, id)
	if err != nil {
		return lb.Snapshot{}, err
	}
	if snapshot, ok := s.cache.get(id, version); ok {
		return snapshot, nil
	}
	return s.load(ctx, id, version)
}

// Holder reads the load balancer that holds the object of this kind and id.
func (s *Store) Holder(ctx context.Context, kind lb.Kind, id string) (lb.Snapshot, error) {
	if kind == lb.KindLoadBalancer {
		return s.Snapshot(ctx, id)
	}
	var holder string
	err := s.db.NewSelect().Table("objects").Column("load_balancer_id").Where("id = ? AND kind = ?", id, kind).Scan(ctx, &holder)
	if errors.Is(err, sql.ErrNoRows) {
		return lb.Snapshot{}, lb.ErrNotFound(kind, id)
	}
	if err != nil {
		return lb.Snapshot{}, fmt.Errorf("holder of %s %s: %w", kind, id, err)
	}
	snapshot, err := s.Snapshot(ctx, holder)
	if lb.CodeOf(err) == lb.NotFound { // deleted between the two looks
		return lb.Snapshot{}, lb.ErrNotFound(kind, id)
	}
	return snapshot, err
}

// List reads the load balancers of a project, of all projects when projectID is "", oldest first.
func (s *Store) List(ctx context.Context, projectID string) ([]lb.Snapshot, error) {
	var rows []struct {
		ID      string
		Version int64
	}
	query := s.db.NewSelect().Table("load_balancers").Column("id", "version").OrderExpr("created_at, id")
	if projectID != "" {
		query.Where("project_id = ?", projectID)
	}
	if err := query.Scan(ctx, &rows); err != nil {
		return nil, fmt.Errorf("list of load balancers: %w", err)
	}
	known := make(map[string]lb.Snapshot, len(rows))
	var unknown []string
	for _, row := range rows {
		if snapshot, ok := s.cache.get(row.ID, row.Version); ok {
			known[row.ID] = snapshot
		} else {
			unknown = append(unknown, row.ID)
		}
	}
	read, err := s.loadAll(ctx, unknown)
	if err != nil {
		return nil, err
	}
	maps.Copy(known, read)
	snapshots := make([]lb.Snapshot, 0, len(rows))
	for _, row := range rows {
		if snapshot, ok := known[row.ID]; ok { // not deleted meanwhile
			snapshots = append(snapshots, snapshot)
		}
	}
	return snapshots, nil
}

// Create keeps a new load balancer.
func (s *Store) Create(ctx context.Context, tree *lb.LoadBalancer) (lb.Snapshot, error) {
	err := s.db.Tx(ctx, func(ctx context.Context, tx bun.Tx) error {
		quota, err := readQuota(ctx, tx, tree.ProjectID)
		if err != nil {
			return err
		}
		if err := s.checkQuota(ctx, tx, tree.ProjectID, quota, nil, tree); err != nil {
			return err
		}
		return insert(ctx, tx, tree)
	})
	if err != nil {
		return lb.Snapshot{}, fmt.Errorf("new load balancer: %w", err)
	}
	return s.remember(firstVersion, lb.Snapshot{Tree: tree}), nil
}

// Change applies a change to the next generation of a load balancer's tree and keeps the result. What change refuses
// is returned as it is, and nothing has changed. change is called again when the transaction lost a race.
func (s *Store) Change(ctx context.Context, id string, change func(*lb.LoadBalancer) error) (lb.Snapshot, error) {
	compute := func(old lb.Snapshot) (lb.Snapshot, error) {
		next := old.Tree.Next(s.now())
		if s.settings.StrictImmutable {
			next.Lock(old.Provisioning(&old.Tree.Object))
		}
		return lb.Snapshot{Tree: next, Observed: old.Observed}, change(next)
	}
	return s.write(ctx, id, compute, saveChange)
}

// Observe keeps what became of a load balancer: observe computes it from what is known. What was deleted in a
// generation that is now applied is gone afterwards; when that is the load balancer itself, the answer is a Snapshot
// without a tree. An observation that says nothing new costs no write.
func (s *Store) Observe(ctx context.Context, id string, observe func(lb.Snapshot) lb.Observation) (lb.Snapshot, error) {
	compute := func(old lb.Snapshot) (lb.Snapshot, error) {
		observed := observe(old)
		if observed.Equal(old.Observed) {
			return old, nil
		}
		return lb.Snapshot{Tree: old.Tree.Purge(observed.Applied), Observed: observed}, nil
	}
	return s.write(ctx, id, compute, saveObservation)
}

// write runs one read-modify-write of a load balancer in a transaction that begins by taking the load balancer's next
// version, and with it the row's lock. When compute returns the tree that it was given, there is nothing to save.
func (s *Store) write(ctx context.Context, id string, compute func(old lb.Snapshot) (lb.Snapshot, error),
	save func(ctx context.Context, tx bun.Tx, old, after lb.Snapshot) error,
) (after lb.Snapshot, err error) {
	defer s.locks.lock(id)()
	var version int64
	var projectID string
	err = s.db.Tx(ctx, func(ctx context.Context, tx bun.Tx) error {
		next, err := nextVersion(ctx, tx, id)
		if err != nil {
			return err
		}
		version, projectID = next.Version, next.ProjectID
		old, ok := s.cache.get(id, version-1)
		if !ok {
			if old, err = readTree(ctx, tx, id); err != nil {
				return err
			}
		}
		if after, err = compute(old); err != nil {
			return err
		}
		if after.Tree == old.Tree {
			return errNothingToSave
		}
		if err := s.checkQuota(ctx, tx, next.ProjectID, next.Quota, old.Tree, after.Tree); err != nil {
			return err
		}
		return save(ctx, tx, old, after)
	})
	switch {
	case errors.Is(err, errNothingToSave):
		return after, nil
	case err != nil:
		return lb.Snapshot{}, err
	case after.Tree == nil:
		s.cache.drop(id)
		s.onChange(projectID, id, version)
		return after, nil
	default:
		return s.remember(version, after), nil
	}
}

// errNothingToSave rolls a write back that would change nothing.
var errNothingToSave = errors.New("nothing to save")

// remember keeps a snapshot for readers.
func (s *Store) remember(version int64, snapshot lb.Snapshot) lb.Snapshot {
	s.cache.put(snapshot.Tree.ID, version, snapshot)
	s.onChange(snapshot.Tree.ProjectID, snapshot.Tree.ID, version)
	return snapshot
}

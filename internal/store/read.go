package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"poise/internal/lb"
)

// treesAtOnce is how many load balancers one read asks for. It keeps statements below the engines' limits of parameters.
const treesAtOnce = 500

// load reads the tree of one load balancer and remembers it. When a write of this process has made the version
// that is wanted and is about to remember it, that is waited for instead.
func (s *Store) load(ctx context.Context, id string, wanted int64) (lb.Snapshot, error) {
	defer s.locks.lock(id)()
	if snapshot, ok := s.cache.get(id, wanted); ok {
		return snapshot, nil
	}
	read, err := s.loadAll(ctx, []string{id})
	if err != nil {
		return lb.Snapshot{}, err
	}
	snapshot, ok := read[id]
	if !ok {
		return lb.Snapshot{}, lb.ErrNotFound(lb.KindLoadBalancer, id)
	}
	return snapshot, nil
}

// loadAll reads and remembers the trees of these load balancers, with four queries for treesAtOnce of them. Each tree is as it was
// at one moment. Those that are gone are missing from the answer.
func (s *Store) loadAll(ctx context.Context, ids []string) (map[string]lb.Snapshot, error) {
	all := make(map[string]lb.Snapshot, len(ids))
	oneMoment := &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead}
	for some := range slices.Chunk(ids, treesAtOnce) {
		var read map[string]versioned
		err := s.db.RunInTx(ctx, oneMoment, func(ctx context.Context, tx bun.Tx) (err error) {
			read, err = readTrees(ctx, tx, some)
			return err
		})
		if err != nil {
			return nil, err
		}
		for id, one := range read {
			all[id] = s.remember(one.version, one.snapshot)
		}
	}
	return all, nil
}

// readTree reads the tree of one load balancer within a transaction.
func readTree(ctx context.Context, tx bun.Tx, id string) (lb.Snapshot, error) {
	read, err := readTrees(ctx, tx, []string{id})
	if err != nil {
		return lb.Snapshot{}, err
	}
	one, ok := read[id]
	if !ok {
		return lb.Snapshot{}, lb.ErrNotFound(lb.KindLoadBalancer, id)
	}
	return one.snapshot, nil
}

// readTrees reads the trees of at most treesAtOnce load balancers within a transaction.
func readTrees(ctx context.Context, tx bun.Tx, ids []string) (map[string]versioned, error) {
	var roots []loadBalancerRow
	if err := tx.NewSelect().Model(&roots).Where("id IN (?)", bun.List(ids)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("bodies of load balancers: %w", err)
	}
	var rows []objectRow
	err := tx.NewSelect().Model(&rows).Where("load_balancer_id IN (?)", bun.List(ids)).OrderExpr("created_in, place, id").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("objects of load balancers: %w", err)
	}
	objects := map[string][]objectRow{}
	for _, row := range rows {
		objects[row.LoadBalancerID] = append(objects[row.LoadBalancerID], row)
	}
	observed, err := readObservations(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	trees := make(map[string]versioned, len(roots))
	for _, root := range roots {
		tree, err := assemble(root, objects[root.ID])
		if err != nil {
			return nil, fmt.Errorf("load balancer %s: %w", root.ID, err)
		}
		trees[root.ID] = versioned{root.Version, lb.Snapshot{Tree: tree, Observed: observed[root.ID]}}
	}
	return trees, nil
}

// readObservations reads what became of at most treesAtOnce load balancers; those of which nothing was observed are missing.
func readObservations(ctx context.Context, tx bun.Tx, ids []string) (map[string]lb.Observation, error) {
	var wholes []observationRow
	if err := tx.NewSelect().Model(&wholes).Where("load_balancer_id IN (?)", bun.List(ids)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("observations of load balancers: %w", err)
	}
	all := make(map[string]lb.Observation, len(wholes))
	for _, whole := range wholes {
		var observed lb.Observation
		if err := json.Unmarshal([]byte(whole.Body), &observed); err != nil {
			return nil, fmt.Errorf("observation of load balancer %s: %w", whole.LoadBalancerID, err)
		}
		if observed.Status == nil {
			observed.Status = map[string]lb.Status{}
		}
		all[whole.LoadBalancerID] = observed
	}
	var rows []statusRow
	if err := tx.NewSelect().Model(&rows).Where("load_balancer_id IN (?)", bun.List(ids)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("statuses of load balancers: %w", err)
	}
	for _, row := range rows {
		observed, ok := all[row.LoadBalancerID]
		if !ok {
			continue
		}
		var status lb.Status
		if err := json.Unmarshal([]byte(row.Body), &status); err != nil {
			return nil, fmt.Errorf("status of %s: %w", row.ObjectID, err)
		}
		observed.Status[row.ObjectID] = status
	}
	return all, nil
}

// assemble makes a tree of rows.
func assemble(root loadBalancerRow, objects []objectRow) (*lb.LoadBalancer, error) {
	tree := &lb.LoadBalancer{}
	if err := json.Unmarshal([]byte(root.Body), tree); err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	return tree, place(tree, objects)
}

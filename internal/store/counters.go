package store

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"poise/internal/lb"
)

type counterRow struct {
	bun.BaseModel  `bun:"table:counters"`
	ListenerID     string `bun:",pk"`
	LoadBalancerID string
	Body           string
	MovedAt        int64 // seconds since 1970; 0: nothing has ever been counted
}

// Busy lists the load balancers that have had traffic, the latest first.
func (s *Store) Busy(ctx context.Context) (ids []string, err error) {
	err = s.db.NewSelect().Table("counters").Column("load_balancer_id").Where("moved_at > 0").
		Group("load_balancer_id").OrderExpr("MAX(moved_at) DESC, load_balancer_id").Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("load balancers with traffic: %w", err)
	}
	return ids, nil
}

// Counters reads the kept statistics of a load balancer's listeners by their ids.
func (s *Store) Counters(ctx context.Context, loadBalancerID string) (map[string]lb.Counters, error) {
	var rows []counterRow
	if err := s.db.NewSelect().Model(&rows).Where("load_balancer_id = ?", loadBalancerID).Scan(ctx); err != nil {
		return nil, fmt.Errorf("counters of load balancer %s: %w", loadBalancerID, err)
	}
	counters := map[string]lb.Counters{}
	for _, row := range rows {
		var c lb.Counters
		if err := json.Unmarshal([]byte(row.Body), &c); err != nil {
			return nil, fmt.Errorf("counters of listener %s: %w", row.ListenerID, err)
		}
		counters[row.ListenerID] = c
	}
	return counters, nil
}

// countersAtOnce is how many load balancers' statistics one transaction keeps: the lock of a SQLite database is not held
// for long, and a statement has few enough parameters.
const countersAtOnce = 200

// SaveCounters keeps statistics of listeners, by load balancer and listener; those of listeners that are gone are dropped.
func (s *Store) SaveCounters(ctx context.Context, all map[string]map[string]lb.Counters) error {
	for ids := range slices.Chunk(slices.Sorted(maps.Keys(all)), countersAtOnce) {
		err := s.db.Tx(ctx, func(ctx context.Context, tx bun.Tx) error { return saveCounters(ctx, tx, ids, all, s.now()) })
		if err != nil {
			return fmt.Errorf("counters of %d load balancers: %w", len(ids), err)
		}
	}
	return nil
}

func saveCounters(ctx context.Context, tx bun.Tx, ids []string, all map[string]map[string]lb.Counters, now time.Time) error {
	var alive []struct{ ID, LoadBalancerID string }
	err := tx.NewSelect().Table("objects").Column("id", "load_balancer_id").
		Where("load_balancer_id IN (?) AND kind = ?", bun.List(ids), lb.KindListener).Order("id").Scan(ctx, &alive)
	if err != nil {
		return err
	}
	var rows []counterRow
	for _, l := range alive {
		c, counted := all[l.LoadBalancerID][l.ID]
		if !counted {
			continue
		}
		body, err := json.Marshal(c)
		if err != nil {
			return err
		}
		row := counterRow{ListenerID: l.ID, LoadBalancerID: l.LoadBalancerID, Body: string(body)}
		if c != (lb.Counters{}) {
			row.MovedAt = now.Unix()
		}
		rows = append(rows, row)
	}
	for some := range slices.Chunk(rows, insertBatch) {
		_, err := tx.NewInsert().Model(&some).On("CONFLICT (listener_id) DO UPDATE").
			Set("body = EXCLUDED.body").Set("moved_at = EXCLUDED.moved_at").Exec(ctx)
		if err != nil {
			return err
		}
	}
	return nil
}

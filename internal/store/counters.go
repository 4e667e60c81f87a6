package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/uptrace/bun"

	"poise/internal/lb"
)

type counterRow struct {
	bun.BaseModel  `bun:"table:counters"`
	ListenerID     string `bun:",pk"`
	LoadBalancerID string
	Body           string
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

// SaveCounters keeps statistics of listeners; those of listeners that are gone are dropped.
func (s *Store) SaveCounters(ctx context.Context, loadBalancerID string, counters map[string]lb.Counters) error {
	return s.db.Tx(ctx, func(ctx context.Context, tx bun.Tx) error {
		var alive []string
		err := tx.NewSelect().Table("objects").Column("id").
			Where("load_balancer_id = ? AND kind = ?", loadBalancerID, lb.KindListener).Scan(ctx, &alive)
		if err != nil {
			return fmt.Errorf("listeners of load balancer %s: %w", loadBalancerID, err)
		}
		for _, id := range alive {
			c, counted := counters[id]
			if !counted {
				continue
			}
			body, err := json.Marshal(c)
			if err != nil {
				return err
			}
			row := counterRow{ListenerID: id, LoadBalancerID: loadBalancerID, Body: string(body)}
			if _, err := tx.NewInsert().Model(&row).On("CONFLICT (listener_id) DO UPDATE").Set("body = EXCLUDED.body").Exec(ctx); err != nil {
				return fmt.Errorf("counters of listener %s: %w", id, err)
			}
		}
		return nil
	})
}

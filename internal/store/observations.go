package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"poise/internal/lb"
)

// What became of a load balancer is a row for the whole, and a row for the status of each object, of which a write
// touches those that have changed. Databases of the second release and earlier had the statuses in the one row; it is
// read like that, and taken apart at its next write.

type observationRow struct {
	bun.BaseModel  `bun:"table:observations"`
	LoadBalancerID string `bun:",pk"`
	Body           string
}

type statusRow struct {
	bun.BaseModel  `bun:"table:statuses"`
	ObjectID       string `bun:",pk"`
	LoadBalancerID string
	Body           string
}

// saveObservation writes what differs between two observations, and deletes what is gone.
func saveObservation(ctx context.Context, tx bun.Tx, old, after lb.Snapshot) error {
	if after.Tree == nil {
		_, err := tx.NewDelete().Table("load_balancers").Where("id = ?", old.Tree.ID).Exec(ctx) // and, by reference, all below it
		return err
	}
	if err := deleteMissing(ctx, tx, old.Tree, after.Tree); err != nil {
		return err
	}
	id, before := after.Tree.ID, old.Observed.Status
	hasRows, err := saveWhole(ctx, tx, id, after.Observed)
	if err != nil {
		return fmt.Errorf("observation of load balancer %s: %w", id, err)
	}
	if !hasRows {
		before = nil
	}
	return saveStatuses(ctx, tx, id, before, after.Observed.Status)
}

// saveWhole writes the row for the whole. It tells whether there was one, with the statuses in rows of their own.
func saveWhole(ctx context.Context, tx bun.Tx, id string, observed lb.Observation) (hasRows bool, err error) {
	observed.Status = nil
	body, err := json.Marshal(observed)
	if err != nil {
		return false, err
	}
	row := observationRow{LoadBalancerID: id, Body: string(body)}
	result, err := tx.NewUpdate().Model(&row).WherePK().Where("body NOT LIKE ?", `%"status":%`).Exec(ctx)
	if err != nil {
		return false, err
	}
	if n, err := result.RowsAffected(); err != nil || n > 0 {
		return true, err
	}
	_, err = tx.NewInsert().Model(&row).On("CONFLICT (load_balancer_id) DO UPDATE").Set("body = EXCLUDED.body").Exec(ctx)
	return false, err
}

// saveStatuses writes the statuses that have changed, and deletes those of objects that are gone.
func saveStatuses(ctx context.Context, tx bun.Tx, id string, before, after map[string]lb.Status) error {
	var changed []statusRow
	for object, status := range after {
		if known, ok := before[object]; ok && known.Equal(status) {
			continue
		}
		body, err := json.Marshal(status)
		if err != nil {
			return err
		}
		changed = append(changed, statusRow{ObjectID: object, LoadBalancerID: id, Body: string(body)})
	}
	var gone []string
	for object := range before {
		if _, ok := after[object]; !ok {
			gone = append(gone, object)
		}
	}
	for batch := range slices.Chunk(changed, insertBatch) {
		if _, err := tx.NewInsert().Model(&batch).On("CONFLICT (object_id) DO UPDATE").Set("body = EXCLUDED.body").Exec(ctx); err != nil {
			return fmt.Errorf("statuses of load balancer %s: %w", id, err)
		}
	}
	return deleteRows(ctx, tx, "statuses", "object_id", gone)
}

// deleteRows deletes the rows of a table by one of its columns.
func deleteRows(ctx context.Context, tx bun.Tx, table, column string, values []string) error {
	for batch := range slices.Chunk(values, insertBatch) {
		if _, err := tx.NewDelete().Table(table).Where("? IN (?)", bun.Ident(column), bun.List(batch)).Exec(ctx); err != nil {
			return fmt.Errorf("deleted %s: %w", table, err)
		}
	}
	return nil
}

package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"poise/internal/database"
	"poise/internal/lb"
)

// firstVersion is the version of a load balancer that was just created.
const firstVersion = 1

// insertBatch is how many rows one INSERT carries; it keeps statements below the engines' limits of parameters.
const insertBatch = 500

type loadBalancerRow struct {
	bun.BaseModel `bun:"table:load_balancers"`
	ID            string `bun:",pk"`
	ProjectID     string
	CreatedAt     int64
	Version       int64
	Body          string

	FlavorID         string `bun:",nullzero"`
	AvailabilityZone string `bun:",nullzero"`
}

type objectRow struct {
	bun.BaseModel  `bun:"table:objects"`
	ID             string `bun:",pk"`
	LoadBalancerID string
	ParentID       string
	Kind           lb.Kind
	CreatedIn      int64
	Place          int // among the objects of its first generation, which are shown in the order given
	Body           string
}

func readVersion(ctx context.Context, db bun.IDB, id string) (int64, error) {
	var version int64
	err := db.NewSelect().Table("load_balancers").Column("version").Where("id = ?", id).Scan(ctx, &version)
	return version, rowError(err, "version", id)
}

// nextRow is what a write begins with.
type nextRow struct {
	Version   int64
	ProjectID string
	Quota     sql.NullString // the body of the project's quota, if there is one
}

// nextVersion takes the load balancer's next version for this transaction, and locks its row.
func nextVersion(ctx context.Context, tx bun.Tx, id string) (next nextRow, err error) {
	err = tx.NewUpdate().Table("load_balancers").Set("version = version + 1").Where("id = ?", id).
		Returning("version, project_id, (SELECT q.body FROM quotas AS q WHERE q.project_id = load_balancers.project_id) AS quota").
		Scan(ctx, &next)
	return next, rowError(err, "next version", id)
}

// rowError says what the error is about; no row at all means that the load balancer is not there.
func rowError(err error, what, id string) error {
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return lb.ErrNotFound(lb.KindLoadBalancer, id)
	case err != nil:
		return fmt.Errorf("%s of load balancer %s: %w", what, id, err)
	default:
		return nil
	}
}

func insert(ctx context.Context, tx bun.Tx, t *lb.LoadBalancer) error {
	body, err := json.Marshal(t)
	if err != nil {
		return err
	}
	row := loadBalancerRow{
		ID: t.ID, ProjectID: t.ProjectID, CreatedAt: t.CreatedAt.UnixMicro(), Version: firstVersion, Body: string(body),
		FlavorID: t.FlavorID, AvailabilityZone: t.AvailabilityZone,
	}
	if _, err := tx.NewInsert().Model(&row).Exec(ctx); database.IsReference(err) {
		return lb.ErrValidation("flavor_id", "Invalid flavor_id or availability zone.") // deleted since it was looked at
	} else if err != nil {
		return err
	}
	return saveObjects(ctx, tx, t)
}

// saveChange writes what differs between two generations of a tree.
func saveChange(ctx context.Context, tx bun.Tx, old, after lb.Snapshot) error {
	next := after.Tree
	body, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if _, err := tx.NewUpdate().Table("load_balancers").Set("body = ?", string(body)).Where("id = ?", next.ID).Exec(ctx); err != nil {
		return fmt.Errorf("body of load balancer %s: %w", next.ID, err)
	}
	if err := deleteMissing(ctx, tx, old.Tree, next); err != nil {
		return err
	}
	return saveObjects(ctx, tx, next)
}

// saveObjects writes the objects that the tree's newest generation concerned.
func saveObjects(ctx context.Context, tx bun.Tx, t *lb.LoadBalancer) error {
	var rows []objectRow
	var failed error
	t.Walk(func(kind lb.Kind, parentID string, o *lb.Object, whole any) {
		if kind == lb.KindLoadBalancer || o.ChangedIn != t.Generation || failed != nil {
			return
		}
		body, err := json.Marshal(whole)
		failed = err
		rows = append(rows, objectRow{ID: o.ID, LoadBalancerID: t.ID, ParentID: parentID, Kind: kind, CreatedIn: o.CreatedIn, Place: len(rows), Body: string(body)})
	})
	if failed != nil {
		return failed
	}
	for batch := range slices.Chunk(rows, insertBatch) {
		if _, err := tx.NewInsert().Model(&batch).On("CONFLICT (id) DO UPDATE").Set("body = EXCLUDED.body").Exec(ctx); err != nil {
			return fmt.Errorf("objects of load balancer %s: %w", t.ID, err)
		}
	}
	return nil
}

// deleteMissing deletes the rows of objects that are in the old tree and not in the next one.
func deleteMissing(ctx context.Context, tx bun.Tx, old, next *lb.LoadBalancer) error {
	size := 0
	next.Walk(func(lb.Kind, string, *lb.Object, any) { size++ })
	kept := make(map[string]bool, size) // growing would cost more than counting: pools can be large
	next.Walk(func(_ lb.Kind, _ string, o *lb.Object, _ any) { kept[o.ID] = true })
	var gone []string
	old.Walk(func(_ lb.Kind, _ string, o *lb.Object, _ any) {
		if !kept[o.ID] {
			gone = append(gone, o.ID)
		}
	})
	return deleteRows(ctx, tx, "objects", "id", gone)
}

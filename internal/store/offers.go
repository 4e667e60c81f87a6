package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"poise/internal/database"
	"poise/internal/lb"
)

// Flavors and availability zones, and the profiles of both, are rows of four tables with the columns of two: those are
// the fields of [lb.Offer] and [lb.Profile]. What one refers to cannot go: the database holds that, also against load
// balancers that are being created.

func offers(f lb.Family) catalogue[lb.Offer] {
	return catalogue[lb.Offer]{[]string{"flavors", "availability_zones"}[f], f.Kind()}
}

func profiles(f lb.Family) catalogue[lb.Profile] {
	return catalogue[lb.Profile]{[]string{"flavor_profiles", "availability_zone_profiles"}[f], f.ProfileKind()}
}

// Offers reads the flavors or availability zones.
func (s *Store) Offers(ctx context.Context, f lb.Family) ([]lb.Offer, error) {
	return offers(f).all(ctx, s.db)
}

// Offer reads a flavor by id, or an availability zone by name.
func (s *Store) Offer(ctx context.Context, f lb.Family, id string) (lb.Offer, error) {
	return offers(f).read(ctx, s.db, id)
}

// CreateOffer keeps a new flavor or availability zone.
func (s *Store) CreateOffer(ctx context.Context, f lb.Family, o lb.Offer) error {
	err := offers(f).insert(ctx, s.db, o.ID, &o)
	switch {
	case database.IsDuplicate(err):
		return f.ErrExists(o.Name)
	case database.IsReference(err):
		return lb.ErrMissing("", string(f.ProfileKind()), o.ProfileID)
	default:
		return err
	}
}

// ChangeOffer changes a flavor or availability zone; change may be called more than once.
func (s *Store) ChangeOffer(ctx context.Context, f lb.Family, id string, change func(*lb.Offer)) (lb.Offer, error) {
	after, err := offers(f).change(ctx, s.db, id, func(_ context.Context, _ bun.Tx, o *lb.Offer) error {
		change(o)
		return nil
	})
	if database.IsDuplicate(err) {
		return lb.Offer{}, f.ErrExists(after.Name)
	}
	return after, err
}

// DeleteOffer deletes a flavor or availability zone that no load balancer has.
func (s *Store) DeleteOffer(ctx context.Context, f lb.Family, id string) error {
	return offers(f).remove(ctx, s.db, id)
}

// Profiles reads the profiles of flavors, or of availability zones.
func (s *Store) Profiles(ctx context.Context, f lb.Family) ([]lb.Profile, error) {
	return profiles(f).all(ctx, s.db)
}

// Profile reads one profile.
func (s *Store) Profile(ctx context.Context, f lb.Family, id string) (lb.Profile, error) {
	return profiles(f).read(ctx, s.db, id)
}

// CreateProfile keeps a new profile.
func (s *Store) CreateProfile(ctx context.Context, f lb.Family, p lb.Profile) error {
	return profiles(f).insert(ctx, s.db, p.ID, &p)
}

// ChangeProfile changes a profile; only its name while it is in use. change may be called more than once.
func (s *Store) ChangeProfile(ctx context.Context, f lb.Family, id string, change func(*lb.Profile) error) (lb.Profile, error) {
	return profiles(f).change(ctx, s.db, id, func(ctx context.Context, tx bun.Tx, p *lb.Profile) error {
		before := *p
		if err := change(p); err != nil {
			return err
		}
		if p.Provider == before.Provider && p.Data == before.Data {
			return nil
		}
		used, err := tx.NewSelect().Table(offers(f).table).Where("profile_id = ?", id).Count(ctx)
		if err == nil && used > 0 {
			err = lb.ErrInUse(f.ProfileKind(), id)
		}
		return err
	})
}

// DeleteProfile deletes a profile that nothing uses.
func (s *Store) DeleteProfile(ctx context.Context, f lb.Family, id string) error {
	return profiles(f).remove(ctx, s.db, id)
}

// catalogue is a table whose rows are of type T and have an id.
type catalogue[T any] struct {
	table string
	kind  lb.Kind
}

// from names the table in queries about rows.
func (c catalogue[T]) from() (query string, table bun.Ident) {
	return "? AS ?TableAlias", bun.Ident(c.table)
}

func (c catalogue[T]) all(ctx context.Context, db bun.IDB) ([]T, error) {
	from, table := c.from()
	rows := []T{}
	if err := db.NewSelect().Model(&rows).ModelTableExpr(from, table).Scan(ctx); err != nil {
		return nil, fmt.Errorf("list of %s: %w", c.table, err)
	}
	return rows, nil
}

func (c catalogue[T]) read(ctx context.Context, db bun.IDB, id string) (row T, err error) {
	from, table := c.from()
	err = db.NewSelect().Model(&row).ModelTableExpr(from, table).Where("id = ?", id).Scan(ctx)
	return row, c.problem(err, id)
}

func (c catalogue[T]) insert(ctx context.Context, db bun.IDB, id string, row *T) error {
	from, table := c.from()
	_, err := db.NewInsert().Model(row).ModelTableExpr(from, table).Exec(ctx)
	return c.problem(err, id)
}

// change locks a row, so that no other change of it is lost, and writes what change makes of it. It returns that also
// when it could not be written.
func (c catalogue[T]) change(ctx context.Context, db *database.DB, id string, change func(context.Context, bun.Tx, *T) error) (row T, err error) {
	from, table := c.from()
	err = db.Tx(ctx, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewUpdate().Table(c.table).Set("name = name").Where("id = ?", id).Exec(ctx); err != nil {
			return c.problem(err, id)
		}
		if row, err = c.read(ctx, tx, id); err != nil {
			return err
		}
		if err := change(ctx, tx, &row); err != nil {
			return err
		}
		_, err = tx.NewUpdate().Model(&row).ModelTableExpr(from, table).Where("id = ?", id).Exec(ctx)
		return c.problem(err, id)
	})
	return row, err
}

func (c catalogue[T]) remove(ctx context.Context, db bun.IDB, id string) error {
	result, err := db.NewDelete().Table(c.table).Where("id = ?", id).Exec(ctx)
	if database.IsReference(err) {
		return lb.ErrInUse(c.kind, id)
	}
	if err != nil {
		return c.problem(err, id)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, lb.ErrNotFound(c.kind, id))
	}
	return nil
}

// problem says what the error is about; no row at all means that it is not there.
func (c catalogue[T]) problem(err error, id string) error {
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return lb.ErrNotFound(c.kind, id)
	case err != nil:
		return fmt.Errorf("%s %s: %w", c.kind, id, err)
	default:
		return nil
	}
}

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

// Flavors and availability zones, and the profiles of both, are rows of four tables with the columns of two. What one
// refers to cannot go: the database holds that, also against load balancers that are being created.

type offerRow struct {
	ID          string
	Name        string
	Description string
	Enabled     bool
	ProfileID   string
}

type profileRow struct {
	ID       string
	Name     string
	Provider string
	Data     string
}

func offerTable(f lb.Family) string { return []string{"flavors", "availability_zones"}[f] }

func profileTable(f lb.Family) string {
	return []string{"flavor_profiles", "availability_zone_profiles"}[f]
}

// Offers reads the flavors or availability zones.
func (s *Store) Offers(ctx context.Context, f lb.Family) ([]lb.Offer, error) {
	var rows []offerRow
	if err := s.db.NewSelect().Model(&rows).ModelTableExpr("? AS offer_row", bun.Ident(offerTable(f))).Scan(ctx); err != nil {
		return nil, fmt.Errorf("list of %s: %w", offerTable(f), err)
	}
	all := make([]lb.Offer, len(rows))
	for i, row := range rows {
		all[i] = lb.Offer(row)
	}
	return all, nil
}

// Offer reads a flavor by id, or an availability zone by name.
func (s *Store) Offer(ctx context.Context, f lb.Family, id string) (lb.Offer, error) {
	return readOffer(ctx, s.db, f, id)
}

func readOffer(ctx context.Context, db bun.IDB, f lb.Family, id string) (lb.Offer, error) {
	var row offerRow
	err := db.NewSelect().Model(&row).ModelTableExpr("? AS offer_row", bun.Ident(offerTable(f))).Where("id = ?", id).Scan(ctx)
	return lb.Offer(row), offerError(err, f.Kind(), id)
}

// CreateOffer keeps a new flavor or availability zone.
func (s *Store) CreateOffer(ctx context.Context, f lb.Family, o lb.Offer) error {
	row := offerRow(o)
	_, err := s.db.NewInsert().Model(&row).ModelTableExpr("? AS offer_row", bun.Ident(offerTable(f))).Exec(ctx)
	switch {
	case database.IsDuplicate(err):
		return f.ErrExists(o.Name)
	case database.IsReference(err):
		return lb.ErrMissing("", string(f.ProfileKind()), o.ProfileID)
	default:
		return offerError(err, f.Kind(), o.ID)
	}
}

// ChangeOffer changes a flavor or availability zone; change may be called more than once.
func (s *Store) ChangeOffer(ctx context.Context, f lb.Family, id string, change func(*lb.Offer)) (after lb.Offer, err error) {
	err = s.db.Tx(ctx, func(ctx context.Context, tx bun.Tx) error {
		if after, err = readOffer(ctx, tx, f, id); err != nil {
			return err
		}
		change(&after)
		row := offerRow(after)
		_, err = tx.NewUpdate().Model(&row).ModelTableExpr("? AS offer_row", bun.Ident(offerTable(f))).Where("id = ?", id).Exec(ctx)
		if database.IsDuplicate(err) {
			return f.ErrExists(after.Name)
		}
		return offerError(err, f.Kind(), id)
	})
	return after, err
}

// DeleteOffer deletes a flavor or availability zone that no load balancer has.
func (s *Store) DeleteOffer(ctx context.Context, f lb.Family, id string) error {
	return s.delete(ctx, offerTable(f), f.Kind(), id)
}

// Profiles reads the profiles of flavors, or of availability zones.
func (s *Store) Profiles(ctx context.Context, f lb.Family) ([]lb.Profile, error) {
	var rows []profileRow
	if err := s.db.NewSelect().Model(&rows).ModelTableExpr("? AS profile_row", bun.Ident(profileTable(f))).Scan(ctx); err != nil {
		return nil, fmt.Errorf("list of %s: %w", profileTable(f), err)
	}
	all := make([]lb.Profile, len(rows))
	for i, row := range rows {
		all[i] = lb.Profile(row)
	}
	return all, nil
}

// Profile reads one profile.
func (s *Store) Profile(ctx context.Context, f lb.Family, id string) (lb.Profile, error) {
	return readProfile(ctx, s.db, f, id)
}

func readProfile(ctx context.Context, db bun.IDB, f lb.Family, id string) (lb.Profile, error) {
	var row profileRow
	err := db.NewSelect().Model(&row).ModelTableExpr("? AS profile_row", bun.Ident(profileTable(f))).Where("id = ?", id).Scan(ctx)
	return lb.Profile(row), offerError(err, f.ProfileKind(), id)
}

// CreateProfile keeps a new profile.
func (s *Store) CreateProfile(ctx context.Context, f lb.Family, p lb.Profile) error {
	row := profileRow(p)
	_, err := s.db.NewInsert().Model(&row).ModelTableExpr("? AS profile_row", bun.Ident(profileTable(f))).Exec(ctx)
	return offerError(err, f.ProfileKind(), p.ID)
}

// ChangeProfile changes a profile; only its name while it is in use. change may be called more than once.
func (s *Store) ChangeProfile(ctx context.Context, f lb.Family, id string, change func(*lb.Profile) error) (after lb.Profile, err error) {
	err = s.db.Tx(ctx, func(ctx context.Context, tx bun.Tx) error {
		before, err := readProfile(ctx, tx, f, id)
		if err != nil {
			return err
		}
		after = before
		if err := change(&after); err != nil {
			return err
		}
		if after.Provider != before.Provider || after.Data != before.Data {
			used, err := tx.NewSelect().Table(offerTable(f)).Where("profile_id = ?", id).Count(ctx)
			if err != nil {
				return fmt.Errorf("users of %s %s: %w", f.ProfileKind(), id, err)
			}
			if used > 0 {
				return lb.ErrInUse(f.ProfileKind(), id)
			}
		}
		row := profileRow(after)
		_, err = tx.NewUpdate().Model(&row).ModelTableExpr("? AS profile_row", bun.Ident(profileTable(f))).Where("id = ?", id).Exec(ctx)
		return offerError(err, f.ProfileKind(), id)
	})
	return after, err
}

// DeleteProfile deletes a profile that nothing uses.
func (s *Store) DeleteProfile(ctx context.Context, f lb.Family, id string) error {
	return s.delete(ctx, profileTable(f), f.ProfileKind(), id)
}

func (s *Store) delete(ctx context.Context, table string, kind lb.Kind, id string) error {
	result, err := s.db.NewDelete().Table(table).Where("id = ?", id).Exec(ctx)
	if database.IsReference(err) {
		return lb.ErrInUse(kind, id)
	}
	if err != nil {
		return offerError(err, kind, id)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, lb.ErrNotFound(kind, id))
	}
	return nil
}

// offerError says what the error is about; no row at all means that it is not there.
func offerError(err error, kind lb.Kind, id string) error {
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return lb.ErrNotFound(kind, id)
	case err != nil:
		return fmt.Errorf("%s %s: %w", kind, id, err)
	default:
		return nil
	}
}

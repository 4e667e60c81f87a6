package barbican

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"
)

// OnChange says who is told at once that this process has changed what can be read of secrets and containers, by their ids:
// a payload was replaced, an access list changed, something deleted. A container counts as changed with each of its secrets.
// It must be called before requests are served, and tell must not block.
func (s *Service) OnChange(tell func(ids ...string)) { s.onChange = tell }

// Changed are the ids of the secrets and containers that have changed after a time and still exist, and the time of the last
// change: it finds what other processes on the same database do.
func (s *Service) Changed(ctx context.Context, after time.Time) (ids []string, last time.Time, err error) {
	found := map[string]bool{}
	for _, k := range []kind{secrets, containers} {
		var rows []struct {
			ID        string
			UpdatedAt int64
		}
		query := s.db.NewSelect().TableExpr("? AS e", k.table).ColumnExpr("e.id, e.updated_at").Where("e.updated_at > ?", after.UnixMicro())
		if err := query.Scan(ctx, &rows); err != nil {
			return nil, time.Time{}, fmt.Errorf("changed %s: %w", k.path, err)
		}
		for _, row := range rows {
			found[row.ID] = true
			if at := time.UnixMicro(row.UpdatedAt); at.After(last) {
				last = at
			}
		}
	}
	for id := range found {
		ids = append(ids, id)
	}
	holders, err := s.holders(ctx, ids)
	return slices.Concat(ids, holders), last, err
}

// changed tells of one entity that has changed.
func (s *Service) changed(ctx context.Context, k kind, id string) error {
	using, err := s.using(ctx, k, id)
	if err != nil {
		return err
	}
	s.onChange(using...)
	return nil
}

// using are the entity and, of a secret, the containers that hold it.
func (s *Service) using(ctx context.Context, k kind, id string) ([]string, error) {
	if k == containers {
		return []string{id}, nil
	}
	holders, err := s.holders(ctx, []string{id})
	return append(holders, id), err
}

// holders are the containers that hold any of the secrets.
func (s *Service) holders(ctx context.Context, secretIDs []string) (ids []string, err error) {
	if len(secretIDs) == 0 {
		return nil, nil
	}
	err = s.db.NewSelect().Model((*containerSecretRow)(nil)).Distinct().Column("container_id").
		Where("cs.secret_id IN (?)", bun.List(secretIDs)).Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("containers of secrets: %w", err)
	}
	return ids, nil
}

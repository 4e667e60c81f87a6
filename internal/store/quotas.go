package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"poise/internal/lb"
)

// Quotas are kept as the limits that were set; what a project uses is never stored but counted, in the transaction that
// adds to it. That transaction first takes the lock of the project's quota, so that two cannot both take what only one
// may have. A project without limits takes no lock, counts nothing, and costs no statement of its own: whether there
// are limits comes along with the load balancer's next version.

type quotaRow struct {
	bun.BaseModel `bun:"table:quotas"`
	ProjectID     string `bun:",pk"`
	Body          string
}

// DefaultQuota is the quota of projects for which nothing else was set.
func (s *Store) DefaultQuota() lb.Quota { return lb.Quota{}.Over(s.settings.Quota) }

// Quota reads the quota that a project has, set or not.
func (s *Store) Quota(ctx context.Context, projectID string) (lb.Quota, error) {
	body, err := readQuota(ctx, s.db, projectID)
	if err != nil {
		return nil, err
	}
	return s.quota(body)
}

// ProjectQuotas reads the quotas of the projects for which something was set, by project.
func (s *Store) ProjectQuotas(ctx context.Context) (map[string]lb.Quota, error) {
	var rows []quotaRow
	if err := s.db.NewSelect().Model(&rows).Scan(ctx); err != nil {
		return nil, fmt.Errorf("list of quotas: %w", err)
	}
	all := make(map[string]lb.Quota, len(rows))
	for _, row := range rows {
		quota, err := s.quota(sql.NullString{String: row.Body, Valid: true})
		if err != nil {
			return nil, err
		}
		all[row.ProjectID] = quota
	}
	return all, nil
}

// SetQuota sets limits of a project; null ones get the default. It answers with the quota that the project then has.
func (s *Store) SetQuota(ctx context.Context, projectID string, limits map[lb.Kind]lb.Opt[int]) (quota lb.Quota, err error) {
	err = s.db.Tx(ctx, func(ctx context.Context, tx bun.Tx) error {
		set, err := lockQuota(ctx, tx, projectID)
		if err != nil {
			return err
		}
		for kind, limit := range limits {
			switch {
			case limit.Null:
				delete(set, kind)
			case limit.Set:
				set[kind] = limit.Value
			}
		}
		quota = set.Over(s.settings.Quota)
		return saveQuota(ctx, tx, projectID, set)
	})
	return quota, err
}

// ResetQuota gives a project the default quota; one for which nothing was ever set is lb.NotFound.
func (s *Store) ResetQuota(ctx context.Context, projectID string) error {
	result, err := s.db.NewUpdate().Table("quotas").Set("body = '{}'").Where("project_id = ?", projectID).Exec(ctx)
	if err != nil {
		return fmt.Errorf("quota of project %s: %w", projectID, err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, lb.ErrNotFound("Quotas", projectID))
	}
	return nil
}

// checkQuota refuses what a tree has grown by when its project may not have it. body is the project's quota as it was
// read without a lock; a limit that is set at this very moment holds from the next change on.
func (s *Store) checkQuota(ctx context.Context, tx bun.Tx, projectID string, body sql.NullString, before, after *lb.LoadBalancer) error {
	if !body.Valid && len(s.settings.Quota) == 0 || after == nil {
		return nil
	}
	quota, err := s.quota(body)
	if err != nil {
		return err
	}
	growth := lb.Growth(before, after)
	if !quota.Limits(growth) {
		return nil
	}
	set, err := lockQuota(ctx, tx, projectID)
	if err != nil {
		return err
	}
	used, err := countUsed(ctx, tx, projectID)
	if err != nil {
		return err
	}
	return set.Over(s.settings.Quota).Check(used, growth)
}

// countUsed counts the objects of a project by kind, those included that a node has not let go yet.
func countUsed(ctx context.Context, tx bun.Tx, projectID string) (map[lb.Kind]int, error) {
	used := map[lb.Kind]int{}
	var kinds []struct {
		Kind lb.Kind
		Used int
	}
	err := tx.NewSelect().TableExpr("objects AS o").Join("JOIN load_balancers AS l ON l.id = o.load_balancer_id").
		ColumnExpr("o.kind AS kind, count(*) AS used").Where("l.project_id = ?", projectID).GroupExpr("o.kind").Scan(ctx, &kinds)
	if err != nil {
		return nil, fmt.Errorf("objects of project %s: %w", projectID, err)
	}
	for _, k := range kinds {
		used[k.Kind] = k.Used
	}
	balancers, err := tx.NewSelect().Table("load_balancers").Where("project_id = ?", projectID).Count(ctx)
	if err != nil {
		return nil, fmt.Errorf("load balancers of project %s: %w", projectID, err)
	}
	used[lb.KindLoadBalancer] = int(balancers)
	return used, nil
}

// quota is what a project has by the limits that were set for it.
func (s *Store) quota(body sql.NullString) (lb.Quota, error) {
	set := lb.Quota{}
	if body.Valid {
		if err := json.Unmarshal([]byte(body.String), &set); err != nil {
			return nil, fmt.Errorf("quota: %w", err)
		}
	}
	return set.Over(s.settings.Quota), nil
}

func readQuota(ctx context.Context, db bun.IDB, projectID string) (body sql.NullString, err error) {
	err = db.NewSelect().Table("quotas").Column("body").Where("project_id = ?", projectID).Scan(ctx, &body)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return body, fmt.Errorf("quota of project %s: %w", projectID, err)
	}
	return body, nil
}

// lockQuota locks the project's quota until the transaction ends, and reads the limits that were set.
func lockQuota(ctx context.Context, tx bun.Tx, projectID string) (lb.Quota, error) {
	row := quotaRow{ProjectID: projectID, Body: "{}"}
	_, err := tx.NewInsert().Model(&row).On("CONFLICT (project_id) DO UPDATE").
		Set("project_id = EXCLUDED.project_id").Returning("body").Exec(ctx)
	if err != nil {
		return nil, fmt.Errorf("lock of the quota of project %s: %w", projectID, err)
	}
	set := lb.Quota{}
	if err := json.Unmarshal([]byte(row.Body), &set); err != nil {
		return nil, fmt.Errorf("quota of project %s: %w", projectID, err)
	}
	return set, nil
}

func saveQuota(ctx context.Context, tx bun.Tx, projectID string, set lb.Quota) error {
	body, err := json.Marshal(set)
	if err != nil {
		return err
	}
	if _, err := tx.NewUpdate().Table("quotas").Set("body = ?", string(body)).Where("project_id = ?", projectID).Exec(ctx); err != nil {
		return fmt.Errorf("quota of project %s: %w", projectID, err)
	}
	return nil
}

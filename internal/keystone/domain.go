package keystone

import (
	"context"
	"fmt"
	"net/http"

	"github.com/uptrace/bun"

	"poise/internal/database"
)

// defaultDomain is the id of the domain that is always there.
const defaultDomain = "default"

func (s *Service) domainJSON(d domainRow) map[string]any {
	return map[string]any{
		"id": d.ID, "name": d.Name, "description": d.Description, "enabled": d.Enabled,
		"tags": []string{}, "options": map[string]any{}, "links": s.selfLink("domains/" + d.ID),
	}
}

func (s *Service) domainsJSON(rows []domainRow) []any {
	domains := []any{}
	for _, d := range rows {
		domains = append(domains, s.domainJSON(d))
	}
	return domains
}

func (s *Service) listDomains(ctx context.Context, r *request) (answer, error) {
	var rows []domainRow
	query := s.db.NewSelect().Model(&rows).Order("d.name")
	whereAsked(query, r, "id", "name", "enabled")
	if err := query.Scan(ctx); err != nil {
		return answer{}, fmt.Errorf("domains: %w", err)
	}
	return s.list(r, "domains", s.domainsJSON(rows))
}

// listOwnDomains lists the domains for which the caller may have a token.
func (s *Service) listOwnDomains(ctx context.Context, r *request) (answer, error) {
	var rows []domainRow
	err := s.db.NewSelect().Model(&rows).Where("d.enabled").
		Where("d.id IN (SELECT a.domain_id FROM keystone_assignment a WHERE a.user_id = ?)", r.caller.user.ID).
		Order("d.name").Scan(ctx)
	if err != nil {
		return answer{}, fmt.Errorf("domains: %w", err)
	}
	return s.list(r, "domains", s.domainsJSON(rows))
}

// domainRequest is the body of a create or an update.
type domainRequest struct {
	Domain *struct {
		Name        *string `json:"name"`
		Description *string `json:"description"`
		Enabled     *bool   `json:"enabled"`
		unusedAttributes
	} `json:"domain"`
}

// apply puts what the request gives into the domain.
func (b domainRequest) apply(d *domainRow) error {
	if b.Domain == nil {
		return errBadField("domain", "is required")
	}
	if err := setName("name", b.Domain.Name, &d.Name, maxDomainName); err != nil {
		return err
	}
	if err := b.Domain.check(); err != nil {
		return err
	}
	setIf(b.Domain.Enabled, &d.Enabled)
	return setText("description", b.Domain.Description, &d.Description, maxDescription)
}

func (s *Service) createDomain(ctx context.Context, r *request) (answer, error) {
	var body domainRequest
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	d := domainRow{ID: newID(), Enabled: true}
	if err := body.apply(&d); err != nil {
		return answer{}, err
	}
	_, err := s.db.NewInsert().Model(&d).Exec(ctx)
	if database.IsDuplicate(err) {
		return answer{}, errDuplicate("domain", d.Name)
	}
	if err != nil {
		return answer{}, fmt.Errorf("domain: %w", err)
	}
	return created(map[string]any{"domain": s.domainJSON(d)})
}

func (s *Service) showDomain(ctx context.Context, r *request) (answer, error) {
	d, err := findDomain(ctx, s.db, r.PathValue("domain"))
	if err != nil {
		return answer{}, err
	}
	return ok(map[string]any{"domain": s.domainJSON(d)})
}

func findDomain(ctx context.Context, db bun.IDB, id string) (domainRow, error) {
	var d domainRow
	err := findRow(ctx, db.NewSelect().Model(&d), "domain", id)
	return d, err
}

func (s *Service) updateDomain(ctx context.Context, r *request) (answer, error) {
	var body domainRequest
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	var d domainRow
	err := s.change(ctx, func(ctx context.Context, tx bun.Tx) (err error) {
		if d, err = findDomain(ctx, tx, r.PathValue("domain")); err != nil {
			return err
		}
		if err := body.apply(&d); err != nil {
			return err
		}
		return updateRow(ctx, tx, &d, "domain", d.Name)
	})
	if err != nil {
		return answer{}, err
	}
	return ok(map[string]any{"domain": s.domainJSON(d)})
}

// deleteDomain deletes a domain with everything in it; for safety it has to be disabled before.
func (s *Service) deleteDomain(ctx context.Context, r *request) (answer, error) {
	return noContent, s.change(ctx, func(ctx context.Context, tx bun.Tx) error {
		d, err := findDomain(ctx, tx, r.PathValue("domain"))
		if err != nil {
			return err
		}
		if d.ID == defaultDomain {
			return &fault{status: http.StatusForbidden, message: "The default domain cannot be deleted."}
		}
		if d.Enabled {
			return &fault{status: http.StatusForbidden, message: "Cannot delete a domain that is enabled, please disable it first."}
		}
		return deleteRow(ctx, tx, &d, "domain")
	})
}

// findRow reads the row with the id.
func findRow(ctx context.Context, query *bun.SelectQuery, kind, id string) error {
	err := query.Where("?TableAlias.id = ?", id).Scan(ctx)
	if isNoRows(err) {
		return errNotFound(kind, id)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", kind, id, err)
	}
	return nil
}

// updateRow stores a changed row.
func updateRow(ctx context.Context, tx bun.Tx, row any, kind, name string) error {
	_, err := tx.NewUpdate().Model(row).WherePK().Exec(ctx)
	if database.IsDuplicate(err) {
		return errDuplicate(kind, name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	return nil
}

// deleteRow deletes a row; what refers to it goes with it.
func deleteRow(ctx context.Context, tx bun.Tx, row any, kind string) error {
	if _, err := tx.NewDelete().Model(row).WherePK().Exec(ctx); err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	return nil
}

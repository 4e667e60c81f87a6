package keystone

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"poise/internal/database"
)

func (s *Service) roleJSON(role roleRow) map[string]any {
	return map[string]any{
		"id": role.ID, "name": role.Name, "domain_id": nil, "description": role.Description,
		"options": map[string]any{}, "links": s.selfLink("roles/" + role.ID),
	}
}

func (s *Service) rolesJSON(rows []roleRow) []any {
	roles := []any{}
	for _, role := range rows {
		roles = append(roles, s.roleJSON(role))
	}
	return roles
}

func (s *Service) listRoles(ctx context.Context, r *request) (answer, error) {
	var rows []roleRow
	query := s.db.NewSelect().Model(&rows).Order("r.name")
	whereAsked(query, r, "id", "name")
	if r.URL.Query().Get("domain_id") != "" {
		query.Where("1 = 0") // roles belong to no domain
	}
	if err := query.Scan(ctx); err != nil {
		return answer{}, fmt.Errorf("roles: %w", err)
	}
	return s.list(r, "roles", s.rolesJSON(rows))
}

// roleRequest is the body of a create or an update.
type roleRequest struct {
	Role *struct {
		Name        *string `json:"name"`
		Description *string `json:"description"`
		DomainID    *string `json:"domain_id"`
		unusedAttributes
	} `json:"role"`
}

// apply puts what the request gives into the role.
func (b roleRequest) apply(role *roleRow) error {
	if b.Role == nil {
		return errBadField("role", "is required")
	}
	if b.Role.DomainID != nil {
		return errBadField("domain_id", "roles belong to no domain")
	}
	if err := b.Role.check(); err != nil {
		return err
	}
	if err := setName("name", b.Role.Name, &role.Name, maxRoleName); err != nil {
		return err
	}
	return setText("description", b.Role.Description, &role.Description, maxDescription)
}

func (s *Service) createRole(ctx context.Context, r *request) (answer, error) {
	var body roleRequest
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	role := roleRow{ID: newID()}
	if err := body.apply(&role); err != nil {
		return answer{}, err
	}
	_, err := s.db.NewInsert().Model(&role).Exec(ctx)
	if database.IsDuplicate(err) {
		return answer{}, errDuplicate("role", role.Name)
	}
	if err != nil {
		return answer{}, fmt.Errorf("role: %w", err)
	}
	return created(map[string]any{"role": s.roleJSON(role)})
}

func (s *Service) showRole(ctx context.Context, r *request) (answer, error) {
	role, err := findRole(ctx, s.db, r.PathValue("role"))
	if err != nil {
		return answer{}, err
	}
	return ok(map[string]any{"role": s.roleJSON(role)})
}

func findRole(ctx context.Context, db bun.IDB, id string) (roleRow, error) {
	var role roleRow
	err := findRow(ctx, db.NewSelect().Model(&role), "role", id)
	return role, err
}

func (s *Service) updateRole(ctx context.Context, r *request) (answer, error) {
	var body roleRequest
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	var role roleRow
	err := s.change(ctx, func(ctx context.Context, tx bun.Tx) (err error) {
		if role, err = findRole(ctx, tx, r.PathValue("role")); err != nil {
			return err
		}
		if err := body.apply(&role); err != nil {
			return err
		}
		return updateRow(ctx, tx, &role, "role", role.Name)
	})
	if err != nil {
		return answer{}, err
	}
	return ok(map[string]any{"role": s.roleJSON(role)})
}

func (s *Service) deleteRole(ctx context.Context, r *request) (answer, error) {
	return noContent, s.change(ctx, func(ctx context.Context, tx bun.Tx) error {
		role, err := findRole(ctx, tx, r.PathValue("role"))
		if err != nil {
			return err
		}
		return deleteRow(ctx, tx, &role, "role")
	})
}

// listInferences lists which role implies which.
func (s *Service) listInferences(ctx context.Context, r *request) (answer, error) {
	roles, implied, err := loadImplications(ctx, s.db)
	if err != nil {
		return answer{}, err
	}
	inferences := []any{}
	for _, prior := range roles {
		var implies []any
		for _, pair := range implied {
			if pair.PriorID == prior.ID {
				implies = append(implies, s.roleInInference(roleWithID(roles, pair.ImpliedID)))
			}
		}
		if implies != nil {
			inferences = append(inferences, map[string]any{"prior_role": s.roleInInference(prior), "implies": implies})
		}
	}
	return s.list(r, "role_inferences", inferences)
}

func (s *Service) roleInInference(role roleRow) map[string]any {
	return map[string]any{"id": role.ID, "name": role.Name, "links": s.selfLink("roles/" + role.ID)}
}

// loadImplications reads all roles by name, and which implies which.
func loadImplications(ctx context.Context, db bun.IDB) (roles []roleRow, implied []impliedRoleRow, err error) {
	if err := db.NewSelect().Model(&roles).Order("r.name").Scan(ctx); err != nil {
		return nil, nil, fmt.Errorf("roles: %w", err)
	}
	if err := db.NewSelect().Model(&implied).Scan(ctx); err != nil {
		return nil, nil, fmt.Errorf("implied roles: %w", err)
	}
	return roles, implied, nil
}

func roleWithID(roles []roleRow, id string) roleRow {
	for _, role := range roles {
		if role.ID == id {
			return role
		}
	}
	return roleRow{}
}

package keystone

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/uptrace/bun"
)

// createGrant gives a user a role on a project or a domain; a role that the user has is fine.
func (s *Service) createGrant(ctx context.Context, r *request) (answer, error) {
	return noContent, s.change(ctx, func(ctx context.Context, tx bun.Tx) error {
		grant, err := r.grant(ctx, tx)
		if err != nil {
			return err
		}
		if err := insertMissing(ctx, tx, &grant); err != nil {
			return fmt.Errorf("role assignment: %w", err)
		}
		return nil
	})
}

func (s *Service) checkGrant(ctx context.Context, r *request) (answer, error) {
	grant, err := r.grant(ctx, s.db)
	if err != nil {
		return answer{}, err
	}
	there, err := s.db.NewSelect().Model((*assignmentRow)(nil)).ApplyQueryBuilder(whereGrant(grant)).Exists(ctx)
	if err != nil {
		return answer{}, fmt.Errorf("role assignment: %w", err)
	}
	if !there {
		return answer{}, errNoGrant(grant)
	}
	return noContent, nil
}

func (s *Service) deleteGrant(ctx context.Context, r *request) (answer, error) {
	return noContent, s.change(ctx, func(ctx context.Context, tx bun.Tx) error {
		grant, err := r.grant(ctx, tx)
		if err != nil {
			return err
		}
		result, err := tx.NewDelete().Model((*assignmentRow)(nil)).ApplyQueryBuilder(whereGrant(grant)).Exec(ctx)
		if err != nil {
			return fmt.Errorf("role assignment: %w", err)
		}
		if deleted, err := result.RowsAffected(); err == nil && deleted == 0 {
			return errNoGrant(grant)
		}
		return nil
	})
}

// listGrants lists the roles that a user was given on a project or a domain.
func (s *Service) listGrants(ctx context.Context, r *request) (answer, error) {
	target, err := r.grantTarget(ctx, s.db)
	if err != nil {
		return answer{}, err
	}
	var rows []roleRow
	given := s.db.NewSelect().Model((*assignmentRow)(nil)).Column("role_id").ApplyQueryBuilder(whereGrant(target))
	if err := s.db.NewSelect().Model(&rows).Where("r.id IN (?)", given).Order("r.name").Scan(ctx); err != nil {
		return answer{}, fmt.Errorf("role assignments: %w", err)
	}
	return s.list(r, "roles", s.rolesJSON(rows))
}

// grant is the assignment that the path names; all three of its objects are there.
func (r *request) grant(ctx context.Context, db bun.IDB) (assignmentRow, error) {
	grant, err := r.grantTarget(ctx, db)
	if err != nil {
		return grant, err
	}
	role, err := findRole(ctx, db, r.PathValue("role"))
	if err != nil {
		return grant, err
	}
	grant.RoleID = role.ID
	return grant, r.managesRole(role)
}

// grantTarget is the user, and the project or domain, that the path names.
func (r *request) grantTarget(ctx context.Context, db bun.IDB) (assignmentRow, error) {
	user, err := findUser(ctx, db, r.PathValue("user"))
	if err != nil {
		return assignmentRow{}, err
	}
	if err := r.managesUser(ctx, db, user); err != nil {
		return assignmentRow{}, err
	}
	grant := assignmentRow{UserID: user.ID}
	if id := r.PathValue("project"); id != "" {
		project, err := findProject(ctx, db, id)
		if err != nil {
			return grant, err
		}
		grant.ProjectID = project.ID
		return grant, r.managesProject(project)
	}
	domain, err := findDomain(ctx, db, r.PathValue("domain"))
	if err != nil {
		return grant, err
	}
	grant.DomainID = domain.ID
	return grant, r.manages(domain.ID)
}

// whereGrant narrows a query to the assignments that have what grant has.
func whereGrant(grant assignmentRow) func(bun.QueryBuilder) bun.QueryBuilder {
	return func(query bun.QueryBuilder) bun.QueryBuilder {
		query = query.Where("user_id = ?", grant.UserID)
		if grant.RoleID != "" {
			query = query.Where("role_id = ?", grant.RoleID)
		}
		if grant.ProjectID != "" {
			return query.Where("project_id = ?", grant.ProjectID)
		}
		return query.Where("domain_id = ?", grant.DomainID)
	}
}

func errNoGrant(grant assignmentRow) error {
	target := "project: " + grant.ProjectID
	if grant.ProjectID == "" {
		target = "domain: " + grant.DomainID
	}
	return &fault{
		status: http.StatusNotFound,
		message: fmt.Sprintf("Could not find role assignment with role: %s, user or group: %s, project, domain, or system: %s.",
			grant.RoleID, grant.UserID, target),
	}
}

// namedAssignment is an assignment with the names of what it refers to.
type namedAssignment struct {
	assignmentRow `bun:",extend"`

	UserName, UserDomainID, UserDomainName          string
	ProjectName, ProjectDomainID, ProjectDomainName string
	RoleName, DomainName                            string
	PriorID                                         string `bun:"-"` // "": given, else implied by this role
}

// listAssignments lists who has which role where; with "effective" also the implied roles.
func (s *Service) listAssignments(ctx context.Context, r *request) (answer, error) {
	query := r.URL.Query()
	if query.Get("group.id") != "" || query.Get("scope.system") != "" {
		return s.list(r, "role_assignments", []any{}) // neither groups nor the system have any
	}
	rows, err := loadAssignments(ctx, s.db, query)
	if err != nil {
		return answer{}, err
	}
	if isSet(query, "effective") {
		if rows, err = expandImplied(ctx, s.db, rows); err != nil {
			return answer{}, err
		}
	}
	assignments := []any{}
	for _, row := range rows {
		if asked(query, "role.id", row.RoleID) {
			assignments = append(assignments, s.assignmentJSON(row, isSet(query, "include_names")))
		}
	}
	return s.list(r, "role_assignments", assignments)
}

// isSet tells whether the query has the flag; "0" and "false" unset it, as in Keystone.
func isSet(query url.Values, flag string) bool {
	value := query.Get(flag)
	return query.Has(flag) && value != "0" && value != "false" && value != "False"
}

func loadAssignments(ctx context.Context, db bun.IDB, asked url.Values) ([]namedAssignment, error) {
	var rows []namedAssignment
	query := db.NewSelect().Model(&rows).ColumnExpr("a.*").
		ColumnExpr("u.name AS user_name, ud.id AS user_domain_id, ud.name AS user_domain_name").
		ColumnExpr("COALESCE(p.name, '') AS project_name, COALESCE(pd.id, '') AS project_domain_id").
		ColumnExpr("COALESCE(pd.name, '') AS project_domain_name, COALESCE(d.name, '') AS domain_name").
		ColumnExpr("r.name AS role_name").
		Join("JOIN keystone_user AS u ON u.id = a.user_id").
		Join("JOIN keystone_domain AS ud ON ud.id = u.domain_id").
		Join("JOIN keystone_role AS r ON r.id = a.role_id").
		Join("LEFT JOIN keystone_project AS p ON p.id = a.project_id").
		Join("LEFT JOIN keystone_domain AS pd ON pd.id = p.domain_id").
		Join("LEFT JOIN keystone_domain AS d ON d.id = a.domain_id").
		Order("u.name", "u.id", "p.name", "p.id", "d.name", "r.name")
	for filter, column := range map[string]string{
		"user.id": "user_id", "scope.project.id": "project_id", "scope.domain.id": "domain_id",
	} {
		if asked.Has(filter) {
			query.Where("a.? = ?", bun.Ident(column), asked.Get(filter))
		}
	}
	if err := query.Scan(ctx); err != nil {
		return nil, fmt.Errorf("role assignments: %w", err)
	}
	return rows, nil
}

// expandImplied adds to each assignment those that its role implies, unless they are given anyway.
func expandImplied(ctx context.Context, db bun.IDB, rows []namedAssignment) ([]namedAssignment, error) {
	roles, implied, err := loadImplications(ctx, db)
	if err != nil {
		return nil, err
	}
	seen := map[[4]string]bool{}
	for _, row := range rows {
		seen[row.key()] = true
	}
	for i := 0; i < len(rows); i++ { // rows grows: what is implied implies in its turn
		for _, pair := range implied {
			if pair.PriorID != rows[i].RoleID {
				continue
			}
			more := rows[i]
			more.RoleID, more.RoleName = pair.ImpliedID, roleWithID(roles, pair.ImpliedID).Name
			more.PriorID = pair.PriorID
			if !seen[more.key()] {
				seen[more.key()] = true
				rows = append(rows, more)
			}
		}
	}
	return rows, nil
}

func (a namedAssignment) key() [4]string {
	return [4]string{a.UserID, a.RoleID, a.ProjectID, a.DomainID}
}

func (s *Service) assignmentJSON(a namedAssignment, withNames bool) map[string]any {
	role, user := map[string]any{"id": a.RoleID}, map[string]any{"id": a.UserID}
	scopeKind, target, targetID := "project", map[string]any{"id": a.ProjectID}, a.ProjectID
	if a.ProjectID == "" {
		scopeKind, target, targetID = "domain", map[string]any{"id": a.DomainID}, a.DomainID
	}
	if withNames {
		role["name"] = a.RoleName
		user["name"], user["domain"] = a.UserName, named{a.UserDomainID, a.UserDomainName}
		target["name"] = a.DomainName
		if a.ProjectID != "" {
			target["name"], target["domain"] = a.ProjectName, named{a.ProjectDomainID, a.ProjectDomainName}
		}
	}
	grantedRole := a.RoleID
	links := map[string]string{}
	if a.PriorID != "" {
		grantedRole = a.PriorID
		links["prior_role"] = s.publicURL + "/v3/roles/" + a.PriorID
	}
	links["assignment"] = fmt.Sprintf("%s/v3/%ss/%s/users/%s/roles/%s", s.publicURL, scopeKind, targetID, a.UserID, grantedRole)
	return map[string]any{"role": role, "user": user, "scope": map[string]any{scopeKind: target}, "links": links}
}

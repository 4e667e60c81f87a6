package keystone

import (
	"context"
	"fmt"
	"net/http"

	"github.com/uptrace/bun"

	"poise/internal/database"
)

func (s *Service) projectJSON(p projectRow) map[string]any {
	return map[string]any{
		"id": p.ID, "name": p.Name, "domain_id": p.DomainID, "parent_id": p.DomainID, "is_domain": false,
		"description": p.Description, "enabled": p.Enabled,
		"tags": []string{}, "options": map[string]any{}, "links": s.selfLink("projects/" + p.ID),
	}
}

func (s *Service) projectsJSON(rows []projectRow) []any {
	projects := []any{}
	for _, p := range rows {
		projects = append(projects, s.projectJSON(p))
	}
	return projects
}

func (s *Service) listProjects(ctx context.Context, r *request) (answer, error) {
	var rows []projectRow
	query := s.db.NewSelect().Model(&rows).Order("p.name", "p.id")
	whereManaged(query, r)
	whereAsked(query, r, "id", "name", "domain_id", "enabled")
	if r.URL.Query().Has("parent_id") { // a project's parent is its domain
		query.Where("p.domain_id = ?", r.URL.Query().Get("parent_id"))
	}
	if asked := r.URL.Query().Get("is_domain"); asked == "true" || asked == "True" || asked == "1" {
		query.Where("1 = 0") // domains are not kept as projects
	}
	if err := query.Scan(ctx); err != nil {
		return answer{}, fmt.Errorf("projects: %w", err)
	}
	return s.list(r, "projects", s.projectsJSON(rows))
}

// listOwnProjects lists the projects for which the caller may have a token.
func (s *Service) listOwnProjects(ctx context.Context, r *request) (answer, error) {
	return s.projectsOf(ctx, r, r.caller.user.ID, func(query *bun.SelectQuery) {
		query.Join("JOIN keystone_domain AS d ON d.id = p.domain_id").Where("p.enabled AND d.enabled")
	})
}

// listUserProjects lists the projects on which a user has a role.
func (s *Service) listUserProjects(ctx context.Context, r *request) (answer, error) {
	user, err := findUser(ctx, s.db, r.PathValue("user"))
	if err != nil {
		return answer{}, err
	}
	return s.projectsOf(ctx, r, user.ID, func(query *bun.SelectQuery) {
		whereAsked(query, r, "id", "name", "domain_id", "enabled")
	})
}

func (s *Service) projectsOf(ctx context.Context, r *request, userID string, narrow func(*bun.SelectQuery)) (answer, error) {
	var rows []projectRow
	query := s.db.NewSelect().Model(&rows).
		Where("p.id IN (SELECT a.project_id FROM keystone_assignment a WHERE a.user_id = ?)", userID).
		Order("p.name", "p.id")
	narrow(query)
	if err := query.Scan(ctx); err != nil {
		return answer{}, fmt.Errorf("projects of user %s: %w", userID, err)
	}
	return s.list(r, "projects", s.projectsJSON(rows))
}

// projectRequest is the body of a create or an update.
type projectRequest struct {
	Project *struct {
		Name        *string `json:"name"`
		DomainID    *string `json:"domain_id"`
		ParentID    *string `json:"parent_id"`
		IsDomain    *bool   `json:"is_domain"`
		Description *string `json:"description"`
		Enabled     *bool   `json:"enabled"`
		unusedAttributes
	} `json:"project"`
}

// apply puts what the request gives into the project, whose domain is fixed before.
func (b projectRequest) apply(p *projectRow) error {
	given := b.Project
	if given.DomainID != nil && *given.DomainID != p.DomainID {
		return errBadField("domain_id", "a project cannot be moved to another domain")
	}
	if given.ParentID != nil && *given.ParentID != p.DomainID {
		return errBadField("parent_id", "projects cannot be nested: the parent is the domain")
	}
	if given.IsDomain != nil && *given.IsDomain {
		return errBadField("is_domain", "domains are created at /v3/domains")
	}
	if err := given.check(); err != nil {
		return err
	}
	if err := setName("name", given.Name, &p.Name, maxProjectName); err != nil {
		return err
	}
	setIf(given.Enabled, &p.Enabled)
	return setText("description", given.Description, &p.Description, maxDescription)
}

func (r *request) decodeProject() (projectRequest, error) {
	var body projectRequest
	if err := r.decode(&body); err != nil {
		return body, err
	}
	if body.Project == nil {
		return body, errBadField("project", "is required")
	}
	return body, nil
}

func (s *Service) createProject(ctx context.Context, r *request) (answer, error) {
	body, err := r.decodeProject()
	if err != nil {
		return answer{}, err
	}
	p := projectRow{ID: newID(), Enabled: true, DomainID: r.homeDomain(body.Project.DomainID, body.Project.ParentID)}
	if err := r.manages(p.DomainID); err != nil {
		return answer{}, err
	}
	if err := body.apply(&p); err != nil {
		return answer{}, err
	}
	if err := s.checkHome(ctx, p.DomainID, body); err != nil {
		return answer{}, err
	}
	_, err = s.db.NewInsert().Model(&p).Exec(ctx)
	if database.IsDuplicate(err) {
		return answer{}, errConflict("project", "it is not permitted to have two projects with the same name in the same domain : "+p.Name)
	}
	if err != nil {
		return answer{}, fmt.Errorf("project: %w", err)
	}
	return created(map[string]any{"project": s.projectJSON(p)})
}

// checkHome makes sure that a new project's domain is one. Clients name it as the parent as well, which in Keystone may be
// a project: that is refused for what it is.
func (s *Service) checkHome(ctx context.Context, id string, body projectRequest) error {
	_, err := findDomain(ctx, s.db, id)
	if err == nil || body.Project.ParentID == nil || *body.Project.ParentID != id {
		return err
	}
	if p, notFound := findProject(ctx, s.db, id); notFound == nil {
		return errBadField("parent_id", "%q is a project, and projects cannot be nested: the parent is a domain", p.Name)
	}
	return err
}

// homeDomain is where something new belongs: the domain that the request names, or the caller's.
func (r *request) homeDomain(named ...*string) string {
	for _, id := range named {
		if id != nil {
			return *id
		}
	}
	if r.caller.domain != nil {
		return r.caller.domain.ID
	}
	if r.caller.project != nil {
		return r.caller.project.Domain.ID
	}
	return r.caller.user.Domain.ID
}

// showProject is for the administrator and for those who have a role on the project.
func (s *Service) showProject(ctx context.Context, r *request) (answer, error) {
	id := r.PathValue("project")
	if !manager(r) {
		roles, err := effectiveRoles(ctx, s.db, r.caller.user.ID, id, "")
		if err != nil {
			return answer{}, err
		}
		if len(roles) == 0 {
			return answer{}, errForbidden(r.action)
		}
	}
	p, err := findProject(ctx, s.db, id)
	if err != nil {
		return answer{}, err
	}
	if manager(r) {
		if err := r.manages(p.DomainID); err != nil {
			return answer{}, err
		}
	}
	return ok(map[string]any{"project": s.projectJSON(p)})
}

func findProject(ctx context.Context, db bun.IDB, id string) (projectRow, error) {
	var p projectRow
	err := findRow(ctx, db.NewSelect().Model(&p), "project", id)
	return p, err
}

func (s *Service) updateProject(ctx context.Context, r *request) (answer, error) {
	body, err := r.decodeProject()
	if err != nil {
		return answer{}, err
	}
	var p projectRow
	err = s.change(ctx, func(ctx context.Context, tx bun.Tx) (err error) {
		if p, err = findProject(ctx, tx, r.PathValue("project")); err != nil {
			return err
		}
		if err := r.managesProject(p); err != nil {
			return err
		}
		if err := body.apply(&p); err != nil {
			return err
		}
		return updateRow(ctx, tx, &p, "project", p.Name)
	})
	if err != nil {
		return answer{}, err
	}
	return ok(map[string]any{"project": s.projectJSON(p)})
}

// deleteProject takes the assignments, application credentials and tokens of the project with it.
func (s *Service) deleteProject(ctx context.Context, r *request) (answer, error) {
	return noContent, s.change(ctx, func(ctx context.Context, tx bun.Tx) error {
		p, err := findProject(ctx, tx, r.PathValue("project"))
		if err != nil {
			return err
		}
		if err := r.managesProject(p); err != nil {
			return err
		}
		if p.IsAdmin {
			return &fault{status: http.StatusForbidden, message: "The administrators' project cannot be deleted."}
		}
		return deleteRow(ctx, tx, &p, "project")
	})
}

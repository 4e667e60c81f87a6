package neutron

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"poise/internal/rest"
)

func (s *Service) quotaRoutes() []rest.Route {
	const all, one = "/v2.0/quotas", "/v2.0/quotas/{project}"
	return []rest.Route{
		{Method: http.MethodGet, Pattern: all, Handler: s.serveQuotas},
		{Method: http.MethodGet, Pattern: one, Handler: s.serveQuota},
		{Method: http.MethodPut, Pattern: one, Handler: s.serveQuotaChange},
		{Method: http.MethodDelete, Pattern: one, Handler: s.serveQuotaReset},
		{Method: http.MethodGet, Pattern: one + "/default", Handler: s.serveDefaultQuota},
		{Method: http.MethodGet, Pattern: one + "/details", Handler: s.serveQuotaDetails},
	}
}

func (q Quota) view(project string) object {
	v := object{"project_id": project, "tenant_id": project}
	for resource, limit := range q {
		v[resource] = limit
	}
	return v
}

// serveQuotas lists the projects for which something was set.
func (s *Service) serveQuotas(w http.ResponseWriter, r *http.Request) error {
	if !isAdmin(rest.CallerFrom(r.Context())) {
		return forbidden("get_quota")
	}
	quotas, err := s.projectQuotas(r.Context(), where("1 = 1"))
	if err != nil {
		return err
	}
	views := []object{}
	for _, project := range slices.Sorted(maps.Keys(quotas)) {
		views = append(views, quotas[project].view(project))
	}
	rest.WriteJSON(w, http.StatusOK, object{"quotas": views})
	return nil
}

func (s *Service) serveQuota(w http.ResponseWriter, r *http.Request) error {
	project, caller := r.PathValue("project"), rest.CallerFrom(r.Context())
	if project == "tenant" || project == "project" { // asks which project the token is for
		rest.WriteJSON(w, http.StatusOK, object{project: object{project + "_id": caller.ProjectID}})
		return nil
	}
	if err := mayReadQuota(r); err != nil {
		return err
	}
	quota, err := s.quotaOf(r.Context(), project)
	if err != nil {
		return err
	}
	rest.WriteJSON(w, http.StatusOK, object{"quota": quota.view(project)})
	return nil
}

func (s *Service) serveDefaultQuota(w http.ResponseWriter, r *http.Request) error {
	if err := mayReadQuota(r); err != nil {
		return err
	}
	rest.WriteJSON(w, http.StatusOK, object{"quota": s.quota.view(r.PathValue("project"))})
	return nil
}

func (s *Service) serveQuotaDetails(w http.ResponseWriter, r *http.Request) error {
	if err := mayReadQuota(r); err != nil {
		return err
	}
	quota, err := s.quotaOf(r.Context(), r.PathValue("project"))
	if err != nil {
		return err
	}
	details := object{}
	for resource, limit := range quota {
		used, err := countUsed(r.Context(), s.db, resource, r.PathValue("project"))
		if err != nil {
			return err
		}
		details[resource] = object{"limit": limit, "used": used, "reserved": 0}
	}
	rest.WriteJSON(w, http.StatusOK, object{"quota": details})
	return nil
}

func mayReadQuota(r *http.Request) error {
	caller := rest.CallerFrom(r.Context())
	if !isAdmin(caller) && (caller.ProjectID == "" || caller.ProjectID != r.PathValue("project")) {
		return forbidden("get_quota")
	}
	return nil
}

func (s *Service) serveQuotaChange(w http.ResponseWriter, r *http.Request) error {
	b, err := readBody(w, r, "quota")
	if err != nil {
		return err
	}
	if !isAdmin(b.caller) {
		return forbidden("update_quota")
	}
	limits, force, err := readQuota(b)
	if err != nil {
		return err
	}
	project := r.PathValue("project")
	err = s.change(r.Context(), b.caller, func(ctx context.Context, c *change) error {
		return s.setQuota(ctx, c, project, limits, force)
	})
	if err != nil {
		return err
	}
	return s.serveQuota(w, r)
}

func (s *Service) serveQuotaReset(w http.ResponseWriter, r *http.Request) error {
	if !isAdmin(rest.CallerFrom(r.Context())) {
		return forbidden("delete_quota")
	}
	err := s.change(r.Context(), rest.CallerFrom(r.Context()), func(ctx context.Context, c *change) error {
		return resetQuota(ctx, c, r.PathValue("project"))
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

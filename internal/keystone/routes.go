package keystone

import (
	"context"
	"net/http"

	"poise/internal/rest"
)

// request is a request that may be answered.
type request struct {
	*http.Request
	action string   // its name in Keystone's policies: "identity:list_users"
	caller *session // nil for an open action
	body   []byte
}

// decode reads the body into v; what v does not know is refused.
func (r *request) decode(v any) error {
	if err := rest.CheckText(r.body); err != nil {
		return err
	}
	return rest.DecodeStrict(r.body, v)
}

// answer is what a handler has to say.
type answer struct {
	status int
	body   any // nil: none
	header http.Header
}

var noContent = answer{status: http.StatusNoContent, header: http.Header{}}

// route is one line of the table: who may do what.
type route struct {
	method, pattern string
	action          string
	may             policy
	handle          func(ctx context.Context, r *request) (answer, error)
}

// policy tells whether the caller may do it.
type policy func(r *request) bool

// open actions need no token.
var open policy

func anybody(*request) bool { return true }

func admin(r *request) bool { return r.caller.admin }

// self is the user that the path names.
func self(r *request) bool { return r.caller.user.ID == r.PathValue("user") || admin(r) }

// selfOrManager is also who manages a domain; the handler sees whether it is the user's.
func selfOrManager(r *request) bool { return self(r) || manager(r) }

// ownDomain is a user of the domain that the path names.
func ownDomain(r *request) bool { return r.caller.user.Domain.ID == r.PathValue("domain") || admin(r) }

func (s *Service) table() []route {
	const (
		userCredentials = "/v3/users/{user}/application_credentials"
		onProject       = "/v3/projects/{project}/users/{user}/roles"
		onDomain        = "/v3/domains/{domain}/users/{user}/roles"
	)
	return []route{
		{"GET", "/", "identity:versions", open, s.listVersions},
		{"GET", "/v3", "identity:version", open, s.showVersion},

		{"POST", "/v3/auth/tokens", "identity:create_token", open, s.createToken},
		{"GET", "/v3/auth/tokens", "identity:validate_token", anybody, s.showToken},
		{"DELETE", "/v3/auth/tokens", "identity:revoke_token", anybody, s.deleteToken},
		{"GET", "/v3/auth/catalog", "identity:get_auth_catalog", anybody, s.showCatalog},
		{"GET", "/v3/auth/projects", "identity:get_auth_projects", anybody, s.listOwnProjects},
		{"GET", "/v3/auth/domains", "identity:get_auth_domains", anybody, s.listOwnDomains},

		{"GET", "/v3/regions", "identity:list_regions", anybody, s.listRegions},
		{"GET", "/v3/regions/{id}", "identity:get_region", anybody, s.showRegion},
		{"GET", "/v3/services", "identity:list_services", admin, s.listServices},
		{"GET", "/v3/services/{id}", "identity:get_service", admin, s.showService},
		{"GET", "/v3/endpoints", "identity:list_endpoints", admin, s.listEndpoints},
		{"GET", "/v3/endpoints/{id}", "identity:get_endpoint", admin, s.showEndpoint},

		{"GET", "/v3/domains", "identity:list_domains", admin, s.listDomains},
		{"POST", "/v3/domains", "identity:create_domain", admin, s.createDomain},
		{"GET", "/v3/domains/{domain}", "identity:get_domain", ownDomain, s.showDomain},
		{"PATCH", "/v3/domains/{domain}", "identity:update_domain", admin, s.updateDomain},
		{"DELETE", "/v3/domains/{domain}", "identity:delete_domain", admin, s.deleteDomain},

		{"GET", "/v3/projects", "identity:list_projects", manager, s.listProjects},
		{"POST", "/v3/projects", "identity:create_project", manager, s.createProject},
		{"GET", "/v3/projects/{project}", "identity:get_project", anybody, s.showProject},
		{"PATCH", "/v3/projects/{project}", "identity:update_project", manager, s.updateProject},
		{"DELETE", "/v3/projects/{project}", "identity:delete_project", manager, s.deleteProject},

		{"GET", "/v3/users", "identity:list_users", manager, s.listUsers},
		{"POST", "/v3/users", "identity:create_user", manager, s.createUser},
		{"GET", "/v3/users/{user}", "identity:get_user", selfOrManager, s.showUser},
		{"PATCH", "/v3/users/{user}", "identity:update_user", manager, s.updateUser},
		{"DELETE", "/v3/users/{user}", "identity:delete_user", manager, s.deleteUser},
		{"POST", "/v3/users/{user}/password", "identity:change_password", open, s.changePassword},
		{"GET", "/v3/users/{user}/projects", "identity:list_user_projects", self, s.listUserProjects},
		{"GET", "/v3/users/{user}/groups", "identity:list_groups_for_user", self, s.listGroups},
		{"GET", "/v3/groups", "identity:list_groups", admin, s.listGroups},

		{"GET", userCredentials, "identity:list_application_credentials", self, s.listCredentials},
		{"POST", userCredentials, "identity:create_application_credential", self, s.createCredential},
		{"GET", userCredentials + "/{id}", "identity:get_application_credential", self, s.showCredential},
		{"DELETE", userCredentials + "/{id}", "identity:delete_application_credential", self, s.deleteCredential},

		{"GET", "/v3/roles", "identity:list_roles", manager, s.listRoles},
		{"POST", "/v3/roles", "identity:create_role", admin, s.createRole},
		{"GET", "/v3/roles/{role}", "identity:get_role", manager, s.showRole},
		{"PATCH", "/v3/roles/{role}", "identity:update_role", admin, s.updateRole},
		{"DELETE", "/v3/roles/{role}", "identity:delete_role", admin, s.deleteRole},
		{"GET", "/v3/role_inferences", "identity:list_role_inference_rules", admin, s.listInferences},

		{"GET", "/v3/role_assignments", "identity:list_role_assignments", admin, s.listAssignments},
		{"GET", onProject, "identity:list_grants", manager, s.listGrants},
		{"GET", onProject + "/{role}", "identity:check_grant", manager, s.checkGrant},
		{"PUT", onProject + "/{role}", "identity:create_grant", manager, s.createGrant},
		{"DELETE", onProject + "/{role}", "identity:revoke_grant", manager, s.deleteGrant},
		{"GET", onDomain, "identity:list_grants", manager, s.listGrants},
		{"GET", onDomain + "/{role}", "identity:check_grant", manager, s.checkGrant},
		{"PUT", onDomain + "/{role}", "identity:create_grant", manager, s.createGrant},
		{"DELETE", onDomain + "/{role}", "identity:revoke_grant", manager, s.deleteGrant},
	}
}

func (s *Service) routes() []rest.Route {
	var routes []rest.Route
	for _, line := range s.table() {
		routes = append(routes, rest.Route{Method: line.method, Pattern: line.pattern, Handler: s.handler(line)})
	}
	return routes
}

// handler does for each route what comes before and after it: who is it, may they, what do they send, what do they get.
func (s *Service) handler(line route) func(w http.ResponseWriter, r *http.Request) error {
	return func(w http.ResponseWriter, plain *http.Request) error {
		r := &request{Request: plain, action: line.action}
		if err := rest.CheckQuery(plain.URL); err != nil {
			return err
		}
		if err := s.admit(r, line.may); err != nil {
			return err
		}
		var err error
		if r.body, err = rest.ReadBody(w, plain, rest.MaxBody); err != nil {
			return err
		}
		reply, err := line.handle(plain.Context(), r)
		if err != nil {
			return err
		}
		for name, values := range reply.header {
			w.Header()[name] = values
		}
		if reply.body == nil {
			w.WriteHeader(reply.status)
			return nil
		}
		rest.WriteJSON(w, reply.status, reply.body)
		return nil
	}
}

func (s *Service) admit(r *request, may policy) error {
	if may == nil {
		return nil
	}
	var err error
	if r.caller, err = s.session(r.Context(), r.Header.Get("X-Auth-Token")); err != nil {
		return err
	}
	if !may(r) {
		return errForbidden(r.action)
	}
	return nil
}

package keystone_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/database"
	"poise/internal/database/databasetest"
)

// TestTempestCredentials does what tempest does to get users of its own, in its words, and takes them away again.
func TestTempestCredentials(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		c := newCloud(t, db)
		admin := c.admin()
		domains := admin.want(200, "GET", "/v3/domains?name=Default", nil)
		if diff := cmp.Diff([]string{"Default"}, domains.names("domains")); diff != "" {
			t.Fatalf("domains (-want +got):\n%s", diff)
		}
		project := admin.want(201, "POST", "/v3/projects", object{"project": object{
			"name": "tempest-1", "description": "tempest-1-desc", "domain_id": "default",
		}}).text("project", "id")
		user := admin.want(201, "POST", "/v3/users", object{"user": object{
			"name": "tempest-1-project-member", "password": "secret", "domain_id": "default",
			"project_id": project, "email": "tempest@example.com",
		}}).text("user", "id")
		role := admin.want(201, "POST", "/v3/roles", object{"role": object{"name": "tempest-role"}}).text("role", "id")
		grant := "/v3/projects/" + project + "/users/" + user + "/roles"
		admin.want(204, "PUT", grant+"/"+role, nil)
		admin.want(204, "PUT", grant+"/"+role, nil)
		admin.want(204, "HEAD", grant+"/"+role, nil)
		if diff := cmp.Diff([]string{"tempest-role"}, admin.want(200, "GET", grant, nil).names("roles")); diff != "" {
			t.Errorf("roles (-want +got):\n%s", diff)
		}
		c.signedIn("tempest-1-project-member", "secret", "tempest-1").
			want(200, "GET", "/v3/projects/"+project, nil)
		assignments := admin.want(200, "GET", "/v3/role_assignments?user.id="+user+"&project.id="+project, nil)
		want := []any{object{
			"user": object{"id": user}, "role": object{"id": role}, "scope": object{"project": object{"id": project}},
			"links": object{"assignment": c.url + "/identity" + grant + "/" + role},
		}}
		if diff := cmp.Diff(want, assignments.dig("role_assignments")); diff != "" {
			t.Errorf("assignments (-want +got):\n%s", diff)
		}
		admin.want(204, "DELETE", grant+"/"+role, nil)
		admin.want(404, "DELETE", grant+"/"+role, nil)
		admin.want(404, "GET", grant+"/"+role, nil)
		admin.want(204, "DELETE", "/v3/users/"+user, nil)
		admin.want(204, "DELETE", "/v3/projects/"+project, nil)
		admin.want(204, "DELETE", "/v3/roles/"+role, nil)
	})
}

func TestListFilters(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		c := newCloud(t, db)
		admin := c.admin()
		admin.want(201, "POST", "/v3/users", object{"user": object{"name": "off", "enabled": false}})
		admin.want(201, "POST", "/v3/projects", object{"project": object{"name": "Ünï cødé", "enabled": false}})
		tests := map[string]struct {
			path, key string
			want      []string
		}{
			"users":                 {"/v3/users", "users", []string{"admin", "demo", "off"}},
			"users by name":         {"/v3/users?name=demo", "users", []string{"demo"}},
			"users by domain":       {"/v3/users?domain_id=default", "users", []string{"admin", "demo", "off"}},
			"users of no domain":    {"/v3/users?domain_id=none", "users", []string{}},
			"enabled users":         {"/v3/users?enabled=True", "users", []string{"admin", "demo"}},
			"disabled users":        {"/v3/users?enabled=false", "users", []string{"off"}},
			"unknown filter":        {"/v3/users?colour=red", "users", []string{"admin", "demo", "off"}},
			"quote":                 {"/v3/users?name=" + url.QueryEscape(`' OR 1=1 --`), "users", []string{}},
			"projects by name":      {"/v3/projects?name=" + url.QueryEscape("Ünï cødé"), "projects", []string{"Ünï cødé"}},
			"disabled projects":     {"/v3/projects?enabled=0", "projects", []string{"Ünï cødé"}},
			"projects of a domain":  {"/v3/projects?parent_id=default&name=demo", "projects", []string{"demo"}},
			"domains as projects":   {"/v3/projects?is_domain=true", "projects", []string{}},
			"domains by name":       {"/v3/domains?name=Default", "domains", []string{"Default"}},
			"roles by name":         {"/v3/roles?name=reader", "roles", []string{"reader"}},
			"roles of a domain":     {"/v3/roles?domain_id=default", "roles", []string{}},
			"groups":                {"/v3/groups", "groups", []string{}},
			"services by type":      {"/v3/services?type=load-balancer", "services", []string{"octavia"}},
			"regions":               {"/v3/regions", "regions", []string{""}},
			"assignments by group":  {"/v3/role_assignments?group.id=x", "role_assignments", []string{}},
			"assignments of system": {"/v3/role_assignments?scope.system=all", "role_assignments", []string{}},
		}
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				if diff := cmp.Diff(test.want, admin.want(200, "GET", test.path, nil).names(test.key)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", test.path, diff)
				}
			})
		}
	})
}

func TestInexactFilters(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		admin := newCloud(t, db).admin()
		for _, name := range []string{"Web shop", "web_farm", "100% web", "farm"} {
			admin.want(201, "POST", "/v3/projects", object{"project": object{"name": name}})
		}
		for query, want := range map[string][]string{
			"name__contains=web":                      {"100% web", "web_farm"},
			"name__icontains=WEB":                     {"100% web", "Web shop", "web_farm"},
			"name__startswith=web":                    {"web_farm"},
			"name__istartswith=wEb":                   {"Web shop", "web_farm"},
			"name__endswith=farm":                     {"farm", "web_farm"},
			"name__iendswith=FARM":                    {"farm", "web_farm"},
			"name__endswith=a+much+longer+farm":       {},
			"name__contains=%25":                      {"100% web"}, // no wildcards
			"name__startswith=web_":                   {"web_farm"},
			"name__startswith=we_":                    {},
			"name__contains=web&name__startswith=100": {"100% web"},
			"name__iequals=FARM":                      {"farm"},
			"name__contains=farm%27--":                {},
		} {
			got := admin.want(200, "GET", "/v3/projects?"+query, nil).names("projects")
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", query, got, want)
			}
		}
		for _, query := range []string{"name__contains=", "name__unknown=x", "colour__contains=x", "name__istartswith="} {
			if got := admin.want(200, "GET", "/v3/projects?"+query, nil).names("projects"); len(got) < 4 {
				t.Errorf("%s: %q, want all", query, got)
			}
		}
		if got := admin.want(200, "GET", "/v3/users?name__icontains=DEM", nil).names("users"); !slices.Equal(got, []string{"demo"}) {
			t.Errorf("users: %q", got)
		}
	})
}

func TestParentThatIsAProject(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		admin := newCloud(t, db).admin()
		parent := admin.want(201, "POST", "/v3/projects", object{"project": object{"name": "above"}}).text("project", "id")
		refused := admin.want(400, "POST", "/v3/projects", object{"project": object{"name": "below", "parent_id": parent}})
		if got := refused.text("error", "message"); !strings.Contains(got, `'parent_id': "above" is a project`) {
			t.Error(got)
		}
		admin.want(404, "POST", "/v3/projects", object{"project": object{"name": "below", "parent_id": "nowhere"}})
	})
}

func TestRefusedRequests(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		c := newCloud(t, db)
		admin := c.admin()
		long := strings.Repeat("é", 256)
		tests := map[string]struct {
			method, path string
			body         any
			status       int
			says         string
		}{
			"project twice":           {"POST", "/v3/projects", object{"project": object{"name": "demo"}}, 409, "same name"},
			"project without name":    {"POST", "/v3/projects", object{"project": object{}}, 400, "'name'"},
			"project with blank name": {"POST", "/v3/projects", object{"project": object{"name": " "}}, 400, "'name'"},
			"project with long name":  {"POST", "/v3/projects", object{"project": object{"name": long[:130]}}, 400, "'name'"},
			"project in no domain":    {"POST", "/v3/projects", object{"project": object{"name": "x", "domain_id": "none"}}, 404, "none"},
			"project in a project":    {"POST", "/v3/projects", object{"project": object{"name": "x", "domain_id": "default", "parent_id": "other"}}, 400, "'parent_id'"},
			"project as domain":       {"POST", "/v3/projects", object{"project": object{"name": "x", "is_domain": true}}, 400, "'is_domain'"},
			"project with tags":       {"POST", "/v3/projects", object{"project": object{"name": "x", "tags": []string{"a"}}}, 400, "'tags'"},
			"project, unknown field":  {"POST", "/v3/projects", object{"project": object{"name": "x", "colour": "red"}}, 400, "'colour'"},
			"project, wrong type":     {"POST", "/v3/projects", object{"project": object{"name": "x", "enabled": "yes"}}, 400, "'project.enabled'"},
			"project with NUL":        {"POST", "/v3/projects", object{"project": object{"name": "a\x00b"}}, 400, "'project.name'"},
			"project not in UTF-8":    {"POST", "/v3/projects", "{\"project\": {\"name\": \"x\", \"description\": \"\xc3\"}}", 400, "'project.description'"},
			"project, no object":      {"POST", "/v3/projects", `{}`, 400, "'project'"},
			"project, no JSON":        {"POST", "/v3/projects", `{"project":`, 400, "JSON"},
			"project, large":          {"POST", "/v3/projects", `{"project":"` + strings.Repeat("x", 120_000) + `"}`, 413, "large"},
			"user twice":              {"POST", "/v3/users", object{"user": object{"name": "demo"}}, 409, "demo"},
			"user with long name":     {"POST", "/v3/users", object{"user": object{"name": long}}, 400, "'name'"},
			"user, empty password":    {"POST", "/v3/users", object{"user": object{"name": "x", "password": ""}}, 400, "'password'"},
			"user in no domain":       {"POST", "/v3/users", object{"user": object{"name": "x", "domain_id": "none"}}, 404, "none"},
			"role twice":              {"POST", "/v3/roles", object{"role": object{"name": "admin"}}, 409, "admin"},
			"role of a domain":        {"POST", "/v3/roles", object{"role": object{"name": "x", "domain_id": "default"}}, 400, "'domain_id'"},
			"domain twice":            {"POST", "/v3/domains", object{"domain": object{"name": "Default"}}, 409, "Default"},
			"default domain deleted":  {"DELETE", "/v3/domains/default", nil, 403, "default domain"},
			"unknown project":         {"GET", "/v3/projects/none", nil, 404, "none"},
			"unknown user":            {"PATCH", "/v3/users/none", object{"user": object{}}, 404, "none"},
			"unknown role":            {"DELETE", "/v3/roles/none", nil, 404, "none"},
			"unknown domain":          {"GET", "/v3/domains/none", nil, 404, "none"},
			"unknown service":         {"GET", "/v3/services/none", nil, 404, "none"},
			"unknown endpoint":        {"GET", "/v3/endpoints/none", nil, 404, "none"},
			"unknown region":          {"GET", "/v3/regions/none", nil, 404, "none"},
			"grant to nobody":         {"PUT", "/v3/domains/default/users/none/roles/none", nil, 404, "none"},
			"unknown path":            {"GET", "/v3/trusts", nil, 404, "resource"},
			"unknown method":          {"PUT", "/v3/users", nil, 405, "method"},
			"bad text in the path":    {"GET", "/v3/users/%00", nil, 404, "resource"},
			"bad text in the query":   {"GET", "/v3/users?name=%ff", nil, 400, "text"},
		}
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				answer := admin.want(test.status, test.method, test.path, test.body)
				if message := answer.text("error", "message"); !strings.Contains(message, test.says) {
					t.Errorf("%q does not say %q", message, test.says)
				}
			})
		}
	})
}

// TestWhoMayWhat goes through the whole API as somebody with a role on one project and as nobody.
func TestWhoMayWhat(t *testing.T) {
	c := newCloud(t, databasetest.SQLite(t))
	admin, demo := c.admin(), c.demo()
	self := demo.want(200, "GET", "/v3/auth/tokens", nil, "X-Subject-Token", demo.token)
	me, mine := self.text("token", "user", "id"), self.text("token", "project", "id")
	other := admin.want(200, "GET", "/v3/auth/tokens", nil, "X-Subject-Token", admin.token)
	they, theirs := other.text("token", "user", "id"), other.text("token", "project", "id")
	role := object{"role": object{"name": "x"}}
	tests := []struct {
		method, path string
		body         any
		status       int // for demo; without a token it is 401
	}{
		{"GET", "/v3/users/" + me, nil, 200},
		{"GET", "/v3/users/" + they, nil, 403},
		{"GET", "/v3/users/none", nil, 403},
		{"GET", "/v3/users", nil, 403},
		{"POST", "/v3/users", object{"user": object{"name": "x"}}, 403},
		{"PATCH", "/v3/users/" + me, object{"user": object{"name": "x"}}, 403},
		{"DELETE", "/v3/users/" + me, nil, 403},
		{"GET", "/v3/users/" + me + "/projects", nil, 200},
		{"GET", "/v3/users/" + they + "/projects", nil, 403},
		{"GET", "/v3/users/" + me + "/application_credentials", nil, 200},
		{"GET", "/v3/users/" + they + "/application_credentials", nil, 403},
		{"POST", "/v3/users/" + they + "/application_credentials", object{"application_credential": object{"name": "x"}}, 403},
		{"GET", "/v3/projects/" + mine, nil, 200},
		{"GET", "/v3/projects/" + theirs, nil, 403},
		{"GET", "/v3/projects/none", nil, 403},
		{"GET", "/v3/projects", nil, 403},
		{"POST", "/v3/projects", object{"project": object{"name": "x"}}, 403},
		{"PATCH", "/v3/projects/" + mine, object{"project": object{"name": "x"}}, 403},
		{"DELETE", "/v3/projects/" + mine, nil, 403},
		{"GET", "/v3/domains/default", nil, 200},
		{"GET", "/v3/domains", nil, 403},
		{"POST", "/v3/domains", object{"domain": object{"name": "x"}}, 403},
		{"GET", "/v3/roles", nil, 403},
		{"POST", "/v3/roles", role, 403},
		{"GET", "/v3/role_assignments", nil, 403},
		{"GET", "/v3/role_inferences", nil, 403},
		{"PUT", "/v3/projects/" + theirs + "/users/" + me + "/roles/x", nil, 403},
		{"PUT", "/v3/domains/default/users/" + me + "/roles/x", nil, 403},
		{"GET", "/v3/services", nil, 403},
		{"GET", "/v3/endpoints", nil, 403},
		{"GET", "/v3/regions", nil, 200},
		{"GET", "/v3/auth/catalog", nil, 200},
		{"GET", "/v3/auth/projects", nil, 200},
		{"GET", "/v3/auth/domains", nil, 200},
	}
	for _, test := range tests {
		t.Run(test.method+" "+anID.ReplaceAllString(test.path, "id"), func(t *testing.T) {
			answer := demo.want(test.status, test.method, test.path, test.body)
			if test.status == 403 && answer.text("error", "title") != "Forbidden" {
				t.Errorf("fault %v", answer.body)
			}
			c.want(401, test.method, test.path, test.body)
		})
	}
}

func TestChangePassword(t *testing.T) {
	c := newCloud(t, databasetest.SQLite(t))
	demo := c.demo()
	id := demo.want(200, "GET", "/v3/auth/tokens", nil, "X-Subject-Token", demo.token).text("token", "user", "id")
	change := func(from, to string) object {
		return object{"user": object{"original_password": from, "password": to}}
	}
	path := "/v3/users/" + id + "/password"
	demo.want(401, "POST", path, change("wrong", "fresh"))
	demo.want(400, "POST", path, change(demoPassword, ""))
	c.want(401, "POST", "/v3/users/none/password", change(demoPassword, "fresh"))
	demo.want(200, "GET", "/v3/users/"+id, nil) // none of these did anything
	c.want(204, "POST", path, change(demoPassword, "fresh"))
	c.want(401, "POST", "/v3/auth/tokens", passwordAuth("demo", demoPassword, nil))
	c.signedIn("demo", "fresh", "demo")
}

func TestApplicationCredentials(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		c := newCloud(t, db)
		admin, demo := c.admin(), c.demo()
		self := demo.want(200, "GET", "/v3/auth/tokens", nil, "X-Subject-Token", demo.token)
		path := "/v3/users/" + self.text("token", "user", "id") + "/application_credentials"
		create := func(status int, given object) reply {
			t.Helper()
			return demo.want(status, "POST", path, object{"application_credential": given})
		}
		create(400, object{})
		create(400, object{"name": "x", "roles": []object{{"name": "admin"}}})
		create(400, object{"name": "x", "expires_at": "2001-01-01T00:00:00.000000"})
		create(400, object{"name": "x", "expires_at": "tomorrow"})
		create(400, object{"name": "x", "access_rules": []object{{"service": "load-balancer"}}})
		create(400, object{"name": "x", "project_id": "another"})
		made := create(201, object{"name": "ci", "roles": []object{{"name": "reader"}}, "expires_at": "2999-12-31T23:59:59.000000"})
		create(409, object{"name": "ci"})
		id, secret := made.text("application_credential", "id"), made.text("application_credential", "secret")
		shown := demo.want(200, "GET", path+"/"+id, nil)
		if shown.dig("application_credential", "secret") != nil {
			t.Error("the secret is shown a second time")
		}
		if got := shown.text("application_credential", "expires_at"); got != "2999-12-31T23:59:59.000000" {
			t.Errorf("expires_at %q", got)
		}

		login := func(secret string) object {
			return object{"auth": object{"identity": object{
				"methods": []string{"application_credential"}, "application_credential": object{"id": id, "secret": secret},
			}}}
		}
		c.want(401, "POST", "/v3/auth/tokens", login("wrong"))
		answer := c.want(201, "POST", "/v3/auth/tokens", login(secret))
		if diff := cmp.Diff([]string{"reader"}, reply{body: answer.dig("token").(object)}.names("roles")); diff != "" {
			t.Errorf("roles (-want +got):\n%s", diff)
		}
		robot := c.with(answer.header.Get("X-Subject-Token"))
		robot.want(200, "GET", path, nil)
		robot.want(403, "POST", path, object{"application_credential": object{"name": "successor"}})
		robot.want(403, "DELETE", path+"/"+id, nil)
		robot.want(403, "POST", "/v3/auth/tokens", object{"auth": object{
			"identity": object{"methods": []string{"token"}, "token": object{"id": robot.token}}, "scope": onProject("demo"),
		}})

		other := create(201, object{"name": "other"}).text("application_credential", "id")
		admin.want(204, "DELETE", path+"/"+other, nil)
		demo.want(204, "DELETE", path+"/"+id, nil)
		robot.want(401, "GET", path, nil)
		c.want(401, "POST", "/v3/auth/tokens", login(secret))
	})
}

func TestApplicationCredentialEndsWithTheRole(t *testing.T) {
	c := newCloud(t, databasetest.SQLite(t))
	admin, demo := c.admin(), c.demo()
	self := demo.want(200, "GET", "/v3/auth/tokens", nil, "X-Subject-Token", demo.token)
	user, project := self.text("token", "user", "id"), self.text("token", "project", "id")
	made := demo.want(201, "POST", "/v3/users/"+user+"/application_credentials", object{
		"application_credential": object{"name": "ci", "secret": "hush"},
	})
	login := object{"auth": object{"identity": object{
		"methods": []string{"application_credential"},
		"application_credential": object{
			"name": "ci", "secret": "hush", "user": object{"name": "demo", "domain": object{"name": "Default"}},
		},
	}}}
	robot := c.with(c.want(201, "POST", "/v3/auth/tokens", login).header.Get("X-Subject-Token"))
	role := made.dig("application_credential", "roles").([]any)
	for _, r := range role {
		if r.(object)["name"] == "member" {
			admin.want(204, "DELETE", "/v3/projects/"+project+"/users/"+user+"/roles/"+r.(object)["id"].(string), nil)
		}
	}
	robot.want(401, "GET", "/v3/users/"+user, nil)
	c.want(401, "POST", "/v3/auth/tokens", login)
}

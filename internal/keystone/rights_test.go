package keystone_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/database"
	"poise/internal/database/databasetest"
	"poise/internal/keystone"
)

// TestOwnerIsNotLockedOut has many sources guess a password. Where the owner has signed in before,
// and with a browser that has, it works; elsewhere the owner is told to wait. A restart forgets
// none of it.
func TestOwnerIsNotLockedOut(t *testing.T) {
	const home, elsewhere = "203.0.113.1", "203.0.113.2"
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		c := newCloud(t, db)
		signIn := func(c *cloud, password, from string, headers ...string) reply {
			return c.call("POST", "/v3/auth/tokens", passwordAuth("demo", password, nil), append(headers, "X-Forwarded-For", from)...)
		}
		browser := signIn(c, demoPassword, home, keystone.BrowserHeader, "new").header.Get(keystone.BrowserHeader)
		guesses := 0
		for i := range 40 {
			if signIn(c, "wrong", fmt.Sprintf("198.51.100.%d", i)).status == 401 {
				guesses++
			}
		}
		if guesses == 0 || guesses >= 20 {
			t.Errorf("%d guesses", guesses)
		}
		c = newCloud(t, db) // a restart, after which the attack goes on
		for i := range 20 {
			signIn(c, "wrong", fmt.Sprintf("198.51.100.%d", i))
		}
		if got := signIn(c, demoPassword, elsewhere); got.status != 429 || got.header.Get("Retry-After") == "" {
			t.Errorf("elsewhere: %d, Retry-After %q", got.status, got.header.Get("Retry-After"))
		}
		for range 30 {
			if got := signIn(c, demoPassword, home); got.status != 201 {
				t.Fatalf("at home: %d %v", got.status, got.body)
			}
		}
		if got := signIn(c, demoPassword, elsewhere, keystone.BrowserHeader, browser); got.status != 201 {
			t.Errorf("with the browser: %d", got.status)
		}
		if got := signIn(c, demoPassword, elsewhere); got.status != 201 {
			t.Errorf("elsewhere, now that it is known: %d", got.status)
		}
	})
}

// TestAttackFromOneSource lets the owner in from elsewhere.
func TestAttackFromOneSource(t *testing.T) {
	c := newCloud(t, databasetest.SQLite(t))
	for range 12 {
		c.call("POST", "/v3/auth/tokens", passwordAuth("demo", "wrong", nil), "X-Forwarded-For", "198.51.100.1")
	}
	c.want(429, "POST", "/v3/auth/tokens", passwordAuth("demo", "wrong", nil), "X-Forwarded-For", "198.51.100.1")
	c.want(201, "POST", "/v3/auth/tokens", passwordAuth("demo", demoPassword, nil), "X-Forwarded-For", "203.0.113.1")
}

// TestAttackFromTheOwnersSource has somebody guess who shares the owner's address. The owner's
// password is told when to come back from there; the owner's browser and application credential are
// let in.
func TestAttackFromTheOwnersSource(t *testing.T) {
	const shared = "198.51.100.1"
	c := newCloud(t, databasetest.SQLite(t))
	signIn := func(body object, headers ...string) reply {
		return c.call("POST", "/v3/auth/tokens", body, append(headers, "X-Forwarded-For", shared)...)
	}
	first := signIn(passwordAuth("demo", demoPassword, onProject("demo")), keystone.BrowserHeader, "new")
	demo := c.with(first.header.Get("X-Subject-Token"))
	made := demo.want(201, "POST", "/v3/users/"+first.text("token", "user", "id")+"/application_credentials", object{
		"application_credential": object{"name": "command line"},
	})
	automated := object{"auth": object{"identity": object{
		"methods": []string{"application_credential"},
		"application_credential": object{
			"id": made.text("application_credential", "id"), "secret": made.text("application_credential", "secret"),
		},
	}}}
	for i := range 60 {
		signIn(passwordAuth("demo", "wrong", nil))
		signIn(passwordAuth(fmt.Sprint("stranger", i), "wrong", nil))
		wrong := object{"auth": object{"identity": object{
			"methods": []string{"application_credential"}, "application_credential": object{"id": fmt.Sprint(i), "secret": "wrong"},
		}}}
		signIn(wrong)
	}
	if got := signIn(passwordAuth("demo", demoPassword, nil)); got.status != 429 || got.header.Get("Retry-After") == "" {
		t.Errorf("with the password: %d, Retry-After %q", got.status, got.header.Get("Retry-After"))
	}
	if got := signIn(passwordAuth("demo", demoPassword, nil), keystone.BrowserHeader, first.header.Get(keystone.BrowserHeader)); got.status != 201 {
		t.Errorf("with the browser: %d", got.status)
	}
	if got := signIn(automated); got.status != 201 {
		t.Errorf("with the application credential: %d %v", got.status, got.body)
	}
}

// TestWhereAdminCounts gives a user the role admin on a project and a domain of others. Only with
// the old setting does that make an administrator of the cloud.
func TestWhereAdminCounts(t *testing.T) {
	for _, anywhere := range []bool{false, true} {
		t.Run(fmt.Sprint(anywhere), func(t *testing.T) {
			c := newCloudWith(t, databasetest.SQLite(t), func(config *keystone.Config) { config.AdminAnywhere = anywhere })
			admin := c.admin()
			admin.want(200, "GET", "/v3/users", nil)
			demo := c.demo().want(200, "GET", "/v3/auth/tokens", nil, "X-Subject-Token", c.demo().token)
			user, project := demo.text("token", "user", "id"), demo.text("token", "project", "id")
			role := admin.want(200, "GET", "/v3/roles?name=admin", nil).dig("roles").([]any)[0].(object)["id"].(string)
			admin.want(204, "PUT", "/v3/projects/"+project+"/users/"+user+"/roles/"+role, nil)
			admin.want(204, "PUT", "/v3/domains/default/users/"+user+"/roles/"+role, nil)
			domain := c.want(201, "POST", "/v3/auth/tokens", passwordAuth("demo", demoPassword, object{"domain": object{"id": "default"}}))
			for name, token := range map[string]string{
				"project": c.demo().token, "domain": domain.header.Get("X-Subject-Token"),
			} {
				caller, err := c.service.Verify(t.Context(), token)
				if err != nil || caller.IsAdmin() != anywhere || !caller.HasRole("member") {
					t.Errorf("%s: administrator %v, roles %v %v", name, caller.IsAdmin(), caller.Roles, err)
				}
				want := map[bool]int{true: 200, false: 403}[anywhere]
				c.with(token).want(want, "GET", "/v3/domains", nil)
				c.with(token).want(want, "GET", "/v3/services", nil)
			}
		})
	}
}

// TestManager has a domain look after itself, and nothing else.
func TestManager(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		c := newCloud(t, db)
		admin := c.admin()
		id := func(r reply, kind string) string { return r.text(kind, "id") }
		role := func(name string) string {
			return admin.want(200, "GET", "/v3/roles?name="+name, nil).dig("roles").([]any)[0].(object)["id"].(string)
		}
		domain := id(admin.want(201, "POST", "/v3/domains", object{"domain": object{"name": "d"}}), "domain")
		boss := id(admin.want(201, "POST", "/v3/users", object{"user": object{"name": "boss", "domain_id": domain, "password": "secret"}}), "user")
		admin.want(204, "PUT", "/v3/domains/"+domain+"/users/"+boss+"/roles/"+role("manager"), nil)
		auth := object{"auth": object{"identity": object{"methods": []string{"password"}, "password": object{
			"user": object{"id": boss, "password": "secret"},
		}}, "scope": object{"domain": object{"id": domain}}}}
		m := c.with(c.want(201, "POST", "/v3/auth/tokens", auth).header.Get("X-Subject-Token"))

		project := id(m.want(201, "POST", "/v3/projects", object{"project": object{"name": "p"}}), "project")
		user := id(m.want(201, "POST", "/v3/users", object{"user": object{"name": "u", "password": "x"}}), "user")
		m.want(204, "PUT", "/v3/projects/"+project+"/users/"+user+"/roles/"+role("member"), nil)
		m.want(200, "PATCH", "/v3/users/"+user, object{"user": object{"password": "y"}})
		m.want(200, "GET", "/v3/users/"+user, nil)
		m.want(200, "GET", "/v3/projects/"+project, nil)
		if diff := cmp.Diff([]string{"boss", "u"}, m.want(200, "GET", "/v3/users", nil).names("users")); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"p"}, m.want(200, "GET", "/v3/projects", nil).names("projects")); diff != "" {
			t.Error(diff)
		}

		foreign := admin.want(200, "GET", "/v3/users?name=demo", nil).dig("users").([]any)[0].(object)["id"].(string)
		theirs := admin.want(200, "GET", "/v3/projects?name=demo", nil).dig("projects").([]any)[0].(object)["id"].(string)
		m.want(403, "PUT", "/v3/projects/"+project+"/users/"+user+"/roles/"+role("admin"), nil)
		m.want(403, "PUT", "/v3/projects/"+project+"/users/"+user+"/roles/"+role("load-balancer_admin"), nil)
		m.want(403, "PUT", "/v3/projects/"+theirs+"/users/"+user+"/roles/"+role("member"), nil)
		m.want(403, "PUT", "/v3/projects/"+project+"/users/"+foreign+"/roles/"+role("member"), nil)
		m.want(403, "PATCH", "/v3/users/"+foreign, object{"user": object{"password": "y"}})
		m.want(403, "GET", "/v3/users/"+foreign, nil)
		m.want(403, "DELETE", "/v3/projects/"+theirs, nil)
		m.want(403, "POST", "/v3/users", object{"user": object{"name": "v", "domain_id": "default", "password": "x"}})
		m.want(403, "POST", "/v3/projects", object{"project": object{"name": "q", "domain_id": "default"}})
		m.want(403, "POST", "/v3/roles", object{"role": object{"name": "mine"}})
		m.want(403, "GET", "/v3/role_assignments", nil)

		// Who manages the domain of the administrators is not one of them.
		admin.want(204, "PUT", "/v3/domains/default/users/"+foreign+"/roles/"+role("manager"), nil)
		root := admin.want(200, "GET", "/v3/users?name=admin", nil).dig("users").([]any)[0].(object)["id"].(string)
		adminProject := admin.want(200, "GET", "/v3/projects?name=admin", nil).dig("projects").([]any)[0].(object)["id"].(string)
		over := c.want(201, "POST", "/v3/auth/tokens", passwordAuth("demo", demoPassword, object{"domain": object{"id": "default"}}))
		d := c.with(over.header.Get("X-Subject-Token"))
		d.want(403, "PATCH", "/v3/users/"+root, object{"user": object{"password": "mine"}})
		d.want(403, "PUT", "/v3/projects/"+adminProject+"/users/"+foreign+"/roles/"+role("member"), nil)
		d.want(403, "PATCH", "/v3/projects/"+adminProject, object{"project": object{"enabled": false}})

		m.want(204, "DELETE", "/v3/users/"+user, nil)
		m.want(204, "DELETE", "/v3/projects/"+project, nil)
	})
}

package keystone_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/database"
	"poise/internal/database/databasetest"
	"poise/internal/keystone"
	"poise/internal/rest"
)

func TestPasswordLogin(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		c := newCloud(t, db)
		answer := c.want(201, "POST", "/v3/auth/tokens", passwordAuth("demo", demoPassword, onProject("demo")))
		token := answer.header.Get("X-Subject-Token")
		if len(token) != 43 {
			t.Errorf("token %q is not 32 bytes", token)
		}
		caller, err := c.service.Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		want := rest.Caller{
			UserID: answer.text("token", "user", "id"), UserName: "demo", DomainID: "default",
			ProjectID: answer.text("token", "project", "id"), ProjectName: "demo", Roles: []string{"member", "reader"},
		}
		if diff := cmp.Diff(want, caller); diff != "" {
			t.Errorf("caller (-want +got):\n%s", diff)
		}
		shown := c.with(token).want(200, "GET", "/v3/auth/tokens", nil, "X-Subject-Token", token)
		if diff := cmp.Diff(answer.body, shown.body); diff != "" {
			t.Errorf("the token shown differs from the one issued (-issued +shown):\n%s", diff)
		}
	})
}

func TestTokenOnTheWire(t *testing.T) {
	c := newCloud(t, databasetest.SQLite(t))
	answer := c.want(201, "POST", "/v3/auth/tokens", passwordAuth("admin", adminPassword, onProject("admin")))
	answer.dig("token").(object)["audit_ids"] = []any{"<audit>"}
	text, err := json.MarshalIndent(answer.body, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	endpoints := func(path string) []any {
		var all []any
		for _, side := range []string{"public", "internal", "admin"} {
			all = append(all, object{
				"id": "<id>", "interface": side, "region": "RegionOne", "region_id": "RegionOne", "url": "<address>" + path,
			})
		}
		return all
	}
	want := object{"token": object{
		"methods":    []any{"password"},
		"user":       object{"id": "<id>", "name": "admin", "domain": object{"id": "default", "name": "Default"}, "password_expires_at": nil},
		"project":    object{"id": "<id>", "name": "admin", "domain": object{"id": "default", "name": "Default"}},
		"is_domain":  false,
		"roles":      []any{object{"id": "<id>", "name": "admin"}, object{"id": "<id>", "name": "manager"}, object{"id": "<id>", "name": "member"}, object{"id": "<id>", "name": "reader"}},
		"audit_ids":  []any{"<audit>"},
		"issued_at":  "<time>",
		"expires_at": "<time>",
		"catalog": []any{
			object{"id": "<id>", "type": "identity", "name": "keystone", "endpoints": endpoints("/identity")},
			object{"id": "<id>", "type": "load-balancer", "name": "octavia", "endpoints": endpoints("/load-balancer")},
		},
	}}
	var got object
	if err := json.Unmarshal([]byte(anonymous(string(text))), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("token (-want +got):\n%s", diff)
	}
}

func TestLoginScopes(t *testing.T) {
	c := newCloud(t, databasetest.SQLite(t))
	admin := c.admin()
	member := admin.want(200, "GET", "/v3/roles?name=member", nil).dig("roles").([]any)[0].(object)["id"].(string)
	demo := admin.want(200, "GET", "/v3/users?name=demo", nil).dig("users").([]any)[0].(object)["id"].(string)
	admin.want(204, "PUT", "/v3/domains/default/users/"+demo+"/roles/"+member, nil)
	project := c.demo().want(200, "GET", "/v3/auth/projects", nil).dig("projects").([]any)[0].(object)["id"].(string)

	tests := map[string]struct {
		scope           any
		status          int
		project, domain string
	}{
		"project by name":          {onProject("demo"), 201, "demo", ""},
		"project by id":            {object{"project": object{"id": project}}, 201, "demo", ""},
		"domain by id":             {object{"domain": object{"id": "default"}}, 201, "", "Default"},
		"domain by name":           {object{"domain": object{"name": "Default"}}, 201, "", "Default"},
		"the default project":      {nil, 201, "demo", ""},
		"unscoped":                 {"unscoped", 201, "", ""},
		"project without a role":   {onProject("admin"), 401, "", ""},
		"unknown project":          {onProject("nowhere"), 401, "", ""},
		"unknown domain":           {object{"domain": object{"id": "nowhere"}}, 401, "", ""},
		"project without a domain": {object{"project": object{"name": "demo"}}, 400, "", ""},
		"project and domain":       {object{"project": object{"id": project}, "domain": object{"id": "default"}}, 400, "", ""},
		"system":                   {object{"system": object{"all": true}}, 401, "", ""},
		"system null":              {object{"system": nil, "project": object{"id": project}}, 201, "demo", ""},
		"system and project":       {object{"system": object{"all": true}, "project": object{"id": project}}, 400, "", ""},
		"system and domain":        {object{"system": object{"all": true}, "domain": object{"id": "default"}}, 400, "", ""},
		"nothing":                  {object{}, 400, "", ""},
		"another word":             {"scoped", 400, "", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			answer := c.want(test.status, "POST", "/v3/auth/tokens", passwordAuth("demo", demoPassword, test.scope))
			if got := answer.text("token", "project", "name"); got != test.project {
				t.Errorf("project %q, want %q", got, test.project)
			}
			if got := answer.text("token", "domain", "name"); got != test.domain {
				t.Errorf("domain %q, want %q", got, test.domain)
			}
			if name == "system" && !strings.Contains(fmt.Sprint(answer.body), "has no role on the system") {
				t.Errorf("it says %v", answer.body)
			}
			scoped := test.project != "" || test.domain != ""
			if hasCatalog := answer.dig("token", "catalog") != nil; test.status == 201 && hasCatalog != scoped {
				t.Errorf("has a catalogue: %v", hasCatalog)
			}
		})
	}
}

func TestLoginRefusals(t *testing.T) {
	c := newCloud(t, databasetest.SQLite(t))
	identity := func(method string, claim any) object {
		return object{"auth": object{"identity": object{"methods": []string{method}, method: claim}}}
	}
	user := func(claim object) object { return identity("password", object{"user": claim}) }
	tests := map[string]struct {
		body   any
		status int
	}{
		"wrong password":       {passwordAuth("demo", "wrong", nil), 401},
		"unknown user":         {passwordAuth("nobody", "wrong", nil), 401},
		"unknown user id":      {user(object{"id": "nobody", "password": "x"}), 401},
		"unknown domain":       {user(object{"name": "demo", "domain": object{"id": "none"}, "password": demoPassword}), 401},
		"unknown token":        {identity("token", object{"id": "made-up"}), 401},
		"unknown credential":   {identity("application_credential", object{"id": "none", "secret": "x"}), 401},
		"unknown method":       {object{"auth": object{"identity": object{"methods": []string{"saml2"}}}}, 401},
		"no domain":            {user(object{"name": "demo", "password": demoPassword}), 400},
		"no user":              {user(object{"password": demoPassword}), 400},
		"no methods":           {object{"auth": object{"identity": object{"methods": []string{}}}}, 400},
		"method without claim": {object{"auth": object{"identity": object{"methods": []string{"password"}}}}, 400},
		"unknown field":        {user(object{"id": "x", "passwort": "x"}), 400},
		"unknown scope":        {passwordAuth("demo", demoPassword, object{"trust": object{"id": "x"}}), 400},
		"wrong type":           {user(object{"id": 7, "password": "x"}), 400},
		"no auth":              {object{}, 400},
		"no JSON":              {"auth", 400},
		"no body":              {nil, 400},
		"NUL":                  {user(object{"id": "a\x00b", "password": "x"}), 400},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			answer := c.want(test.status, "POST", "/v3/auth/tokens", test.body)
			if code, _ := answer.dig("error", "code").(float64); int(code) != test.status || answer.text("error", "message") == "" {
				t.Errorf("fault %v", answer.body)
			}
			if asks := answer.header.Get("WWW-Authenticate") != ""; asks != (test.status == 401) {
				t.Errorf("WWW-Authenticate: %q", answer.header.Get("WWW-Authenticate"))
			}
		})
	}
}

func TestUnknownUserAndWrongPasswordLookTheSame(t *testing.T) {
	c := newCloud(t, databasetest.SQLite(t))
	for range 12 { // to the point at which both are told to wait
		wrong := c.call("POST", "/v3/auth/tokens", passwordAuth("demo", "wrong", nil))
		unknown := c.call("POST", "/v3/auth/tokens", passwordAuth("nobody", "wrong", nil))
		if diff := cmp.Diff(wrong.body, unknown.body); diff != "" {
			t.Fatalf("(-wrong +unknown):\n%s", diff)
		}
	}
}

func TestTooManyFailedLogins(t *testing.T) {
	c := newCloud(t, databasetest.SQLite(t))
	admin := c.admin()
	for range 4 {
		c.want(401, "POST", "/v3/auth/tokens", passwordAuth("demo", "wrong", nil))
	}
	answer := c.want(429, "POST", "/v3/auth/tokens", passwordAuth("demo", demoPassword, nil))
	if answer.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	c.want(201, "POST", "/v3/auth/tokens", passwordAuth("admin", adminPassword, nil)) // others are not concerned
	admin.want(200, "GET", "/v3/users", nil)
}

func TestTokenExchange(t *testing.T) {
	c := newCloud(t, databasetest.SQLite(t))
	first := c.want(201, "POST", "/v3/auth/tokens", passwordAuth("demo", demoPassword, "unscoped"))
	exchange := object{"auth": object{
		"identity": object{"methods": []string{"token"}, "token": object{"id": first.header.Get("X-Subject-Token")}},
		"scope":    onProject("demo"),
	}}
	second := c.want(201, "POST", "/v3/auth/tokens", exchange)
	if diff := cmp.Diff(first.text("token", "expires_at"), second.text("token", "expires_at")); diff != "" {
		t.Errorf("the new token ends at another time (-first +second):\n%s", diff)
	}
	if diff := cmp.Diff([]any{"token", "password"}, second.dig("token", "methods")); diff != "" {
		t.Errorf("methods (-want +got):\n%s", diff)
	}
	chain, _ := second.dig("token", "audit_ids").([]any)
	if len(chain) != 2 || chain[1] != first.dig("token", "audit_ids").([]any)[0] {
		t.Errorf("audit ids %v do not lead back to %v", chain, first.dig("token", "audit_ids"))
	}
}

func TestTokenValidation(t *testing.T) {
	c := newCloud(t, databasetest.SQLite(t))
	admin, demo := c.admin(), c.demo()
	admin.want(200, "GET", "/v3/auth/tokens", nil, "X-Subject-Token", demo.token)
	admin.want(200, "HEAD", "/v3/auth/tokens", nil, "X-Subject-Token", demo.token)
	demo.want(200, "GET", "/v3/auth/tokens", nil, "X-Subject-Token", demo.token)
	demo.want(403, "GET", "/v3/auth/tokens", nil, "X-Subject-Token", admin.token)
	admin.want(404, "GET", "/v3/auth/tokens", nil, "X-Subject-Token", "made-up")
	admin.want(404, "GET", "/v3/auth/tokens", nil)
	c.want(401, "GET", "/v3/auth/tokens", nil, "X-Subject-Token", demo.token)
	short := demo.want(200, "GET", "/v3/auth/tokens?nocatalog", nil, "X-Subject-Token", demo.token)
	if short.dig("token", "catalog") != nil {
		t.Error("nocatalog has a catalogue")
	}
}

// TestTokensDie takes away, in each of the ways, what a token stands for.
func TestTokensDie(t *testing.T) {
	tests := map[string]func(admin, victim *cloud, user, project, role string){
		"token revoked": func(_, victim *cloud, _, _, _ string) {
			victim.want(204, "DELETE", "/v3/auth/tokens", nil, "X-Subject-Token", victim.token)
		},
		"token revoked by the administrator": func(admin, victim *cloud, _, _, _ string) {
			admin.want(204, "DELETE", "/v3/auth/tokens", nil, "X-Subject-Token", victim.token)
		},
		"user deleted": func(admin, _ *cloud, user, _, _ string) {
			admin.want(204, "DELETE", "/v3/users/"+user, nil)
		},
		"user disabled": func(admin, _ *cloud, user, _, _ string) {
			admin.want(200, "PATCH", "/v3/users/"+user, object{"user": object{"enabled": false}})
		},
		"user disabled and enabled": func(admin, _ *cloud, user, _, _ string) {
			admin.want(200, "PATCH", "/v3/users/"+user, object{"user": object{"enabled": false}})
			admin.want(200, "PATCH", "/v3/users/"+user, object{"user": object{"enabled": true}})
		},
		"password changed": func(_, victim *cloud, user, _, _ string) {
			victim.want(204, "POST", "/v3/users/"+user+"/password",
				object{"user": object{"original_password": demoPassword, "password": "fresh"}})
		},
		"password set": func(admin, _ *cloud, user, _, _ string) {
			admin.want(200, "PATCH", "/v3/users/"+user, object{"user": object{"password": "fresh"}})
		},
		"project deleted": func(admin, _ *cloud, _, project, _ string) {
			admin.want(204, "DELETE", "/v3/projects/"+project, nil)
		},
		"project disabled": func(admin, _ *cloud, _, project, _ string) {
			admin.want(200, "PATCH", "/v3/projects/"+project, object{"project": object{"enabled": false}})
		},
		"role removed": func(admin, _ *cloud, user, project, role string) {
			admin.want(204, "DELETE", "/v3/projects/"+project+"/users/"+user+"/roles/"+role, nil)
		},
		"role deleted": func(admin, _ *cloud, _, _, role string) {
			admin.want(204, "DELETE", "/v3/roles/"+role, nil)
		},
	}
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		admin := newCloud(t, db).admin()
		for name, kill := range tests {
			t.Run(name, func(t *testing.T) {
				project := admin.want(201, "POST", "/v3/projects", object{"project": object{"name": name}}).text("project", "id")
				body := object{"user": object{"name": name, "password": demoPassword}}
				user := admin.want(201, "POST", "/v3/users", body).text("user", "id")
				role := admin.want(201, "POST", "/v3/roles", object{"role": object{"name": name}}).text("role", "id")
				admin.want(204, "PUT", "/v3/projects/"+project+"/users/"+user+"/roles/"+role, nil)
				victim := admin.signedIn(name, demoPassword, name)
				victim.want(200, "GET", "/v3/auth/projects", nil)
				kill(admin, victim, user, project, role)
				if _, err := admin.service.Verify(t.Context(), victim.token); !errors.Is(err, rest.ErrUnauthenticated) {
					t.Errorf("the token is good for %v", err)
				}
				victim.want(401, "GET", "/v3/auth/projects", nil)
			})
		}
	})
}

func TestDisabledDomain(t *testing.T) {
	c := newCloud(t, databasetest.SQLite(t))
	admin := c.admin()
	domain := admin.want(201, "POST", "/v3/domains", object{"domain": object{"name": "research"}}).text("domain", "id")
	body := object{"user": object{"name": "eve", "password": "secret", "domain_id": domain}}
	user := admin.want(201, "POST", "/v3/users", body).text("user", "id")
	login := object{"auth": object{"identity": object{
		"methods":  []string{"password"},
		"password": object{"user": object{"name": "eve", "domain": object{"name": "research"}, "password": "secret"}},
	}}}
	eve := c.with(c.want(201, "POST", "/v3/auth/tokens", login).header.Get("X-Subject-Token"))
	eve.want(200, "GET", "/v3/users/"+user, nil)
	eve.want(200, "GET", "/v3/domains/"+domain, nil)
	eve.want(403, "GET", "/v3/domains/default", nil)
	admin.want(200, "PATCH", "/v3/domains/"+domain, object{"domain": object{"enabled": false}})
	eve.want(401, "GET", "/v3/users/"+user, nil)
	c.want(401, "POST", "/v3/auth/tokens", login)
	admin.want(204, "DELETE", "/v3/domains/"+domain, nil)
	admin.want(404, "GET", "/v3/users/"+user, nil)
}

func TestBootstrapKeepsWhatIsThere(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		c := newCloud(t, db)
		made, err := c.service.Bootstrap(t.Context(), keystone.Accounts("other", "other"))
		if err != nil || len(made) != 0 {
			t.Errorf("created %v: %v", made, err)
		}
		admin := c.admin()
		user := c.demo().want(200, "GET", "/v3/auth/tokens", nil, "X-Subject-Token", c.demo().token).text("token", "user", "id")
		admin.want(204, "DELETE", "/v3/users/"+user, nil)
		made, err = c.service.Bootstrap(t.Context(), keystone.Accounts("other", "other"))
		if diff := cmp.Diff([]string{"demo"}, made); err != nil || diff != "" {
			t.Errorf("created (-want +got):\n%s%v", diff, err)
		}
		c.signedIn("demo", "other", "demo")
		if err := c.service.SetPassword(t.Context(), "admin", "found again"); err != nil {
			t.Error(err)
		}
		c.signedIn("admin", "found again", "admin")
	})
}

// TestPasswordChangeEndsExchangedTokens lets a thief exchange a stolen token for new ones while its owner changes the
// password: none of what the thief gets may be good afterwards.
func TestPasswordChangeEndsExchangedTokens(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		c := newCloud(t, db)
		demo := c.demo()
		user := demo.want(200, "GET", "/v3/auth/tokens", nil, "X-Subject-Token", demo.token).text("token", "user", "id")
		exchanged := make(chan string, 1)
		loot := make(chan []string)
		go func() {
			defer close(loot)
			defer close(exchanged)
			token, tokens := demo.token, []string{}
			for {
				answer := c.call("POST", "/v3/auth/tokens", object{"auth": object{
					"identity": object{"methods": []string{"token"}, "token": object{"id": token}}, "scope": onProject("demo"),
				}})
				if answer.status != 201 {
					loot <- tokens
					return
				}
				token = answer.header.Get("X-Subject-Token")
				tokens = append(tokens, token)
				select {
				case exchanged <- token:
				default:
				}
			}
		}()
		<-exchanged
		c.want(204, "POST", "/v3/users/"+user+"/password", object{"user": object{
			"original_password": demoPassword, "password": "fresh",
		}})
		for _, token := range <-loot {
			if _, err := c.service.Verify(t.Context(), token); !errors.Is(err, rest.ErrUnauthenticated) {
				t.Fatalf("a stolen token is good for %v", err)
			}
		}
	})
}

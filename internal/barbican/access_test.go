package barbican_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/barbican"
	"poise/internal/database"
	"poise/internal/database/databasetest"
	"poise/internal/rest"
)

// everybody is the people in the order in which the matrix names them.
var everybody = []rest.Caller{alice, anton, olga, rosa, chief, bob, root}

func TestWhoMayDoWhat(t *testing.T) {
	const (
		readOnes = "GET ,GET /payload,GET /metadata,GET /metadata/k,GET /consumers"
		owning   = "GET /acl,PUT /acl,PUT /metadata,PUT "
	)
	tests := map[string]struct {
		acl          any
		read, change string
	}{
		"without a list":       {nil, "alice anton olga chief", "alice anton chief"},
		"private":              {object{"read": object{"project-access": false}}, "alice chief", "alice chief"},
		"shared":               {object{"read": object{"users": []string{"bob"}}}, "alice anton olga chief bob", "alice anton chief"},
		"private, shared":      {object{"read": object{"users": []string{"bob", "rosa"}, "project-access": false}}, "alice rosa chief bob", "alice chief"},
		"shared in project":    {object{"read": object{"users": []string{"anton"}, "project-access": false}}, "alice anton chief", "alice chief"},
		"shared with an admin": {object{"read": object{"users": []string{"root"}}}, "alice anton olga chief root", "alice anton chief"},
	}
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		v := newVault(t, db)
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				v := v.as(alice)
				v.TB = t
				ref := v.store("hush")
				v.want(201, "POST", ref+"/metadata", object{"key": "k", "value": "v"})
				if test.acl != nil {
					v.want(200, "PUT", ref+"/acl", test.acl)
				}
				for _, request := range strings.Split(readOnes, ",") {
					if got := v.allowed(request, ref, nil); got != test.read {
						t.Errorf("%s: %s, want %s", request, got, test.read)
					}
				}
				for _, request := range strings.Split(owning, ",") {
					if got := v.allowed(request, ref, test.acl); got != test.change {
						t.Errorf("%s: %s, want %s", request, got, test.change)
					}
				}
				if got := v.readers(ref); got != test.read {
					t.Errorf("through the door: %s, want %s", got, test.read)
				}
				box := v.contain("generic", "a", ref)
				if test.acl != nil {
					v.want(200, "PUT", box+"/acl", test.acl)
				}
				if got := v.allowed("GET ", box, nil); got != test.read {
					t.Errorf("container: %s, want %s", got, test.read)
				}
				v.wantDeletable(ref, test.change)
				v.wantDeletable(box, test.change)
			})
		}
	})
}

// allowed are the names of those who do not get 403. A request is a method and what follows the reference.
func (v *vault) allowed(request, ref string, body any) string {
	v.Helper()
	method, suffix, _ := strings.Cut(request, " ")
	if body == nil && method == "PUT" {
		body = object{}
	}
	var names []string
	for _, caller := range everybody {
		if v.as(caller).call(method, ref+suffix, body).status != 403 {
			names = append(names, caller.UserID)
		}
	}
	return strings.Join(names, " ")
}

// readers are the names of those who get the payload from Go.
func (v *vault) readers(ref string) string {
	v.Helper()
	var names []string
	for _, caller := range everybody {
		payload, _, err := v.service.Payload(v.Context(), caller, ref)
		if err == nil && string(payload) == "hush" {
			names = append(names, caller.UserID)
		} else if !errors.Is(err, barbican.ErrForbidden) {
			v.Errorf("%s: %q, %v", caller.UserID, payload, err)
		}
	}
	return strings.Join(names, " ")
}

// wantDeletable has those who may not try to delete it, and then one who may.
func (v *vault) wantDeletable(ref, allowed string) {
	v.Helper()
	for _, caller := range everybody {
		if !strings.Contains(allowed, caller.UserID) {
			v.as(caller).want(403, "DELETE", ref, nil)
		}
	}
	v.want(204, "DELETE", ref, nil)
}

func TestWhoMayMakeAndList(t *testing.T) {
	nobody := rest.Caller{UserID: "nobody", Roles: []string{"admin", "member"}} // a token without a project
	v := newVault(t, databasetest.SQLite(t))
	v.store("x")
	for _, test := range []struct {
		caller       rest.Caller
		create, list int
	}{
		{alice, 201, 200},
		{chief, 201, 200},
		{rest.Caller{UserID: "c", ProjectID: "web", Roles: []string{"creator"}}, 201, 200},
		{olga, 403, 200},
		{rosa, 403, 403},
		{nobody, 403, 403},
	} {
		v := v.as(test.caller)
		v.want(test.create, "POST", "/v1/secrets", object{})
		v.want(test.create, "POST", "/v1/containers", object{"type": "generic"})
		v.want(test.list, "GET", "/v1/secrets", nil)
		v.want(test.list, "GET", "/v1/containers", nil)
	}
}

func TestListsShowWhatTheCallerMayRead(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		v := newVault(t, db)
		v.store("x", "name", "open")
		private := v.store("x", "name", "private")
		v.want(200, "PUT", private+"/acl", object{"read": object{"project-access": false}})
		shared := v.store("x", "name", "shared")
		v.want(200, "PUT", shared+"/acl", object{"read": object{"project-access": false, "users": []string{"anton", "bob"}}})
		for _, test := range []struct {
			caller            rest.Caller
			project, aclsOnly string
		}{
			{alice, "open private shared", ""},
			{anton, "open shared", "shared"},
			{olga, "open", ""},
			{chief, "open private shared", ""},
			{bob, "", "shared"},
			{root, "", ""},
		} {
			v := v.as(test.caller)
			if got := v.want(200, "GET", "/v1/secrets", nil).names("secrets"); got != test.project {
				t.Errorf("%s sees %q, want %q", test.caller.UserID, got, test.project)
			}
			if got := v.want(200, "GET", "/v1/secrets?acl_only=true", nil).names("secrets"); got != test.aclsOnly {
				t.Errorf("with %s is shared %q, want %q", test.caller.UserID, got, test.aclsOnly)
			}
		}
	})
}

func TestACL(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		v := newVault(t, db)
		for _, ref := range []string{v.store("x"), v.contain("generic")} {
			read := func() object {
				t.Helper()
				read := v.want(200, "GET", ref+"/acl", nil).dig("read").(object)
				delete(read, "created")
				delete(read, "updated")
				return read
			}
			wantACL := func(want object) {
				t.Helper()
				if diff := cmp.Diff(want, read()); diff != "" {
					t.Errorf("access list (-want +got):\n%s", diff)
				}
			}
			wantACL(object{"project-access": true})
			if got := v.want(200, "PUT", ref+"/acl", object{"read": object{"users": []string{"b", "a", "b"}}}).dig("acl_ref"); got != ref+"/acl" {
				t.Errorf("acl_ref %v", got)
			}
			wantACL(object{"project-access": true, "users": []any{"a", "b"}})
			v.want(200, "PATCH", ref+"/acl", object{"read": object{"project-access": false}})
			wantACL(object{"project-access": false, "users": []any{"a", "b"}})
			v.want(200, "PATCH", ref+"/acl", object{"read": object{"users": []string{}}})
			wantACL(object{"project-access": false, "users": []any{}})
			v.want(200, "PUT", ref+"/acl", object{"read": object{}})
			wantACL(object{"project-access": true, "users": []any{}})
			v.want(200, "DELETE", ref+"/acl", nil)
			wantACL(object{"project-access": true})
			v.want(400, "PUT", ref+"/acl", object{"write": object{"users": []string{"a"}}})
			v.want(400, "PUT", ref+"/acl", object{"read": object{"users": "a"}})
			v.want(400, "PUT", ref+"/acl", object{"read": object{"users": []string{""}}})
			v.want(400, "PUT", ref+"/acl", object{"read": object{"users": []string{"a\x00"}}})
		}
	})
}

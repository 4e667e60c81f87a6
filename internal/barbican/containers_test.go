package barbican_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/database"
	"poise/internal/database/databasetest"
)

func TestContainerForms(t *testing.T) {
	v := newVault(t, databasetest.SQLite(t))
	a, b, c := v.store("a"), v.store("b"), v.store("c")
	foreign := v.as(bob).store("d")
	tests := map[string]struct {
		body   object
		status int
	}{
		"generic":                 {containerBody("generic", "x", a, "y", b), 201},
		"empty":                   {containerBody("generic"), 201},
		"empty certificate":       {containerBody("certificate"), 201},
		"certificate":             {containerBody("certificate", "certificate", a, "private_key", b, "intermediates", c), 201},
		"rsa":                     {containerBody("rsa", "public_key", a, "private_key", b, "private_key_passphrase", c), 201},
		"id instead of reference": {containerBody("generic", "x", a[len(a)-36:]), 201},
		"no type":                 {object{}, 400},
		"unknown type":            {containerBody("bag", "x", a), 400},
		"name twice":              {containerBody("generic", "x", a, "x", b), 400},
		"secret twice":            {containerBody("generic", "x", a, "y", a), 400},
		"no certificate":          {containerBody("certificate", "private_key", a), 400},
		"stranger":                {containerBody("certificate", "certificate", a, "public_key", b), 400},
		"rsa without public key":  {containerBody("rsa", "private_key", a), 400},
		"not a reference":         {containerBody("generic", "x", "http://elsewhere/"), 400},
		"another kind":            {containerBody("generic", "x", publicURL+"/v1/containers/"+a[len(a)-36:]), 400},
		"missing secret":          {containerBody("generic", "x", publicURL+"/v1/secrets/6fcc9f02-8b3e-478d-96b8-c6748908e9dc"), 404},
		"another project's":       {containerBody("generic", "x", foreign), 404},
		"wrong shape":             {object{"type": "generic", "secret_refs": "x"}, 400},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			v := *v
			v.TB = t
			v.want(test.status, "POST", "/v1/containers", test.body)
		})
	}
}

func TestContainerLife(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		v := newVault(t, db)
		a, b := v.store("a"), v.store("b")
		box := v.contain("generic", "first", a)
		v.contain("certificate", "certificate", b)
		if got := v.want(200, "GET", "/v1/containers?type=generic&name=box", nil).dig("total"); got != 1.0 {
			t.Errorf("%v generic containers", got)
		}
		v.want(201, "POST", box+"/secrets", object{"name": "second", "secret_ref": b})
		v.want(409, "POST", box+"/secrets", object{"name": "second", "secret_ref": b})
		v.want(404, "DELETE", box+"/secrets", object{"name": "third", "secret_ref": b})
		got := v.want(200, "GET", box, nil).dig().(object)
		delete(got, "created")
		delete(got, "updated")
		want := object{
			"container_ref": box, "name": "box", "type": "generic", "status": "ACTIVE", "creator_id": "alice", "consumers": []any{},
			"secret_refs": []any{object{"name": "first", "secret_ref": a}, object{"name": "second", "secret_ref": b}},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("container (-want +got):\n%s", diff)
		}
		v.want(204, "DELETE", box+"/secrets", object{"name": "second", "secret_ref": b})
		v.want(204, "DELETE", a, nil)
		if got := v.want(200, "GET", box, nil).dig("secret_refs"); len(got.([]any)) != 0 {
			t.Errorf("after all secrets have gone: %v", got)
		}
		v.want(204, "DELETE", box, nil)
		v.want(404, "GET", box, nil)
		v.want(200, "GET", b, nil)
	})
}

func TestOnlyGenericContainersChange(t *testing.T) {
	v := newVault(t, databasetest.SQLite(t))
	a := v.store("a")
	box := v.contain("certificate", "certificate", a)
	v.want(400, "POST", box+"/secrets", object{"name": "x", "secret_ref": a})
	v.want(400, "DELETE", box+"/secrets", object{"name": "certificate", "secret_ref": a})
}

func TestConsumers(t *testing.T) {
	bodies := map[string][]object{
		"containers": {{"name": "octavia", "URL": "lb/1"}, {"name": "octavia", "URL": "lb/2"}},
		"secrets": {
			{"service": "octavia", "resource_type": "listener", "resource_id": "1"},
			{"service": "octavia", "resource_type": "listener", "resource_id": "2"},
		},
	}
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		v := newVault(t, db)
		for kind, consumers := range bodies {
			ref := v.store("x")
			if kind == "containers" {
				ref = v.contain("generic")
			}
			v.want(200, "PUT", ref+"/acl", object{"read": object{"users": []string{"bob"}}})
			v.want(200, "POST", ref+"/consumers", consumers[0])
			v.want(200, "POST", ref+"/consumers", consumers[0])
			v.as(bob).want(200, "POST", ref+"/consumers", consumers[1])
			shown := v.want(200, "GET", ref, nil, "OpenStack-API-Version", "key-manager 1.1").dig("consumers")
			if diff := cmp.Diff([]any{consumers[0], consumers[1]}, shown); diff != "" {
				t.Errorf("consumers (-want +got):\n%s", diff)
			}
			page := v.want(200, "GET", ref+"/consumers?limit=1", nil)
			if page.dig("total") != 2.0 || !strings.HasPrefix(page.dig("next").(string), ref+"/consumers?") {
				t.Errorf("page %s", page.text)
			}
			v.as(root).want(403, "POST", ref+"/consumers", consumers[0])
			v.as(bob).want(403, "DELETE", ref+"/consumers", consumers[0])
			v.as(bob).want(200, "DELETE", ref+"/consumers", consumers[1])
			v.want(200, "DELETE", ref+"/consumers", consumers[0])
			v.want(404, "DELETE", ref+"/consumers", consumers[0])
			v.want(400, "POST", ref+"/consumers", object{"name": "x", "service": "x"})
			v.want(200, "POST", ref+"/consumers", consumers[0])
			v.want(204, "DELETE", ref, nil)
		}
		if left, err := db.NewSelect().Table("barbican_consumer").Count(t.Context()); err != nil || left != 0 {
			t.Errorf("%d consumers of what is gone: %v", left, err)
		}
		if left, err := db.NewSelect().Table("barbican_acl_user").Count(t.Context()); err != nil || left != 0 {
			t.Errorf("%d readers of what is gone: %v", left, err)
		}
	})
}

func TestConsumersGuardASecret(t *testing.T) {
	v := newVault(t, databasetest.SQLite(t))
	ref := v.store("x")
	v.want(200, "POST", ref+"/consumers", object{"service": "a", "resource_type": "b", "resource_id": "c"})
	v.want(400, "DELETE", ref, nil, "OpenStack-API-Version", "key-manager 1.2")
	v.want(400, "DELETE", ref+"?force=perhaps", nil, "OpenStack-API-Version", "key-manager latest")
	v.want(204, "DELETE", ref+"?force=true", nil, "OpenStack-API-Version", "key-manager 1.2")
	ref = v.store("x")
	v.want(200, "POST", ref+"/consumers", object{"service": "a", "resource_type": "b", "resource_id": "c"})
	v.want(204, "DELETE", ref, nil)
}

func TestMetadata(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		v := newVault(t, db)
		ref := v.store("x")
		wantAll := func(want object) {
			t.Helper()
			if diff := cmp.Diff(want, v.want(200, "GET", ref+"/metadata", nil).dig("metadata")); diff != "" {
				t.Errorf("metadata (-want +got):\n%s", diff)
			}
		}
		wantAll(object{})
		if got := v.want(201, "PUT", ref+"/metadata", object{"metadata": object{"Site": "north", "b": "2"}}).dig("metadata_ref"); got != ref+"/metadata" {
			t.Errorf("metadata_ref %v", got)
		}
		wantAll(object{"site": "north", "b": "2"})
		if at := v.want(201, "POST", ref+"/metadata", object{"key": "C", "value": "3"}).header.Get("Location"); at != ref+"/metadata/c" {
			t.Errorf("Location %q", at)
		}
		v.want(409, "POST", ref+"/metadata", object{"key": "c", "value": "4"})
		v.want(200, "PUT", ref+"/metadata/c", object{"key": "c", "value": "5"})
		v.want(409, "PUT", ref+"/metadata/c", object{"key": "d", "value": "5"})
		v.want(404, "PUT", ref+"/metadata/d", object{"key": "d", "value": "5"})
		v.want(204, "DELETE", ref+"/metadata/b", nil)
		v.want(404, "DELETE", ref+"/metadata/b", nil)
		v.want(404, "GET", ref+"/metadata/b", nil)
		if got := v.want(200, "GET", ref+"/metadata/c", nil).dig(); cmp.Diff(object{"key": "c", "value": "5"}, got) != "" {
			t.Errorf("metadatum %v", got)
		}
		wantAll(object{"site": "north", "c": "5"})
		for _, body := range []object{{}, {"metadata": object{"a b": "x"}}, {"metadata": object{"a": 1}}, {"metadata": object{"a": strings.Repeat("x", 256)}}, {"metadata": object{"a": "\x00"}}} {
			v.want(400, "PUT", ref+"/metadata", body)
		}
		v.want(400, "POST", ref+"/metadata", object{"key": "x"})
		v.want(400, "POST", ref+"/metadata", object{"key": "x", "value": "y", "more": "z"})
		v.want(405, "POST", ref+"/metadata/x", object{})
	})
}

// Whoever changes the same thing at once waits for the other: none is refused, nothing is doubled.
func TestChangesAtOnce(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		v := newVault(t, db)
		ref := v.store("x")
		requests := map[string]object{
			"PUT /acl":         {"read": object{"users": []string{"a", "b"}}},
			"PUT /metadata":    {"metadata": object{"a": "1", "b": "2"}},
			"POST /consumers":  {"service": "a", "resource_type": "b", "resource_id": "c"},
			"PATCH /acl":       {"read": object{"project-access": true}},
			"DELETE /acl":      nil,
			"GET /consumers":   nil,
			"PUT /metadata/no": {"key": "no", "value": "x"},
		}
		done := make(chan int)
		const rounds = 10
		for request, body := range requests {
			for range rounds {
				go func() {
					method, suffix, _ := strings.Cut(request, " ")
					done <- v.call(method, ref+suffix, body).status
				}()
			}
		}
		for range rounds * len(requests) {
			if status := <-done; status >= 500 {
				t.Errorf("status %d", status)
			}
		}
		v.want(204, "DELETE", ref, nil)
	})
}

package barbican_test

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"poise/internal/database/databasetest"
)

func TestVersions(t *testing.T) {
	v := newVault(t, databasetest.SQLite(t))
	for _, path := range []string{"/", "/v1", "/v1/"} {
		status, keys := 200, []any{"version", "id"}
		if path == "/" {
			status, keys = 300, []any{"versions", "values", 0, "id"}
		}
		if got := v.want(status, "GET", path, nil).dig(keys...); got != "v1" {
			t.Errorf("%s: version %v", path, got)
		}
	}
	newer := v.want(300, "GET", "/", nil, "OpenStack-API-Version", "key-manager 1.1")
	if newer.dig("versions", 0, "max_version") != "1.2" || newer.dig("versions", 0, "links", 0, "href") != publicURL+"/v1/" {
		t.Errorf("versions with microversions: %s", newer.text)
	}
	for _, version := range []string{"key-manager 1.3", "key-manager 2.0", "key-manager x", "key-manager 1.-1"} {
		v.want(406, "GET", "/v1", nil, "OpenStack-API-Version", version)
	}
	v.want(200, "GET", "/v1", nil, "OpenStack-API-Version", "load-balancer 2.20")
}

func TestFaults(t *testing.T) {
	v := newVault(t, databasetest.SQLite(t))
	ref := v.store("x")
	for _, test := range []struct {
		method, where string
		body          any
		status        int
		title         string
	}{
		{"GET", "/v1/secrets/6fcc9f02-8b3e-478d-96b8-c6748908e9dc", nil, 404, "Not Found"},
		{"GET", "/v1/secrets/x", nil, 404, "Not Found"},
		{"GET", "/v1/secrets/" + strings.ToUpper(ref[len(ref)-36:]), nil, 404, "Not Found"},
		{"GET", "/v1/containers/x", nil, 404, "Not Found"},
		{"GET", "/v1/orders", nil, 404, "Not Found"},
		{"POST", "/v1/orders", object{}, 404, "Not Found"},
		{"GET", "/v1/quotas", nil, 404, "Not Found"},
		{"GET", "/v1/project-quotas", nil, 404, "Not Found"},
		{"GET", "/v1/transport_keys", nil, 404, "Not Found"},
		{"GET", "/v2", nil, 404, "Not Found"},
		{"PATCH", ref, object{}, 405, "Method Not Allowed"},
		{"POST", ref + "/payload", object{}, 405, "Method Not Allowed"},
		{"POST", "/v1/secrets", "{", 400, "Bad Request"},
		{"POST", "/v1/secrets", "[]", 400, "Bad Request"},
		{"POST", "/v1/secrets", object{"bit_length": 0}, 400, "Bad Request"},
		{"POST", "/v1/secrets", object{"bit_length": "1"}, 400, "Bad Request"},
		{"POST", "/v1/secrets", object{"name": strings.Repeat("x", 256)}, 400, "Bad Request"},
		{"POST", "/v1/secrets", object{"name": "a\x00"}, 400, "Bad Request"},
		{"POST", "/v1/secrets", "{\"name\": \"\xff\"}", 400, "Bad Request"},
		{"POST", "/v1/secrets", "{\"payload\": \"\xff\", \"payload_content_type\": \"text/plain\"}", 400, "Bad Request"},
		{"POST", "/v1/secrets", object{"secret_type": "other"}, 400, "Bad Request"},
		{"POST", "/v1/secrets", object{"transport_key_id": "x"}, 400, "Bad Request"},
		{"POST", "/v1/secrets", strings.Repeat(" ", 200_000), 413, "Request Entity Too Large"},
	} {
		got := v.want(test.status, test.method, test.where, test.body).dig().(object)
		if got["code"] != float64(test.status) || got["title"] != test.title || got["description"] == "" || len(got) != 3 {
			t.Errorf("%s %s: fault %v", test.method, test.where, got)
		}
	}
	v.want(415, "POST", "/v1/secrets", "name=x", "Content-Type", "application/x-www-form-urlencoded")
	v.want(201, "POST", "/v1/secrets", object{"name": nil, "algorithm": nil, "future": 1})
}

// What a client that accepts no JSON gets at the address of the secret itself is the payload.
func TestPayloadAtTheSecret(t *testing.T) {
	v := newVault(t, databasetest.SQLite(t))
	ref := v.store("hush")
	for accept, want := range map[string]string{"text/plain": "hush", "application/octet-stream": "hush"} {
		if got := v.want(200, "GET", ref, nil, "Accept", accept).text; got != want {
			t.Errorf("%s: %q", accept, got)
		}
	}
	for _, accept := range []string{"*/*", "application/json", "text/html, */*"} {
		if got := v.want(200, "GET", ref, nil, "Accept", accept).dig("secret_ref"); got != ref {
			t.Errorf("%s: %v", accept, got)
		}
	}
}

// FuzzBodies sends bodies to everything that reads one. Whatever they are, the answer is no 5xx, and a payload that was
// taken comes back as it was.
func FuzzBodies(f *testing.F) {
	v := newVault(f, databasetest.SQLite(f))
	ref := v.store("x")
	box := v.contain("generic")
	f.Add(`{"name":"a","payload":"x","payload_content_type":"text/plain"}`, "application/json", "")
	f.Add(`{"payload":"eA==","payload_content_type":"application/octet-stream","payload_content_encoding":"base64"}`, "application/json", "")
	f.Add(`{"type":"certificate","secret_refs":[{"name":"certificate","secret_ref":"`+ref+`"}]}`, "application/json", "")
	f.Add(`{"read":{"users":["a"],"project-access":false}}`, "application/json", "")
	f.Add(`{"metadata":{"a":"b"}}`, "application/json", "")
	f.Add(`{"service":"a","resource_type":"b","resource_id":"c","name":"a","URL":"b"}`, "application/json", "")
	f.Add("AP8=", "application/octet-stream", "base64")
	f.Fuzz(func(t *testing.T, body, contentType, encoding string) {
		v := *v
		v.TB = t
		headers := []string{"Content-Type", contentType, "Content-Encoding", encoding}
		for _, request := range []string{
			"POST /v1/secrets", "POST /v1/containers", "PUT " + ref + "/acl", "PATCH " + box + "/acl", "PUT " + ref + "/metadata",
			"POST " + ref + "/metadata", "POST " + ref + "/consumers", "DELETE " + box + "/consumers", "POST " + box + "/secrets",
		} {
			method, where, _ := strings.Cut(request, " ")
			if got := v.call(method, where, body, headers...); got.status >= 500 {
				t.Errorf("%s: %d %s", request, got.status, got.text)
			}
		}
		empty := v.want(201, "POST", "/v1/secrets", object{}).dig("secret_ref").(string)
		if got := v.call("PUT", empty, body, headers...); got.status >= 500 {
			t.Errorf("PUT: %d %s", got.status, got.text)
		} else if got.status == 204 && encoding == "" {
			if back := v.want(200, "GET", empty+"/payload", nil); back.text != body {
				t.Errorf("payload %q came back as %q", body, back.text)
			}
		}
	})
}

// FuzzQuery asks lists for everything.
func FuzzQuery(f *testing.F) {
	v := newVault(f, databasetest.SQLite(f))
	f.Add("name=a&alg=b&mode=c&bits=1&limit=2&offset=3")
	f.Add("sort=name:asc,created:desc&acl_only=true&created=gt:2026-01-01,lt:2027-01-01T00:00:00Z")
	f.Fuzz(func(t *testing.T, query string) {
		v := *v
		v.TB = t
		query = strings.Map(func(c rune) rune {
			if c <= ' ' || c == '#' || c >= 0x7f {
				return '+'
			}
			return c
		}, query)
		for _, list := range []string{"secrets", "containers"} {
			got := v.call("GET", "/v1/"+list+"?"+query, nil)
			if !slices.Contains([]int{200, 400}, got.status) || !json.Valid([]byte(got.text)) {
				t.Errorf("%s: %d %s", query, got.status, got.text)
			}
		}
	})
}

func TestContainerIsBounded(t *testing.T) {
	v := newVault(t, databasetest.SQLite(t))
	box, ref := v.contain("generic"), v.store("x")
	for i := range 100 {
		v.want(201, "POST", box+"/secrets", object{"name": strconv.Itoa(i), "secret_ref": ref})
	}
	v.want(403, "POST", box+"/secrets", object{"name": "more", "secret_ref": ref})
}

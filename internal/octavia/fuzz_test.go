package octavia_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzBody sends any body to each way in. Whatever it is, the answer is not a 500.
func FuzzBody(f *testing.F) {
	f.Add([]byte(`{"loadbalancer": {"vip_subnet_id": "a2cfec3c-fed9-4414-87f9-bfadb076bbd9", "tags": ["a"], "admin_state_up": "yes"}}`))
	f.Add([]byte(`{"listener": {"protocol": "TCP", "protocol_port": "80", "allowed_cidrs": ["10.0.0.0/8"], "connection_limit": 1e99}}`))
	f.Add([]byte(`{"pool": {"session_persistence": {"type": "SOURCE_IP", "cookie_name": null}, "lb_algorithm": null}}`))
	f.Add([]byte(`{"members": [{"address": "::ffff:10.0.0.1", "protocol_port": 80, "weight": 256}, null]}`))
	f.Add([]byte(`{"healthmonitor": {"delay": -0, "timeout": true, "max_retries": "3", "http_version": 1.10}}`))
	f.Add([]byte(`{"member": {"monitor_address": "1.2.3.4%eth0"}}`))
	for _, test := range refusals {
		f.Add([]byte(test.body))
	}
	a := newAPI(f)
	f.Add([]byte(wholeTree))
	tree := a.addPolicy("member", a.tree("member", "one"))
	f.Fuzz(func(t *testing.T, body []byte) {
		a.TB = t
		for _, request := range []string{
			"POST /loadbalancers", "PUT /loadbalancers/{lb}", "POST /listeners", "PUT /listeners/{listener}", "POST /pools", "PUT /pools/{pool}",
			"POST /pools/{pool}/members", "PUT /pools/{pool}/members/{member}", "PUT /pools/{pool}/members?additive_only=1",
			"POST /healthmonitors", "PUT /healthmonitors/{monitor}",
			"POST /l7policies", "PUT /l7policies/{policy}", "POST /l7policies/{policy}/rules", "PUT /l7policies/{policy}/rules/{rule}",
		} {
			method, path, _ := strings.Cut(request, " ")
			got := a.send("member", method, tree.in(path), string(body))
			if got.Code == http.StatusInternalServerError {
				t.Errorf("%s: %s", request, got.Body)
			}
		}
	})
}

// FuzzQuery sends any query to a list and to an object. Whatever it is, the answer is not a 500.
func FuzzQuery(f *testing.F) {
	for _, query := range []string{
		"limit=1&marker=x", "sort=name:desc,id", "sort_key=,&sort_dir=,,", "fields=id&fields=", "tags=a,b&not-tags-any=,", "page_reverse=True",
		"name=a;b&%zz", "admin_state_up=T", "status_reasons=1", "limit=-9223372036854775808",
	} {
		f.Add(query)
	}
	a := newAPI(f)
	tree := a.tree("member", "one")
	f.Fuzz(func(t *testing.T, query string) {
		for _, path := range []string{"/loadbalancers", "/listeners", "/pools/{pool}/members", "/pools/{pool}", "/providers"} {
			r := httptest.NewRequest("GET", "http://test/v2"+tree.in(path), nil)
			r.URL.RawQuery = query
			r.Header.Set("X-Auth-Token", "member")
			got := httptest.NewRecorder()
			a.handler.ServeHTTP(got, r)
			if got.Code != http.StatusOK && got.Code != http.StatusBadRequest && got.Code != http.StatusForbidden {
				t.Errorf("%s?%q: %d %s", path, query, got.Code, got.Body)
			}
		}
	})
}

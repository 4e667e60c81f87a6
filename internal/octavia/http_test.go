package octavia_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

func TestDiscovery(t *testing.T) {
	a := newAPI(t)
	for _, path := range []string{"=/", "=/?"} {
		for _, method := range []string{"GET", "POST"} {
			got := a.send("", method, path, "")
			versions, _ := got.body["versions"].([]any)
			if got.Code != 200 || len(versions) != 31 {
				t.Fatalf("%s %s: %d with %d versions", method, path, got.Code, len(versions))
			}
			last := versions[30].(map[string]any)
			href := last["links"].([]any)[0].(map[string]any)["href"]
			if last["id"] != "v2.30" || last["status"] != "CURRENT" || href != publicURL+"/v2" {
				t.Errorf("last version is %v", last)
			}
			if first := versions[0].(map[string]any); first["id"] != "v2.0" || first["status"] != "SUPPORTED" {
				t.Errorf("first version is %v", first)
			}
		}
	}
	a.refused("", "GET", "=/?x=1", "", 400, `Unknown argument: "x"`)
}

// TestPaths asks for every spelling of a path.
func TestPaths(t *testing.T) {
	tests := []struct {
		user, method, path string
		status             int
	}{
		{"member", "GET", "=/v2", 200},
		{"member", "GET", "=/v2.0", 200},
		{"member", "GET", "=/v2.0/", 200},
		{"member", "GET", "=/v2.0/lbaas", 200},
		{"member", "GET", "=/v2/octavia", 200},
		{"member", "GET", "=/v2.0/octavia/", 200},
		{"member", "GET", "=/v2/loadbalancers", 200},
		{"member", "GET", "=/v2/lbaas/loadbalancers", 200},
		{"member", "GET", "=/v2.0/loadbalancers/", 200},
		{"member", "GET", "=/v2.0/lbaas/loadbalancers/", 200},
		{"member", "GET", "=/v2.0/lbaas/providers", 200},
		{"", "GET", "=/healthcheck", 200},
		{"", "HEAD", "=/healthcheck", 204},
		{"", "PUT", "=/healthcheck", 405},
		{"", "PUT", "=/", 405},
		{"", "GET", "=/v2", 401},
		{"", "GET", "=/nosuch", 401},
		{"bogus", "GET", "=/v2/loadbalancers", 401},
		{"broken", "GET", "=/v2/loadbalancers", 503},
		{"member", "GET", "=/v9", 404},
		{"member", "GET", "=/v1", 404},
		{"member", "GET", "=/v2.0/lbaas/nosuch", 404},
		{"member", "GET", "=/v2/lbaas/lbaas/loadbalancers", 404},
		{"member", "GET", "=/v2/loadbalancers/" + missingID + "/nosuch", 404},
		{"member", "GET", "=/v2//loadbalancers", 404},
		{"member", "HEAD", "=/v2/loadbalancers", 405},
		{"member", "OPTIONS", "=/v2/loadbalancers", 405},
		{"member", "PATCH", "=/v2/loadbalancers", 405},
		{"member", "POST", "=/v2/loadbalancers/" + missingID, 405},
	}
	a := newAPI(t)
	for _, test := range tests {
		t.Run(test.user+" "+test.method+" "+test.path, func(t *testing.T) {
			got := a.send(test.user, test.method, test.path, "")
			if got.Code != test.status {
				t.Fatalf("%d %s, want %d", got.Code, got.Body, test.status)
			}
			if !strings.HasPrefix(got.Header().Get("X-Openstack-Request-Id"), "req-") {
				t.Error("no request id")
			}
			switch got.Code {
			case 401:
				if got.Header().Get("WWW-Authenticate") == "" {
					t.Error("no WWW-Authenticate")
				}
			case 404, 405:
				if got.body["code"] != float64(got.Code) || got.body["title"] != http.StatusText(got.Code) {
					t.Errorf("body %s", got.Body)
				}
			}
			if hasAllow := got.Header().Get("Allow") != ""; hasAllow != (got.Code == 405) {
				t.Errorf("Allow: %q", got.Header().Get("Allow"))
			}
		})
	}
	if got := a.send("member", "GET", "=/v2", ""); got.Body.String() != `"v2"` {
		t.Errorf("version answers %s", got.Body)
	}
	if got := a.send("", "GET", "=/healthcheck", "", "Accept", "application/json"); got.body["detailed"] != false {
		t.Errorf("health check answers %s", got.Body)
	}
}

func TestAccept(t *testing.T) {
	a := newAPI(t)
	tests := map[string]int{
		"":                                 200,
		"application/json":                 200,
		"application/json; charset=utf-8":  200,
		"text/html, */*;q=0.1":             200,
		"application/*":                    200,
		"nonsense":                         200,
		";;;":                              200,
		"application/xml":                  406,
		"text/html,application/json;q=0":   406,
		"text/html,application/json;q=0.0": 406,
	}
	for accept, status := range tests {
		t.Run(accept, func(t *testing.T) {
			got := a.send("member", "GET", "/loadbalancers", "", "Accept", accept)
			if got.Code != status {
				t.Errorf("%d %s, want %d", got.Code, got.Body, status)
			}
		})
	}
	if got := a.send("", "GET", "/loadbalancers", "", "Accept", "application/xml"); got.Code != 401 {
		t.Errorf("without a token: %d", got.Code)
	}
}

func TestContentType(t *testing.T) {
	a := newAPI(t)
	tests := []struct {
		name, contentType, body string
		status                  int
		message                 string
	}{
		{"JSON", "application/json; charset=utf-8", `{}`, 400, "Missing argument"},
		{"JavaScript", "text/javascript", `{}`, 400, "Missing argument"},
		{"none", "", `{"loadbalancer": {}}`, 400, `Unknown argument: "{"loadbalancer": {}}"`},
		{"form", "application/x-www-form-urlencoded", "name=x", 400, `Unknown argument: "name"`},
		{"text", "text/plain", `{}`, 415, "Unknown mimetype: text/plain"},
		{"unreadable", ";", `{}`, 415, "Unknown mimetype: ;"},
		{"empty body", "application/json", "", 400, `Missing argument: "load_balancer"`},
		{"not UTF-8", "application/json", "{\"loadbalancer\": \"\xff\"}", 400, "UTF-8"},
		{"too large", "application/json", strings.Repeat(" ", 114_689), 413, "too large"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := a.send("member", "POST", "/loadbalancers", test.body, "Content-Type", test.contentType)
			if got.Code != test.status || !strings.Contains(got.message(), test.message) {
				t.Errorf("%d %s, want %d %s", got.Code, got.Body, test.status, test.message)
			}
		})
	}
}

// TestInternalError keeps what went wrong inside from clients.
func TestInternalError(t *testing.T) {
	a := newAPI(t)
	a.control.broken = errors.New("disk is full of secrets")
	for _, path := range []string{"/loadbalancers", "/pools/" + missingID, "/pools/" + missingID + "/members"} {
		got := a.send("member", "GET", path, "")
		id := got.Header().Get("X-Openstack-Request-Id")
		if got.Code != 500 || got.body["faultcode"] != "Server" || !strings.Contains(got.message(), id) {
			t.Errorf("%s: %d %s", path, got.Code, got.Body)
		}
		if strings.Contains(got.Body.String(), "secrets") || !strings.Contains(a.log.String(), "secrets") || !strings.Contains(a.log.String(), id) {
			t.Errorf("answer %s, log %s", got.Body, a.log)
		}
	}
}

// TestStats adds up what the listeners count.
func TestStats(t *testing.T) {
	a := newAPI(t)
	tree := a.tree("member", "one")
	a.control.count(tree.listener, 7)
	a.control.count("another", 5)
	for path, want := range map[string]float64{"/loadbalancers/{lb}/stats": 12, "/listeners/{listener}/stats": 7} {
		stats := a.must("member", "GET", tree.in(path), "", 200)
		if stats["bytes_in"] != want || stats["active_connections"] != want || stats["total_connections"] != want || len(stats) != 5 {
			t.Errorf("%s: %v, want %v", path, stats, want)
		}
	}
	a.refused("member", "GET", "/listeners/"+missingID+"/stats", "", 404, "Listener "+missingID+" not found.")
}

func TestProviders(t *testing.T) {
	a := newAPI(t)
	if all := a.list("member", "/providers"); len(all) != 4 || all[0]["name"] != "poise" || all[0]["description"] == "" {
		t.Errorf("providers %v", all)
	}
	if some := a.list("member", "/providers?name=octavia&fields=name"); len(some) != 1 || len(some[0]) != 1 {
		t.Errorf("one provider %v", some)
	}
}

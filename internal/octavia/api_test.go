package octavia_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"poise/internal/database/databasetest"
	"poise/internal/octavia"
	"poise/internal/rest"
	"poise/internal/store"
)

// api is an API on its own control plane, and a client of it.
type api struct {
	testing.TB
	handler http.Handler
	control *memory
	log     *bytes.Buffer
}

// adjust changes the configuration of an API under test.
type adjust func(*octavia.Config)

const publicURL = "http://127.0.0.1:9876/load-balancer"

func newAPI(t testing.TB, adjustments ...adjust) *api {
	a := &api{TB: t, control: newMemory(), log: &bytes.Buffer{}}
	log := slog.New(slog.NewTextHandler(a.log, nil))
	operator, err := store.New(t.Context(), databasetest.SQLite(t))
	if err != nil {
		t.Fatal(err)
	}
	config := octavia.Config{
		Control: a.control, Certificates: vault{}, Quotas: operator, Offers: operator, Verifier: tokens{}, PublicURL: publicURL,
		IdentityURL: "http://127.0.0.1:9876/identity/v3", Log: log,
	}
	for _, adjust := range adjustments {
		adjust(&config)
	}
	a.handler = rest.Frame{Log: slog.New(slog.DiscardHandler)}.Around(octavia.New(config).Handler())
	return a
}

// reply is an answer with its body decoded.
type reply struct {
	*httptest.ResponseRecorder
	body map[string]any
}

// send makes a request as a user; path is below /v2.0/lbaas, or whole when it begins with "=".
func (a *api) send(user, method, path, body string, header ...string) reply {
	a.Helper()
	where, whole := strings.CutPrefix(path, "=")
	if !whole {
		where = "/v2.0/lbaas" + path
	}
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, "http://test"+where, content)
	r.Header.Set("X-Auth-Token", user)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	got := reply{ResponseRecorder: httptest.NewRecorder()}
	a.handler.ServeHTTP(got, r)
	_ = json.Unmarshal(got.Body.Bytes(), &got.body)
	a.validate(r, got)
	return got
}

// must makes a request that has to be answered with status, and returns what is below the one key of the answer.
func (a *api) must(user, method, path, body string, status int) map[string]any {
	a.Helper()
	got := a.send(user, method, path, body)
	if got.Code != status {
		a.Fatalf("%s %s as %s: %d %s, want %d", method, path, user, got.Code, got.Body, status)
	}
	for _, v := range got.body {
		object, _ := v.(map[string]any)
		return object
	}
	return nil
}

// refused makes a request that has to be refused.
func (a *api) refused(user, method, path, body string, status int, message string) {
	a.Helper()
	got := a.send(user, method, path, body)
	if got.Code != status || !strings.Contains(got.message(), message) {
		a.Errorf("%s %s as %s: %d %s\nwant %d %s", method, path, user, got.Code, got.Body, status, message)
	}
}

// message is what an answer says, in either form of error.
func (r reply) message() string {
	for _, key := range []string{"faultstring", "description"} {
		if s, ok := r.body[key].(string); ok {
			return s
		}
	}
	return ""
}

// tree is a load balancer with one of everything.
type tree struct{ lb, listener, pool, member, monitor, http, policy, rule string }

func (a *api) tree(user, name string) tree {
	a.Helper()
	var t tree
	t.lb = a.loadBalancer(user, name)
	t.listener = id(a.must(user, "POST", "/listeners", fmt.Sprintf(
		`{"listener": {"name": "l-%s", "protocol": "TCP", "protocol_port": 80, "loadbalancer_id": %q}}`, name, t.lb), 201))
	t.pool = id(a.must(user, "POST", "/pools", fmt.Sprintf(
		`{"pool": {"name": "p-%s", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "listener_id": %q}}`, name, t.listener), 201))
	t.member = id(a.must(user, "POST", "/pools/"+t.pool+"/members", fmt.Sprintf(
		`{"member": {"name": "m-%s", "address": "10.0.0.20", "protocol_port": 80, "subnet_id": %q}}`, name, subnetID), 201))
	t.monitor = id(a.must(user, "POST", "/healthmonitors", fmt.Sprintf(
		`{"healthmonitor": {"name": "h-%s", "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 3, "pool_id": %q}}`, name, t.pool), 201))
	return t
}

// addPolicy gives a tree an HTTP listener with a policy of one rule.
func (a *api) addPolicy(user string, t tree) tree {
	a.Helper()
	t.http = id(a.must(user, "POST", "/listeners", t.in(
		`{"listener": {"name": "http", "protocol": "HTTP", "protocol_port": 8080, "loadbalancer_id": "{lb}"}}`), 201))
	t.policy = id(a.must(user, "POST", "/l7policies", t.in(`{"l7policy": {"name": "y", "action": "REJECT", "listener_id": "{http}"}}`), 201))
	t.rule = id(a.must(user, "POST", t.in("/l7policies/{policy}/rules"),
		`{"rule": {"type": "PATH", "compare_type": "STARTS_WITH", "value": "/x", "invert": true}}`, 201))
	return t
}

func (a *api) loadBalancer(user, name string) string {
	a.Helper()
	return id(a.must(user, "POST", "/loadbalancers", fmt.Sprintf(
		`{"loadbalancer": {"name": %q, "vip_subnet_id": %q}}`, name, subnetID), 201))
}

func id(object map[string]any) string { return object["id"].(string) }

// in puts the ids of a tree into a path or body.
func (t tree) in(s string) string {
	return strings.NewReplacer("{lb}", t.lb, "{listener}", t.listener, "{pool}", t.pool, "{member}", t.member,
		"{monitor}", t.monitor, "{http}", t.http, "{policy}", t.policy, "{rule}", t.rule, "{missing}", missingID, "{subnet}", subnetID).Replace(s)
}

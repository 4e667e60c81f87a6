package metrics

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"poise/internal/dataplane"
	"poise/internal/lb"
	"poise/internal/rest"
)

// tokens know an administrator, a user and a failure.
type tokens struct{}

func (tokens) Verify(_ context.Context, token string) (rest.Caller, error) {
	switch token {
	case "admin", "member":
		return rest.Caller{Roles: []string{token}}, nil
	case "broken":
		return rest.Caller{}, errors.New("no answer")
	default:
		return rest.Caller{}, rest.ErrUnauthenticated
	}
}

const secret = "a-token-of-thirty-two-characters"

func newService(counters map[string]dataplane.Counters) *Service {
	tree := &lb.LoadBalancer{
		Object: lb.Object{ID: "b", AdminStateUp: true}, Listeners: []*lb.Listener{{Object: lb.Object{ID: "l", AdminStateUp: true}}},
		Pools: []*lb.Pool{{Object: lb.Object{ID: "p"}, Members: []*lb.Member{{Object: lb.Object{ID: "m", CreatedIn: 2, ChangedIn: 2}}}}},
	}
	observed := lb.Observation{Applied: 1, Status: map[string]lb.Status{"b": {Operating: lb.Online}, "l": {Operating: lb.InError}}}
	return New(Config{
		Token: secret, Verifier: tokens{}, Log: slog.New(slog.DiscardHandler),
		Balancers: func(context.Context) ([]lb.Snapshot, error) {
			return []lb.Snapshot{{Tree: tree, Observed: observed}}, nil
		},
		Counters:    func(string) map[string]dataplane.Counters { return counters },
		QueueLength: func() int { return 7 }, DroppedRecords: func() uint64 { return 3 },
	})
}

func get(s *Service, header, value string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set(header, value)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestWhoMayRead(t *testing.T) {
	s := newService(nil)
	for _, test := range []struct {
		header, value string
		want          int
	}{
		{"Authorization", "Bearer " + secret, 200},
		{"Authorization", "Bearer " + secret[1:], 401},
		{"Authorization", "Bearer ", 401},
		{"Authorization", "Basic " + secret, 401},
		{"X-Auth-Token", "admin", 200},
		{"X-Auth-Token", "member", 401},
		{"X-Auth-Token", secret, 401},
		{"X-Auth-Token", "broken", 503},
		{"X-Auth-Token", "", 401},
	} {
		if got := get(s, test.header, test.value); got.Code != test.want || test.want != 200 && strings.Contains(got.Body.String(), "poise_") {
			t.Errorf("%s %s: %d, want %d", test.header, test.value, got.Code, test.want)
		}
	}
	s = New(Config{Verifier: tokens{}})
	if got := get(s, "Authorization", "Bearer "); got.Code != 401 {
		t.Errorf("no token at all: %d", got.Code)
	}
}

func TestPage(t *testing.T) {
	counters := map[string]dataplane.Counters{"l": {Active: 2, Total: 5, BytesIn: 10, Requests: 4}}
	s := newService(counters)
	s.Served(rest.Served{Service: "load-balancer", Method: "GET", Route: "/v2.0/lbaas/listeners/{id}", Status: 200, Took: 3 * time.Millisecond})
	s.Served(rest.Served{Method: "BREW", Status: 404})
	s.Attempted(time.Millisecond, nil)
	s.Attempted(time.Second, errors.New("x"))
	get(s, "X-Auth-Token", "admin")
	counters["l"] = dataplane.Counters{Active: 1, Total: 1, BytesIn: 3} // the data plane has begun anew
	counters["m"] = dataplane.Counters{Total: 1}
	page := get(s, "X-Auth-Token", "admin").Body.String()
	for _, line := range []string{
		`poise_http_request_duration_seconds_count{method="GET",route="/v2.0/lbaas/listeners/{id}",service="load-balancer",status="200"} 1`,
		`poise_http_request_duration_seconds_count{method="any",route="none",service="none",status="404"} 1`,
		`poise_reconcile_queue_length 7`, `poise_reconcile_duration_seconds_count 2`, `poise_reconcile_failures_total 1`,
		`poise_access_log_dropped_total 3`,
		`poise_objects{kind="loadbalancer",operating_status="ONLINE",provisioning_status="ACTIVE"} 1`,
		`poise_objects{kind="listener",operating_status="ERROR",provisioning_status="ACTIVE"} 1`,
		`poise_objects{kind="member",operating_status="NO_MONITOR",provisioning_status="PENDING_CREATE"} 1`,
		`poise_dataplane_connections 1`, `poise_dataplane_connections_total 7`, `poise_dataplane_bytes_in_total 13`,
		`poise_dataplane_http_requests_total 4`, `go_goroutines `, `process_open_fds `,
	} {
		if !strings.Contains(page, line) {
			t.Errorf("%s is not there", line)
		}
	}
	problems, err := promlint.New(strings.NewReader(page)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", err, problems)
	}
}

func TestDatabaseThatDoesNotAnswer(t *testing.T) {
	c := New(Config{
		Token: secret, Log: slog.New(slog.DiscardHandler),
		Balancers:   func(context.Context) ([]lb.Snapshot, error) { return nil, errors.New("no answer") },
		QueueLength: func() int { return 7 }, DroppedRecords: func() uint64 { return 0 },
	})
	if page := get(c, "Authorization", "Bearer "+secret).Body.String(); !strings.Contains(page, "poise_reconcile_queue_length 7") || strings.Contains(page, "poise_objects{") {
		t.Errorf("the rest of the page is missing: %s", page)
	}
}

func TestToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.token")
	first, err := EnsureToken(path)
	if err != nil || len(first) < minToken {
		t.Fatal(first, err)
	}
	if again, err := EnsureToken(path); err != nil || again != first {
		t.Errorf("%q after %q: %v", again, first, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	for content, isGood := range map[string]bool{"": true, "short\n": false, secret + "\n": true} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if token, err := EnsureToken(path); (err == nil) != isGood || isGood && len(token) < minToken {
			t.Errorf("%q: %q, %v", content, token, err)
		}
	}
}

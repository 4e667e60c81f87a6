package octavia_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/octavia"
)

// The stream tells who may list load balancers what changed, and ends when nothing can come any more.
func TestWatch(t *testing.T) {
	asked := make(chan string, 1)
	changes := make(chan map[string]int64, 3)
	a := newAPI(t, func(c *octavia.Config) {
		c.Watch = func(_ context.Context, projectID string) <-chan map[string]int64 {
			asked <- projectID
			return changes
		}
	})
	changes <- map[string]int64{"b": 2, "a": 1}
	changes <- nil
	close(changes)
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "http://test/v2.0/lbaas/watch", nil)
	r.Header.Set("X-Auth-Token", "member")
	r.Header.Set("Accept", "text/event-stream")
	a.handler.ServeHTTP(w, r)
	if got := w.Header().Get("Content-Type"); w.Code != http.StatusOK || got != "text/event-stream" {
		t.Fatalf("%d %s: %s", w.Code, got, w.Body)
	}
	var data []string
	for lines := bufio.NewScanner(w.Body); lines.Scan(); {
		if line := lines.Text(); line != "" && !strings.HasPrefix(line, ":") {
			data = append(data, line)
		}
	}
	want := []string{
		"event: changed", `data: {"loadbalancer_id":"a","version":1}`, "event: changed", `data: {"loadbalancer_id":"b","version":2}`,
		"event: resync", "data: {}",
	}
	if diff := cmp.Diff(want, data); diff != "" {
		t.Error(diff)
	}
	if project := <-asked; project == "" {
		t.Error("everybody's load balancers are told to a member")
	}
}

func TestWatchRefuses(t *testing.T) {
	a := newAPI(t, func(c *octavia.Config) {
		c.Watch = func(context.Context, string) <-chan map[string]int64 { return nil }
	})
	for name, test := range map[string]struct {
		user, query string
		status      int
	}{
		"when it stops":     {"member", "", http.StatusServiceUnavailable},
		"another project's": {"member", "?project_id=somebody-elses", http.StatusForbidden},
		"without a token":   {"", "", http.StatusUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			if got := a.send(test.user, "GET", "/watch"+test.query, ""); got.Code != test.status {
				t.Errorf("%d, want %d: %s", got.Code, test.status, got.Body)
			}
		})
	}
}

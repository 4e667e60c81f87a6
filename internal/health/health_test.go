package health_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"poise/internal/health"
	"poise/internal/testhost"
)

// TestDisk wants a disk to be healthy but while it is full.
func TestDisk(t *testing.T) {
	disk := testhost.SmallDisk(t)
	check := health.Disk(disk, true)
	if err := check(t.Context()); err != nil {
		t.Errorf("with room: %v", err)
	}
	free := testhost.Fill(t, disk)
	if err := check(t.Context()); err == nil || !strings.Contains(err.Error(), disk+" is full") {
		t.Errorf("full: %v", err)
	}
	free()
	if err := check(t.Context()); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if err := health.Disk(disk+"/none", true)(t.Context()); err == nil {
		t.Error("a directory that is not there is healthy")
	}
}

// TestAnswers wants 503 with each reason while there are some, and one look at the checks for all
// who ask within a second.
func TestAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks, broken := 0, true
		fails := func(reason string) health.Check {
			return func(context.Context) error {
				looks++
				if broken {
					return errors.New(reason)
				}
				return nil
			}
		}
		s := health.New(slog.New(slog.DiscardHandler), fails("one"), fails("two"))
		ask := func(status int, text string) {
			t.Helper()
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/healthcheck", nil))
			if w.Code != status || w.Body.String() != text {
				t.Errorf("%d %q, want %d %q", w.Code, w.Body, status, text)
			}
		}
		ask(http.StatusServiceUnavailable, "one\ntwo\n")
		broken = false
		ask(http.StatusServiceUnavailable, "one\ntwo\n")
		if looks != 2 {
			t.Errorf("%d looks at two checks, want one each", looks)
		}
		time.Sleep(2 * time.Second)
		ask(http.StatusOK, "OK")
	})
}

// TestOpening wants a server to be unhealthy until the last load balancer of before the start
// serves.
func TestOpening(t *testing.T) {
	for _, test := range []struct {
		waiting int
		known   bool
		want    string
	}{
		{0, false, "the load balancers are still closed after the start"},
		{3, true, "3 load balancers are still closed after the start"},
		{0, true, "<nil>"},
	} {
		err := health.Opening(func() (int, bool) { return test.waiting, test.known })(t.Context())
		if got := fmt.Sprint(err); got != test.want {
			t.Errorf("%d, %v: %s, want %s", test.waiting, test.known, got, test.want)
		}
	}
}

package octavia_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"poise/internal/dataplane/accesslog"
	"poise/internal/octavia"
)

// TestStreamsHaveShares has one tenant open streams until it is refused. Another tenant gets its streams all the while, and the
// first one gets more as soon as it closes some.
func TestStreamsHaveShares(t *testing.T) {
	var service *octavia.API
	a := newAPI(t, func(c *octavia.Config) {
		c.FollowLog = func(ctx context.Context, _, _ string) *accesslog.Follower { return (&accesslog.Log{}).Follow(ctx) }
		c.Watch = func(context.Context, string) <-chan map[string]int64 { return make(chan map[string]int64) }
		service = octavia.New(*c)
	})
	a.handler = service.Handler()
	server := httptest.NewServer(service.Handler())
	t.Cleanup(server.Close)
	t.Cleanup(service.EndLogs)
	ours, theirs := a.tree("member", "one"), a.addPolicy("memberB", a.tree("memberB", "two"))
	ours = a.addPolicy("member", ours)
	log := func(listener string) string { return server.URL + "/v2.0/lbaas/listeners/" + listener + "/log" }
	watch := server.URL + "/v2.0/lbaas/watch"
	for name, test := range map[string]struct {
		urls          []string // of one tenant
		other         string   // of the other tenant
		user, project int
		third         string // who belongs to the same project
	}{
		"logs":    {[]string{log(ours.listener), log(ours.http)}, log(theirs.listener), 8, 16, "lbmember"},
		"watches": {[]string{watch}, watch, 50, 100, "lbmember"},
	} {
		t.Run(name, func(t *testing.T) {
			var held []*tail
			fill := func(user string, wanted int, limit string) {
				t.Helper()
				for n := range wanted + 1 {
					s := a.tail(user, test.urls[n%len(test.urls)])
					if s.StatusCode == http.StatusOK {
						held = append(held, s)
						continue
					}
					said := s.next()
					if n != wanted || s.StatusCode != http.StatusTooManyRequests || !strings.Contains(said, limit) ||
						!strings.Contains(said, `"faultcode":"Client"`) {
						t.Fatalf("stream %d of %s: %d %s, want %d and then a fault that names %q", n+1, user, s.StatusCode, said, wanted, limit)
					}
					return
				}
				t.Fatalf("%s has more than %d streams", user, wanted)
			}
			fill("member", test.user, "user 1 has")
			fill("reader", test.project-test.user, "has all")
			fill(test.third, 0, "project "+projectA)
			other := a.tail("memberB", test.other)
			if other.StatusCode != http.StatusOK {
				t.Errorf("another tenant: %d %s", other.StatusCode, other.next())
			}
			for _, s := range held {
				_ = s.Body.Close()
			}
			for deadline := time.Now().Add(20 * time.Second); ; {
				if a.tail("member", test.urls[0]).StatusCode == http.StatusOK {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("streams that were closed still count")
				}
			}
		})
	}
}

package octavia_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"poise/internal/dataplane/accesslog"
	"poise/internal/octavia"
)

// tail is a client that follows a log.
type tail struct {
	*http.Response
	lines *bufio.Scanner
}

func (a *api) tail(user, url string) *tail {
	a.Helper()
	r, err := http.NewRequestWithContext(a.Context(), http.MethodGet, url, nil)
	if err != nil {
		a.Fatal(err)
	}
	r.Header.Set("X-Auth-Token", user)
	r.Header.Set("Accept", "text/event-stream")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		a.Fatal(err)
	}
	a.Cleanup(func() { _ = answer.Body.Close() })
	return &tail{answer, bufio.NewScanner(answer.Body)}
}

// next is the next line that says something, "" at the end.
func (l *tail) next() string {
	for l.lines.Scan() {
		if l.lines.Text() != "" {
			return l.lines.Text()
		}
	}
	return ""
}

func TestFollowLog(t *testing.T) {
	var log accesslog.Log
	var served string
	var service *octavia.API
	a := newAPI(t, func(c *octavia.Config) {
		c.FollowLog = func(ctx context.Context, _, listenerID string) *accesslog.Follower {
			if listenerID != served {
				return nil
			}
			return log.Follow(ctx)
		}
		service = octavia.New(*c)
	})
	tree := a.tree("member", "one")
	served = tree.listener
	server := httptest.NewServer(service.Handler())
	defer server.Close()
	url := server.URL + tree.in("/v2.0/lbaas/listeners/{listener}/log")
	for user, want := range map[string]int{"memberB": 403, "nobody": 403, "strange": 401} {
		if got := a.tail(user, url).StatusCode; got != want {
			t.Errorf("%s: %d, want %d", user, got, want)
		}
	}
	if got := a.tail("member", server.URL+"/v2.0/listeners/"+missingID+"/log").StatusCode; got != 404 {
		t.Errorf("a listener that is not there: %d", got)
	}
	served = ""
	if got := a.tail("member", url).StatusCode; got != 409 {
		t.Errorf("a listener that is not served: %d", got)
	}
	served = tree.listener

	l := a.tail("reader", url)
	if got := l.Header.Get("Content-Type"); l.StatusCode != 200 || got != "text/event-stream" || l.next() != ": following" {
		t.Fatalf("%d %s", l.StatusCode, got)
	}
	log.Write(accesslog.Record{ListenerID: served, Target: "/a\nb", Status: 200, End: accesslog.Complete})
	var r accesslog.Record
	data, isData := strings.CutPrefix(l.next(), "data: ")
	if err := json.Unmarshal([]byte(data), &r); err != nil || !isData || r.Target != "/a\nb" || r.Status != 200 {
		t.Errorf("%q: %v", data, err)
	}
	for range 7 {
		a.tail("member", url)
	}
	if got := a.tail("member", url).StatusCode; got != 429 {
		t.Errorf("one too many: %d", got)
	}
	service.EndLogs()
	if rest, err := io.ReadAll(l.Body); err != nil || len(rest) > 0 {
		t.Errorf("after the end: %q, %v", rest, err)
	}
}

// TestSlowFollower is told of what it has missed.
func TestSlowFollower(t *testing.T) {
	var log accesslog.Log
	var service *octavia.API
	a := newAPI(t, func(c *octavia.Config) {
		c.FollowLog = func(ctx context.Context, _, _ string) *accesslog.Follower {
			f := log.Follow(ctx)
			for i := range cap(f.Records) + 3 { // nobody reads yet
				log.Write(accesslog.Record{Status: i})
			}
			return f
		}
		service = octavia.New(*c)
	})
	tree := a.tree("member", "one")
	server := httptest.NewServer(service.Handler())
	defer server.Close()
	l := a.tail("member", server.URL+tree.in("/v2.0/listeners/{listener}/log"))
	var said []string
	for range 4 {
		said = append(said, l.next())
	}
	want := []string{": following", fmt.Sprintf("data: %s", mustJSON(accesslog.Record{})), "event: dropped", `data: {"records":3}`}
	if fmt.Sprint(said) != fmt.Sprint(want) {
		t.Errorf("%q, want %q", said, want)
	}
	service.EndLogs()
}

func mustJSON(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(data)
}

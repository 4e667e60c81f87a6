package neutron_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"poise/internal/database"
	"poise/internal/database/databasetest"
	"poise/internal/fabric"
	"poise/internal/neutron"
	"poise/internal/rest"
)

// The callers of the tests; the token of each is its user's name.
var (
	root  = rest.Caller{UserID: "u0", UserName: "root", ProjectID: "p0", Roles: []string{"admin", "member", "reader"}}
	alice = rest.Caller{UserID: "u1", UserName: "alice", ProjectID: "p1", Roles: []string{"member", "reader"}}
	bob   = rest.Caller{UserID: "u2", UserName: "bob", ProjectID: "p2", Roles: []string{"member", "reader"}}
	eve   = rest.Caller{UserID: "u3", UserName: "eve", ProjectID: "p1", Roles: []string{"reader"}}
)

var people = tokens{"root": root, "alice": alice, "bob": bob, "eve": eve}

type tokens map[string]rest.Caller

func (t tokens) Verify(_ context.Context, token string) (rest.Caller, error) {
	if c, ok := t[token]; ok {
		return c, nil
	}
	return rest.Caller{}, rest.ErrUnauthenticated
}

// recorder is a fabric that makes nothing and remembers what it was told.
type recorder struct {
	name string

	mu       sync.Mutex // guards what follows
	applied  []fabric.Topology
	failures int // attempts that are still to fail
}

func (f *recorder) Name() string { return f.name }

func (f *recorder) CheckSubnet(_ string, cidr netip.Prefix, _ bool) error {
	if netip.MustParsePrefix("203.0.113.0/24").Overlaps(cidr) {
		return &fabric.UnsupportedSubnetError{CIDR: cidr, Why: "it is for documents only"}
	}
	return nil
}

func (f *recorder) CheckMember(netip.AddrPort) error { return nil }

func (f *recorder) Apply(_ context.Context, t fabric.Topology) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failures > 0 {
		f.failures--
		return io.ErrUnexpectedEOF
	}
	f.applied = append(f.applied, t)
	return nil
}

func (f *recorder) last() (t fabric.Topology, attempts int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.applied) == 0 {
		return t, 0
	}
	return f.applied[len(f.applied)-1], len(f.applied)
}

func (f *recorder) Plug(context.Context, string, []fabric.Port) (fabric.Endpoint, error) {
	return fabric.Endpoint{}, nil
}
func (f *recorder) Unplug(context.Context, string) error         { return nil }
func (f *recorder) Prune(context.Context, []string) error        { return nil }
func (f *recorder) PruneServers(context.Context, []string) error { return nil }
func (f *recorder) PlugServer(context.Context, string, []fabric.Port) (fabric.Server, error) {
	return fabric.Server{}, nil
}
func (f *recorder) UnplugServer(context.Context, string) error { return nil }
func (f *recorder) Close() error                               { return nil }
func (f *recorder) Release()                                   {}

// cloud is a running network service.
type cloud struct {
	t       testing.TB
	service *neutron.Service
	fabric  *recorder
	url     string
}

// onEach runs the test on a new service with each database engine.
func onEach(t *testing.T, f func(t *testing.T, c *cloud)) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) { f(t, start(t, db, "linux")) })
}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(databasetest.Suite{M: m})
}

func start(t testing.TB, db *database.DB, fabricName string) *cloud {
	t.Helper()
	recorded := &recorder{name: fabricName}
	c := startOn(t, db, recorded)
	c.fabric = recorded
	return c
}

// startOn runs the service on any fabric.
func startOn(t testing.TB, db *database.DB, f fabric.Fabric) *cloud {
	t.Helper()
	c := &cloud{t: t}
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	c.url = server.URL + "/network"
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	var err error
	c.service, err = neutron.New(t.Context(), neutron.Config{DB: db, Fabric: f, Log: log, PublicURL: c.url})
	if err != nil {
		t.Fatal(err)
	}
	mux.Handle("/network/", rest.Frame{Log: log}.Around(rest.Authenticate(people, server.URL, http.StripPrefix("/network", c.service.Handler()))))
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- c.service.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c
}

type object = map[string]any

// call makes a request and returns status and body.
func (c *cloud) call(who rest.Caller, method, path string, body any) (int, object) {
	c.t.Helper()
	return c.callIf(who, "", method, path, body)
}

// callIf is call under a condition: If-Match.
func (c *cloud) callIf(who rest.Caller, match, method, path string, body any) (int, object) {
	c.t.Helper()
	var payload io.Reader
	if text, ok := body.(string); ok {
		payload = bytes.NewReader([]byte(text))
	} else if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			c.t.Fatal(err)
		}
		payload = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, payload)
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("X-Auth-Token", who.UserName)
	if match != "" {
		request.Header.Set("If-Match", match)
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	answer := object{}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &answer); err != nil {
			c.t.Fatalf("%s %s: %v in %q", method, path, err, raw)
		}
	}
	return response.StatusCode, answer
}

// must is call for requests that have to succeed; it returns the object in the envelope.
func (c *cloud) must(who rest.Caller, method, path string, body any) object {
	c.t.Helper()
	status, answer := c.call(who, method, path, body)
	if status >= 300 {
		c.t.Fatalf("%s %s: %d %v", method, path, status, answer)
	}
	for _, inner := range answer {
		if o, ok := inner.(object); ok && len(answer) == 1 {
			return o
		}
	}
	return answer
}

// refused makes a request that has to fail with status and NeutronError type.
func (c *cloud) refused(who rest.Caller, method, path string, body any, status int, kind string) {
	c.t.Helper()
	got, answer := c.call(who, method, path, body)
	fault, _ := answer["NeutronError"].(object)
	if got != status || fault["type"] != kind {
		c.t.Errorf("%s %s: %d %v, want %d %s", method, path, got, answer, status, kind)
	}
}

func (c *cloud) network(who rest.Caller, attributes object) object {
	c.t.Helper()
	if attributes == nil {
		attributes = object{}
	}
	return c.must(who, "POST", "/v2.0/networks", object{"network": attributes})
}

func (c *cloud) subnet(who rest.Caller, network object, cidr string) object {
	c.t.Helper()
	return c.must(who, "POST", "/v2.0/subnets", object{"subnet": object{"network_id": network["id"], "cidr": cidr, "ip_version": 4}})
}

func (c *cloud) port(who rest.Caller, network object, attributes object) object {
	c.t.Helper()
	all := object{"network_id": network["id"]}
	for name, value := range attributes {
		all[name] = value
	}
	return c.must(who, "POST", "/v2.0/ports", object{"port": all})
}

func id(o object) string { return o["id"].(string) }

// ids lists a collection and returns the ids in their order.
func (c *cloud) ids(who rest.Caller, plural, query string) []string {
	c.t.Helper()
	status, answer := c.call(who, "GET", "/v2.0/"+plural+query, nil)
	if status != 200 {
		c.t.Fatalf("list of %s: %d %v", plural, status, answer)
	}
	ids := []string{}
	for _, one := range answer[strings.ReplaceAll(plural, "-", "_")].([]any) {
		ids = append(ids, id(one.(object)))
	}
	return ids
}

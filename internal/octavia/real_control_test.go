package octavia_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"poise/internal/control"
	"poise/internal/database"
	"poise/internal/database/databasetest"
	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
	"poise/internal/fabric"
	"poise/internal/lb"
	"poise/internal/link"
	"poise/internal/octavia"
	"poise/internal/rest"
	"poise/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(databasetest.Suite{M: m}) }

// network gives every load balancer the address that it asks for, or the same one.
type network struct{}

func (network) CreateVIP(_ context.Context, _ rest.Caller, asked lb.VIPRequest) (lb.VIP, error) {
	if !asked.Address.IsValid() {
		asked.Address = netip.MustParseAddr("10.0.2.35")
	}
	return lb.VIP{
		PortID: missingID, SubnetID: subnetID, NetworkID: networkID, Address: asked.Address,
		Additional: asked.Additional, VIPOptions: asked.VIPOptions,
	}, nil
}
func (network) ReleaseVIP(context.Context, string) error                 { return nil }
func (network) VIPOwners(context.Context) ([]string, error)              { return nil, nil }
func (network) CheckMember(netip.AddrPort) error                         { return nil }
func (network) SubnetVisible(context.Context, rest.Caller, string) error { return nil }
func (network) VIPOptionsVisible(context.Context, rest.Caller, lb.VIPOptions) error {
	return nil
}

func (network) AttachVIP(context.Context, lb.VIP) (fabric.Port, error) {
	return fabric.Port{}, nil
}

// node applies everything at once and serves nothing.
// secrets are never asked for: nothing here has TLS.
type secrets struct{ control.Secrets }

func (secrets) Changed(context.Context, time.Time) ([]string, time.Time, error) {
	return nil, time.Time{}, nil
}

type node struct{}

func (node) Apply(context.Context, link.Assignment) error  { return nil }
func (node) Remove(context.Context, string) error          { return nil }
func (node) Prune(context.Context, []string) error         { return nil }
func (node) Counters(string) map[string]dataplane.Counters { return nil }

func (node) Members(string) map[dataplane.MemberKey]dataplane.MemberCounters { return nil }
func (node) History(_, _, _ string) []dataplane.Probe {
	return []dataplane.Probe{{Count: 3, OK: true}, {Count: 1, Reason: "connection refused by 10.0.0.5:80", Duration: 1500 * time.Microsecond, Changed: true}}
}
func (node) FollowLog(context.Context, string, string) *accesslog.Follower { return nil }

// TestOnRealControl follows a tree from creation to deletion on the real control plane and store.
func TestOnRealControl(t *testing.T) {
	a := realAPI(t)
	tree := a.tree("member", "one")
	paths := []string{
		"/loadbalancers/{lb}", "/listeners/{listener}", "/pools/{pool}", "/pools/{pool}/members/{member}", "/healthmonitors/{monitor}",
	}
	for _, path := range paths {
		a.until(tree.in(path), "200 ACTIVE")
	}
	a.wantPast(tree)
	a.must("member", "PUT", tree.in("/pools/{pool}/members"), `{"members": [{"address": "10.0.0.9", "protocol_port": 80}]}`, 202)
	a.until(tree.in("/pools/{pool}/members/{member}"), "404 <nil>")
	a.refused("memberB", "GET", tree.in("/pools/{pool}"), "", 403, "Policy does not allow")
	a.refused("member", "POST", "/listeners", tree.in(`{"listener": {"protocol": "TCP", "protocol_port": 80, "loadbalancer_id": "{lb}"}}`), 409, "already using")
	if stats := a.must("member", "GET", tree.in("/loadbalancers/{lb}/stats"), "", 200); stats["bytes_in"] != 0.0 {
		t.Errorf("statistics %v", stats)
	}
	if names := a.names("member", "/pools?loadbalancer_id="+tree.lb); names != "p-one" {
		t.Errorf("pools %q", names)
	}
	a.must("member", "DELETE", tree.in("/loadbalancers/{lb}?cascade=true"), "", 204)
	for _, path := range paths[:3] {
		a.until(tree.in(path), "404 <nil>")
	}
}

// wantPast wants the API to tell what has happened to a new tree, and only to those who may see it.
func (a *api) wantPast(tree tree) {
	a.Helper()
	events := a.send("member", "GET", tree.in("/loadbalancers/{lb}/events"), "")
	if text := fmt.Sprint(events.body["events"]); !strings.Contains(text, "type:applied") || !strings.Contains(text, "to:ONLINE") {
		a.Errorf("events %s", text)
	}
	series := a.must("member", "GET", tree.in("/loadbalancers/{lb}/series"), "", 200)
	if series["step"] != 10.0 || series["points"] != 360.0 || len(series["objects"].([]any)) != 0 {
		a.Errorf("series %v", series)
	}
	health := a.must("member", "GET", tree.in("/pools/{pool}/members/{member}/health"), "", 200)
	last := health["probes"].([]any)[0].(map[string]any)
	if last["reason"] != "connection refused by 10.0.0.5:80" || last["changed"] != true || last["duration_ms"] != 1.5 || health["operating_status"] == nil {
		a.Errorf("health %v", health)
	}
	for _, path := range []string{"/loadbalancers/{lb}/events", "/loadbalancers/{lb}/series", "/pools/{pool}/members/{member}/health"} {
		a.refused("memberB", "GET", tree.in(path), "", 403, "Policy does not allow")
	}
}

func realAPI(t *testing.T) *api { return realAPIOn(t, databasetest.SQLite(t)) }

// realAPIOn starts an API with a control plane and a store of its own, so that it has nothing in memory of what others have
// written to the database.
func realAPIOn(t *testing.T, db *database.DB) *api {
	balancers, err := store.New(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	plane := control.New(balancers, network{}, secrets{}, node{}, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- plane.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &api{TB: t, handler: rest.Frame{Log: slog.New(slog.DiscardHandler)}.Around(octavia.New(octavia.Config{
		Control: plane, Certificates: vault{}, Past: plane, Quotas: balancers, Offers: balancers, Verifier: tokens{}, PublicURL: publicURL,
		Log: slog.New(slog.DiscardHandler),
	}).Handler())}
}

// until asks for an object until it answers with the status and provisioning status that is wanted.
func (a *api) until(path, want string) {
	a.Helper()
	deadline := time.After(10 * time.Second)
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for got := ""; ; {
		select {
		case <-deadline:
			a.Fatalf("%s is %s, want %s", path, got, want)
		case <-poll.C:
		}
		answer := a.send("member", "GET", path, "")
		var status any
		for _, v := range answer.body {
			if object, ok := v.(map[string]any); ok {
				status = object["provisioning_status"]
			}
		}
		if got = fmt.Sprintf("%d %v", answer.Code, status); got == want {
			return
		}
	}
}

func (network) AttachPlainVIPs(context.Context, map[string]lb.VIP) (map[string]fabric.Port, error) {
	return nil, nil
}

func (network) AttachMembers(context.Context, string, lb.VIP, []string) ([]fabric.Port, error) {
	return nil, nil
}
func (network) DetachMembers(context.Context, string, lb.VIP, []string) error { return nil }

package octavia_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"poise/internal/dataplane/accesslog"
	"poise/internal/lb"
	"poise/internal/octavia"
	"poise/internal/telemetry"
)

// past remembers one of each, at a time that another zone's clock has shown.
type past struct{ noPast }

var remembered = time.Date(2026, 1, 2, 3, 4, 5, 60_789_000, time.FixedZone("", 2*60*60))

func (past) Events(string) []telemetry.Event {
	return []telemetry.Event{{Time: remembered, Type: telemetry.StatusChanged, ObjectType: "member", ObjectID: "m", To: lb.Online}}
}

func (past) Probes(_, _, _ string) []telemetry.Probe {
	return []telemetry.Probe{{Time: remembered, Count: 2, Reason: "refused", DurationMs: 1.5}}
}

// TestPast holds the answers about the past, and that their times are in UTC and to the millisecond. That they are what the
// document says is looked at with every answer.
func TestPast(t *testing.T) {
	a := newAPI(t, func(c *octavia.Config) { c.Past = past{} })
	tree := a.tree("member", "one")
	const shown = "2026-01-02T01:04:05.060Z"
	for path, want := range map[string]map[string]any{
		"/loadbalancers/{lb}/events": {"events": []any{map[string]any{
			"time": shown, "type": "status", "object_type": "member", "object_id": "m", "object_name": "", "to": "ONLINE",
		}}},
		"/loadbalancers/{lb}/series": {"series": map[string]any{"from": nil, "step": 10.0, "points": 360.0, "objects": []any{}}},
		"/pools/{pool}/members/{member}/health": {"health": map[string]any{
			"operating_status": "OFFLINE", "status_reason": "", "since": nil,
			"probes": []any{map[string]any{"time": shown, "count": 2.0, "ok": false, "reason": "refused", "duration_ms": 1.5, "changed": false}},
		}},
	} {
		if diff := cmp.Diff(want, a.send("member", "GET", tree.in(path), "").body); diff != "" {
			t.Errorf("%s (-want +got)\n%s", path, diff)
		}
	}
}

// TestEventsAreDescribed holds the data of events to what the document says of them.
func TestEventsAreDescribed(t *testing.T) {
	doc := newAPI(t).documented()
	record := mustJSON(accesslog.Record{Time: remembered, Method: "GET", Status: 200, End: accesslog.Complete, ConnectMs: 0.5})
	for _, test := range []struct {
		path, event, data string
		isRight           bool
	}{
		{"/watch", "changed", `{"loadbalancer_id":"a","version":1}`, true},
		{"/watch", "changed", `{"loadbalancer_id":"a"}`, false},
		{"/watch", "resync", `{}`, true},
		{"/watch", "resync", `{"version":1}`, false},
		{"/listeners/{id}/log", "message", record, true},
		{"/listeners/{id}/log", "message", strings.Replace(record, "{", `{"more": 1, `, 1), false},
		{"/listeners/{id}/log", "dropped", `{"records":3}`, true},
	} {
		stream := doc.Paths.Find(test.path).Get.Responses.Status(200).Value.Content["text/event-stream"]
		var events map[string]struct {
			Description string
			Data        openapi3.Schema
		}
		if err := json.Unmarshal([]byte(mustJSON(stream.Extensions["x-events"])), &events); err != nil {
			t.Fatal(err)
		}
		var data any
		if err := json.Unmarshal([]byte(test.data), &data); err != nil {
			t.Fatal(err)
		}
		described := events[test.event]
		if err := described.Data.VisitJSON(data); (err == nil) != test.isRight || described.Description == "" {
			t.Errorf("%s: %s %s: %v", test.path, test.event, test.data, err)
		}
	}
}

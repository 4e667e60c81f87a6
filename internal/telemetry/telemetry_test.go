package telemetry_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"poise/internal/lb"
	"poise/internal/telemetry"
)

func object(id string) lb.Object { return lb.Object{ID: id, Name: "the " + id} }

func tree() *lb.LoadBalancer {
	return &lb.LoadBalancer{
		Object:    object("lb"),
		Listeners: []*lb.Listener{{Object: object("http")}, {Object: object("ssh")}},
		Pools:     []*lb.Pool{{Object: object("pool"), Members: []*lb.Member{{Object: object("a")}, {Object: object("b")}}}},
	}
}

func statuses(of map[string]lb.OperatingStatus) map[string]lb.Status {
	all := map[string]lb.Status{}
	for id, is := range of {
		all[id] = lb.Status{Operating: is, Reason: string(is) + " because"}
	}
	return all
}

func TestEventsTellWhatChanged(t *testing.T) {
	m, now := telemetry.New(), time.Unix(1000, 0)
	up := lb.Observation{Applied: 1, Status: statuses(map[string]lb.OperatingStatus{"lb": lb.Online, "a": lb.Online})}
	down := lb.Observation{Applied: 1, Status: statuses(map[string]lb.OperatingStatus{"lb": lb.Online, "a": lb.InError})}
	failed := down
	failed.Failure = "no room"
	m.Note(tree(), lb.Observation{}, up, now)
	m.Note(tree(), up, up, now)
	m.Note(tree(), up, down, now)
	m.Note(tree(), down, failed, now)
	m.Note(tree(), failed, failed, now)
	var got []string
	for _, e := range m.Events("lb") {
		got = append(got, fmt.Sprintf("%s %s %s: %s > %s (%s)", e.Type, e.ObjectType, e.ObjectID, e.From, e.To, e.Reason))
	}
	want := []string{
		"failed loadbalancer lb:  >  (no room)",
		"status member a: ONLINE > ERROR (ERROR because)",
		"status member a:  > ONLINE (ONLINE because)",
		"status loadbalancer lb:  > ONLINE (ONLINE because)",
		"applied loadbalancer lb:  >  (generation 1 is served)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("events\n%q\nwant\n%q", got, want)
	}
	m.Forget("lb")
	if left := m.Events("lb"); len(left) != 0 {
		t.Errorf("after the load balancer is gone: %v", left)
	}
}

func TestEventsAreBounded(t *testing.T) {
	m := telemetry.New()
	for i := range int64(1000) {
		m.Note(tree(), lb.Observation{Applied: i}, lb.Observation{Applied: i + 1}, time.Unix(i, 0))
	}
	all := m.Events("lb")
	if len(all) != 200 || all[0].Reason != "generation 1000 is served" || all[199].Reason != "generation 801 is served" {
		t.Errorf("%d events, from %q to %q", len(all), all[0].Reason, all[len(all)-1].Reason)
	}
}

// last is the end of a column, the newest point first.
func last(column []uint64, n int) (points []uint64) {
	for i := range n {
		points = append(points, column[len(column)-1-i])
	}
	return points
}

func TestSeries(t *testing.T) {
	m, start := telemetry.New(), time.Unix(1_000_000, 0)
	at := func(step int) time.Time { return start.Add(time.Duration(step) * telemetry.Step) }
	record := func(step int, total uint64) {
		m.Record("lb", at(step), map[string]telemetry.Sample{
			"http": {Active: 2, Connections: total, BytesIn: 10 * total}, "ssh": {}, "a": {Requests: total}, "b": {Requests: 2 * total},
		})
	}
	record(0, 5)
	record(1, 7)
	record(3, 11) // a step was missed
	record(4, 1)  // the data plane has started anew
	from, all := m.Series(tree(), at(5))
	if want := at(5).Add(-(telemetry.Points - 1) * telemetry.Step); !from.Equal(want) {
		t.Errorf("from %s, want %s", from, want)
	}
	byID := map[string]telemetry.Series{}
	var order []string
	for _, s := range all {
		byID[s.ObjectID] = s
		order = append(order, s.ObjectID)
	}
	if want := []string{"lb", "http", "pool", "a", "b"}; !slices.Equal(order, want) {
		t.Fatalf("series of %v, want %v: those with traffic, and the sums", order, want)
	}
	for name, test := range map[string]struct {
		column []uint64
		want   []uint64 // the newest first
	}{
		"connections":        {byID["http"].Connections, []uint64{0, 1, 4, 0, 2, 5, 0}},
		"bytes":              {byID["http"].BytesIn, []uint64{0, 10, 40, 0, 20, 50, 0}},
		"active":             {byID["http"].Active, []uint64{0, 2, 2, 0, 2, 2, 0}},
		"the load balancer":  {byID["lb"].Connections, []uint64{0, 1, 4, 0, 2, 5, 0}},
		"a pool's requests":  {byID["pool"].Requests, []uint64{0, 3, 12, 0, 6, 15, 0}},
		"a member's request": {byID["b"].Requests, []uint64{0, 2, 8, 0, 4, 10, 0}},
	} {
		if got := last(test.column, len(test.want)); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
	if _, later := m.Series(tree(), at(5+telemetry.Points)); slices.Max(later[0].Connections) != 0 {
		t.Error("points stay longer than an hour")
	}
	m.Record("lb", at(6), map[string]telemetry.Sample{"http": {}})
	if _, now := m.Series(tree(), at(6)); len(now) != 2 {
		t.Errorf("%d series after the members are gone, want those of the load balancer and its listener", len(now))
	}
}

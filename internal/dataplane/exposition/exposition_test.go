package exposition

import (
	"bytes"
	"errors"
	"flag"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"poise/internal/dataplane"
)

var update = flag.Bool("update", false, "write the golden file")

func sample() Snapshot {
	key := func(listener, pool, member string) dataplane.MemberKey {
		return dataplane.MemberKey{ListenerID: listener, PoolID: pool, MemberID: member}
	}
	return Snapshot{
		Config: &dataplane.Config{
			Listeners: []dataplane.Listener{
				{ID: "web", Protocol: dataplane.HTTP, PoolID: "blue", ConnectionLimit: 100, HTTP: &dataplane.Requests{
					Policies: []dataplane.Policy{{Action: dataplane.RedirectToPool, PoolID: "green"}, {Action: dataplane.Reject}},
				}},
				{ID: "db", Protocol: dataplane.TCP, PoolID: "green"},
				{ID: "dns", Protocol: dataplane.UDP, PoolID: "dns"},
				{ID: "metrics", Protocol: dataplane.Prometheus},
			},
			Pools: []dataplane.Pool{
				{ID: "green", Members: []dataplane.Member{{ID: "g1", Weight: 5}, {ID: "g2", Backup: true, Weight: 1}}},
				{ID: "blue", Members: []dataplane.Member{{ID: "b1", Weight: 1}, {ID: "b2", Weight: 1, Disabled: true}, {ID: "b3", Weight: 0}}},
				{ID: "dns", Members: []dataplane.Member{{ID: "d1"}}},
			},
		},
		States: map[string]dataplane.ListenerState{"web": {Listening: true}, "db": {}, "metrics": {Listening: true}},
		Counters: map[string]dataplane.Counters{
			"web": {
				Active: 3, Total: 10, BytesIn: 1000, BytesOut: 1 << 60, Errors: 2, Requests: 40, Denied: 1, Handshakes: 9,
				Responses: [6]uint64{1, 2, 30, 3, 4, 5},
			},
			"db": {Active: 1, Total: 5},
		},
		Members: map[dataplane.MemberKey]dataplane.MemberCounters{
			key("web", "blue", "b1"):  {Active: 2, Total: 4, ConnectTime: time.Second, TotalTime: 10 * time.Second, Responses: [6]uint64{0, 0, 4}},
			key("web", "green", "g1"): {Total: 1, BytesIn: 7, ConnectErrors: 2, ResponseErrors: 3, Redispatches: 4, ClientAborts: 5, MemberAborts: 6},
			key("db", "green", "g1"):  {Total: 5},
			key("db", "green", "g2"):  {Total: 1, BytesOut: 11},
		},
		IsDown: func(_, member string) bool { return member == "g1" },
	}
}

func TestWrite(t *testing.T) {
	var got bytes.Buffer
	if err := Write(&got, sample()); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/metrics.txt"
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if diff := cmp.Diff(string(want), got.String()); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

// TestPrometheusReadsIt has Prometheus' own reader, and what promtool checks, look at it.
func TestPrometheusReadsIt(t *testing.T) {
	s := sample()
	s.Config.Listeners[0].ID = "we\"i\\r\nd"
	var page bytes.Buffer
	if err := Write(&page, s); err != nil {
		t.Fatal(err)
	}
	reader := expfmt.NewTextParser(model.LegacyValidation)
	families, err := reader.TextToMetricFamilies(bytes.NewReader(page.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	weird := 0
	for name, f := range families {
		if f.GetHelp() == "" || len(f.GetMetric()) == 0 {
			t.Errorf("%s: help %q, %d samples", name, f.GetHelp(), len(f.GetMetric()))
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetValue() == s.Config.Listeners[0].ID {
					weird++
				}
			}
			if v := m.GetGauge().GetValue() + m.GetCounter().GetValue(); math.IsNaN(v) || math.IsInf(v, 0) {
				t.Errorf("%s is %v", name, v)
			}
		}
	}
	if weird == 0 {
		t.Error("the label did not survive")
	}
	problems, err := promlint.New(bytes.NewReader(page.Bytes())).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", err, problems)
	}
	if !strings.Contains(page.String(), `octavia_listener_http_responses_total{listener="we\"i\\r\nd",code="2xx"} 0`) {
		t.Error("the label is not escaped")
	}
}

func TestNothingIsServed(t *testing.T) {
	var page bytes.Buffer
	if err := Write(&page, Snapshot{Config: &dataplane.Config{}}); err != nil || !strings.Contains(page.String(), "octavia_loadbalancer_listeners 0\n") {
		t.Errorf("%v %s", err, page.String())
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("gone") }

func TestReaderThatLeaves(t *testing.T) {
	if err := Write(broken{}, sample()); err == nil {
		t.Error("nobody noticed")
	}
}

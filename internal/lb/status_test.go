package lb_test

import (
	"testing"
	"time"

	"poise/internal/lb"
)

func TestUpdatedAtFollowsTheStatusToo(t *testing.T) {
	created := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	o := &lb.Object{ID: "x", CreatedAt: created, CreatedIn: 1, ChangedIn: 1}
	s := lb.Snapshot{Tree: &lb.LoadBalancer{Object: *o}}
	if got := s.UpdatedAt(o); !got.IsZero() {
		t.Errorf("an object that is being created was updated at %v", got)
	}
	served := created.Add(2500 * time.Millisecond)
	s.Observed = lb.Observation{Applied: 1, Status: map[string]lb.Status{"x": {Operating: lb.Online, Since: served}}}
	if got, want := s.UpdatedAt(o), created.Add(2*time.Second); !got.Equal(want) {
		t.Errorf("updated at %v, want %v: when it came into service", got, want)
	}
	o.UpdatedAt = created.Add(time.Hour)
	if got := s.UpdatedAt(o); !got.Equal(o.UpdatedAt) {
		t.Errorf("updated at %v, want %v: the later change", got, o.UpdatedAt)
	}
}

func TestObservationEqual(t *testing.T) {
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	observation := func(change func(*lb.Observation)) lb.Observation {
		o := lb.Observation{Applied: 2, FailedIn: 3, Failure: "f", Status: map[string]lb.Status{"x": {Operating: lb.Online, Reason: "r", Since: noon}}}
		change(&o)
		return o
	}
	status := func(s lb.Status) func(*lb.Observation) {
		return func(o *lb.Observation) { o.Status = map[string]lb.Status{"x": s} }
	}
	one := observation(func(*lb.Observation) {})
	for name, test := range map[string]struct {
		change func(*lb.Observation)
		same   bool
	}{
		"same":                 {func(*lb.Observation) {}, true},
		"same in another zone": {status(lb.Status{Operating: lb.Online, Reason: "r", Since: noon.In(time.FixedZone("", 3600))}), true},
		"applied":              {func(o *lb.Observation) { o.Applied++ }, false},
		"failed in":            {func(o *lb.Observation) { o.FailedIn = 0 }, false},
		"failure":              {func(o *lb.Observation) { o.Failure = "" }, false},
		"one more":             {func(o *lb.Observation) { o.Status["y"] = lb.Status{} }, false},
		"none":                 {func(o *lb.Observation) { o.Status = nil }, false},
		"operating":            {status(lb.Status{Operating: lb.Offline, Reason: "r", Since: noon}), false},
		"reason":               {status(lb.Status{Operating: lb.Online, Since: noon}), false},
		"since":                {status(lb.Status{Operating: lb.Online, Reason: "r", Since: noon.Add(1)}), false},
	} {
		if got := one.Equal(observation(test.change)); got != test.same {
			t.Errorf("%s: %v", name, got)
		}
	}
}

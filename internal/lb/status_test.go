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

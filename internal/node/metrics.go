package node

import (
	"io"

	"poise/internal/dataplane"
	"poise/internal/dataplane/exposition"
)

// writeMetrics writes the page of the load balancer's PROMETHEUS listeners.
func (s *service) writeMetrics(w io.Writer) {
	type place struct{ poolID, memberID string }
	down := map[place]bool{}
	for _, h := range s.prober.Snapshot() {
		down[place{h.PoolID, h.MemberID}] = h.State == dataplane.HealthDown
	}
	// The reader may leave at any moment; nobody is to be told.
	_ = exposition.Write(w, exposition.Snapshot{
		Config: s.config.Load(), States: s.states(),
		Counters: merged(s.carriers, carrier.Counters), Members: merged(s.carriers, carrier.MemberCounters),
		IsDown: func(poolID, memberID string) bool { return down[place{poolID, memberID}] },
	})
}

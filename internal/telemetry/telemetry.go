// Package telemetry remembers the recent past of every load balancer, in memory and within bounds: what happened to it
// (events), and how much went through its parts during the last hour (series). A restart forgets it; for longer
// histories there are the PROMETHEUS listener and /metrics.
package telemetry

import "sync"

// Memory is the recent past of all load balancers. It is safe for concurrent use.
type Memory struct {
	mu     sync.Mutex // guards what follows
	events map[string]*eventRing
	tracks map[string]map[string]*track // by load balancer and object
	count  int                          // of tracks
}

// New returns a memory of nothing.
func New() *Memory {
	return &Memory{events: map[string]*eventRing{}, tracks: map[string]map[string]*track{}}
}

// Forget drops what is known of a load balancer that is gone.
func (m *Memory) Forget(loadBalancerID string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.events, loadBalancerID)
	m.count -= len(m.tracks[loadBalancerID])
	delete(m.tracks, loadBalancerID)
}

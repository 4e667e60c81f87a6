package control

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"poise/internal/lb"
	"poise/internal/link"
	"poise/internal/store"
)

// flushInterval is how often statistics are kept; a crash loses at most this much of them.
const flushInterval = 10 * time.Second

// statistics adds what the node counts since it started to what was counted before.
type statistics struct {
	store *store.Store
	node  link.Node

	mu     sync.Mutex                        // guards what follows
	before map[string]map[string]lb.Counters // by load balancer and listener: counted before this process
	kept   map[string]map[string]lb.Counters // as last written
}

func newStatistics(s *store.Store, node link.Node) *statistics {
	return &statistics{store: s, node: node, before: map[string]map[string]lb.Counters{}, kept: map[string]map[string]lb.Counters{}}
}

// read returns a load balancer's statistics by listener.
func (s *statistics) read(ctx context.Context, id string) (map[string]lb.Counters, error) {
	before, err := s.past(ctx, id)
	if err != nil {
		return nil, err
	}
	total := maps.Clone(before)
	for listener, c := range s.node.Counters(id) {
		total[listener] = total[listener].Plus(lb.Counters{
			ActiveConnections: c.Active, TotalConnections: c.Total, BytesIn: c.BytesIn, BytesOut: c.BytesOut, RequestErrors: c.Errors,
		})
	}
	return total, nil
}

// past returns what was counted before this process started.
func (s *statistics) past(ctx context.Context, id string) (map[string]lb.Counters, error) {
	s.mu.Lock()
	before, ok := s.before[id]
	s.mu.Unlock()
	if ok {
		return before, nil
	}
	before, err := s.store.Counters(ctx, id)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if first, ok := s.before[id]; ok { // somebody else was faster; what we read may hold counts of this process already
		return first, nil
	}
	s.before[id] = before
	return before, nil
}

func (s *statistics) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.before, id)
	delete(s.kept, id)
}

// run keeps the statistics of all load balancers from time to time, and once more at the end.
func (s *statistics) run(ctx context.Context, log *slog.Logger) error {
	ticker := time.NewTicker(flushInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.flush(ctx, log)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
			defer cancel()
			s.flush(last, log)
			return nil
		}
	}
}

// flush writes the statistics that have moved.
func (s *statistics) flush(ctx context.Context, log *slog.Logger) {
	all, err := s.store.List(ctx, "")
	if err != nil {
		log.WarnContext(ctx, "statistics are not kept this time", "err", err)
		return
	}
	moved := map[string]map[string]lb.Counters{}
	for _, snapshot := range all {
		total, err := s.total(ctx, snapshot.Tree.ID)
		if err != nil {
			log.WarnContext(ctx, "statistics are not kept this time", "load_balancer", snapshot.Tree.ID, "err", err)
			continue
		}
		s.mu.Lock()
		kept, ok := s.kept[snapshot.Tree.ID]
		if !ok {
			kept = s.before[snapshot.Tree.ID]
		}
		if !maps.Equal(total, kept) {
			moved[snapshot.Tree.ID] = total
		}
		s.mu.Unlock()
	}
	if err := s.store.SaveCounters(ctx, moved); err != nil {
		log.WarnContext(ctx, "statistics are not kept this time", "err", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.Copy(s.kept, moved)
}

// total is what is kept of a load balancer: everything but the connections that are open now, none of which outlives the
// process.
func (s *statistics) total(ctx context.Context, id string) (map[string]lb.Counters, error) {
	total, err := s.read(ctx, id)
	if err != nil {
		return nil, err
	}
	for listener, c := range total {
		c.ActiveConnections = 0
		total[listener] = c
	}
	return total, nil
}

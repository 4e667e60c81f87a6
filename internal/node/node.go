// Package node is one traffic node: it owns the load balancers that are assigned to it, plugs their ports into the
// fabric, runs their data plane and their health checks, and reports what it sees. It keeps nothing on disk:
// whatever it should do it is told again after a restart.
package node

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
	"poise/internal/fabric"
	"poise/internal/link"
)

const (
	// watchInterval is how often a node looks for what nobody tells it: a listener that reached its connection limit, or
	// one whose address was taken and may be free now.
	watchInterval = time.Second
	// drainInterval is how often a node that stops looks whether its last clients have left.
	drainInterval = 20 * time.Millisecond
	// reportPause is the least time between two rounds of reports about health: members that fail together are told together.
	reportPause = 50 * time.Millisecond
)

// Node serves load balancers (link.Node).
type Node struct {
	fabric   fabric.Fabric
	engines  *Engines
	reporter link.Reporter
	sink     *accesslog.Sink // nil: access logs have no files
	log      *slog.Logger

	wake chan struct{} // holds a token while some service has something to report

	mu     sync.Mutex // guards served
	served map[string]*service
}

// New returns a node that serves nothing yet. [Node.ReportTo] must be called before its first assignment.
func New(f fabric.Fabric, engines *Engines, log *slog.Logger) *Node {
	return &Node{fabric: f, engines: engines, log: log, wake: make(chan struct{}, 1), served: map[string]*service{}}
}

// ReportTo says who gets the node's reports.
func (n *Node) ReportTo(r link.Reporter) { n.reporter = r }

// LogTo says where the access logs go that have a file.
func (n *Node) LogTo(sink *accesslog.Sink) { n.sink = sink }

// Apply serves the assignment.
func (n *Node) Apply(ctx context.Context, a link.Assignment) error {
	s := n.service(a.LoadBalancerID)
	s.changing.Lock()
	defer s.changing.Unlock()
	if err := n.plug(ctx, s, a); err != nil {
		return err
	}
	s.config.Store(&a.Config) // a is our own copy, and nobody changes it any more
	s.apply()
	s.keepLogs(n.sink)
	s.prober.Apply(&a.Config)
	s.generation.Store(a.Generation)
	n.report(s)
	return nil
}

func (n *Node) service(id string) *service {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.served[id]
	if s == nil {
		s = &service{id: id}
		n.served[id] = s
	}
	return s
}

// plug gives the load balancer its ports, and at its first time its data plane.
func (n *Node) plug(ctx context.Context, s *service, a link.Assignment) error {
	if s.prober != nil && !a.Replug && samePorts(s.ports, a.Ports) {
		return nil
	}
	endpoint, err := n.fabric.Plug(ctx, a.LoadBalancerID, a.Ports)
	if err != nil {
		return fmt.Errorf("plugging the load balancer into its network: %w", err)
	}
	s.ports, s.bind = a.Ports, endpoint.Bind
	if s.prober == nil {
		n.equip(s, endpoint.Net)
		return nil
	}
	if s.network.replace(endpoint.Net) && s.config.Load() != nil {
		s.leave()
	}
	return nil
}

// Remove stops serving a load balancer and takes its ports away.
func (n *Node) Remove(ctx context.Context, id string) error {
	s := n.service(id)
	s.changing.Lock()
	defer s.changing.Unlock()
	s.stop()
	if err := n.fabric.Unplug(ctx, id); err != nil {
		return fmt.Errorf("unplugging the load balancer: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.served, id)
	return nil
}

// Prune removes every load balancer that is not listed, those of an earlier process included.
func (n *Node) Prune(ctx context.Context, keep []string) error {
	return n.fabric.Prune(ctx, keep)
}

// serving is the load balancer, nil when it is not served.
func (n *Node) serving(id string) *service {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := n.served[id]; s != nil && s.generation.Load() != 0 {
		return s
	}
	return nil
}

// Counters reads a load balancer's statistics by listener.
func (n *Node) Counters(id string) map[string]dataplane.Counters {
	if s := n.serving(id); s != nil {
		return merged(s.carriers, carrier.Counters)
	}
	return nil
}

// Members reads the statistics of a load balancer's members.
func (n *Node) Members(id string) map[dataplane.MemberKey]dataplane.MemberCounters {
	if s := n.serving(id); s != nil {
		return merged(s.carriers, carrier.MemberCounters)
	}
	return nil
}

// History is what the last checks of a member have found, the oldest first.
func (n *Node) History(id, poolID, memberID string) []dataplane.Probe {
	if s := n.serving(id); s != nil {
		return s.prober.History(poolID, memberID)
	}
	return nil
}

// FollowLog follows the access log of a listener until ctx ends.
func (n *Node) FollowLog(ctx context.Context, id, listenerID string) *accesslog.Follower {
	s := n.serving(id)
	if s == nil {
		return nil
	}
	if log := s.logOf(listenerID); log != nil {
		return log.Follow(ctx)
	}
	return nil
}

// Run looks after what changes without anybody saying so, and reports health, until ctx ends.
func (n *Node) Run(ctx context.Context) error {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		select {
		case <-n.wake:
			for _, s := range n.all() {
				if s.isNews.Load() {
					n.report(s)
				}
			}
			select {
			case <-time.After(reportPause):
			case <-ctx.Done():
			}
		case <-ticker.C:
			for _, s := range n.all() {
				if s.lookAround() {
					n.report(s)
				}
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// report tells the control plane the whole state of one load balancer.
func (n *Node) report(s *service) {
	s.reporting.Lock()
	defer s.reporting.Unlock()
	s.isNews.Store(false)
	generation := s.generation.Load()
	if generation == 0 { // not served yet, or not any more
		return
	}
	s.told = s.states()
	n.reporter.Report(link.Report{LoadBalancerID: s.id, Generation: generation, Listeners: s.told, Health: s.health()})
}

// Drain lets no new clients in, and waits until those that are there have left, or ctx ends. It returns how many load balancers have
// some left. Run must have ended, and nothing may be applied any more.
func (n *Node) Drain(ctx context.Context) (busy int) {
	left := n.all()
	for _, s := range left {
		s.changing.Lock()
		s.drain()
		s.changing.Unlock()
	}
	ticker := time.NewTicker(drainInterval)
	defer ticker.Stop()
	for {
		maps.DeleteFunc(left, func(_ string, s *service) bool { return s.drained() })
		if len(left) == 0 {
			return 0
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return len(left)
		}
	}
}

// Close stops every data plane. Nothing may be applied any more.
func (n *Node) Close() {
	for _, s := range n.all() {
		s.changing.Lock()
		s.stop()
		s.changing.Unlock()
	}
}

func (n *Node) all() map[string]*service {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.served)
}

// Package node is one traffic node: it owns the load balancers that are assigned to it, plugs their ports into the
// fabric, runs their data plane and their health checks, and reports what it sees. It keeps nothing on disk:
// whatever it should do it is told again after a restart.
package node

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"poise/internal/dataplane"
	"poise/internal/dataplane/probe"
	"poise/internal/dataplane/proxy"
	"poise/internal/fabric"
	"poise/internal/link"
)

// Node serves load balancers (link.Node).
type Node struct {
	fabric   fabric.Fabric
	engine   *proxy.Engine
	reporter link.Reporter
	log      *slog.Logger

	mu     sync.Mutex // guards served
	served map[string]*service
}

// watchInterval is how often a node looks for what nobody tells it: a listener that reached its connection limit, or
// one whose address was taken and may be free now.
const watchInterval = time.Second

// service is one load balancer that the node serves.
type service struct {
	changing   sync.Mutex // held while an assignment is applied or taken away
	ports      []fabric.Port
	endpoint   fabric.Endpoint
	config     *dataplane.Config
	proxy      *proxy.Server
	prober     *probe.Prober
	generation atomic.Int64 // of the assignment that is served; 0: none

	reporting sync.Mutex // one report at a time, so that the last one given is the newest
}

// New returns a node that serves nothing yet. [Node.ReportTo] must be called before its first assignment.
func New(f fabric.Fabric, engine *proxy.Engine, log *slog.Logger) *Node {
	return &Node{fabric: f, engine: engine, log: log, served: map[string]*service{}}
}

// ReportTo says who gets the node's reports.
func (n *Node) ReportTo(r link.Reporter) { n.reporter = r }

// Apply serves the assignment.
func (n *Node) Apply(ctx context.Context, a link.Assignment) error {
	s := n.service(a.LoadBalancerID)
	s.changing.Lock()
	defer s.changing.Unlock()
	if err := n.plug(ctx, s, a); err != nil {
		return err
	}
	s.config = &a.Config // a is our own copy, and nobody changes it any more
	s.proxy.Apply(s.config, s.endpoint.Bind)
	s.prober.Apply(s.config)
	s.generation.Store(a.Generation)
	n.report(a.LoadBalancerID, s)
	return nil
}

func (n *Node) service(id string) *service {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.served[id]
	if s == nil {
		s = &service{}
		n.served[id] = s
	}
	return s
}

// plug gives the load balancer its ports, and at its first time its data plane.
func (n *Node) plug(ctx context.Context, s *service, a link.Assignment) error {
	if s.proxy != nil && !a.Replug && reflect.DeepEqual(s.ports, a.Ports) {
		return nil
	}
	endpoint, err := n.fabric.Plug(ctx, a.LoadBalancerID, a.Ports)
	if err != nil {
		return fmt.Errorf("plugging the load balancer into its network: %w", err)
	}
	s.ports, s.endpoint = a.Ports, endpoint
	if s.proxy == nil {
		log := n.log.With("load_balancer", a.LoadBalancerID)
		s.proxy = proxy.New(endpoint.Net, log, n.engine)
		s.prober = probe.New(endpoint.Net, func(h dataplane.Health) {
			s.proxy.SetHealth(h)
			n.report(a.LoadBalancerID, s)
		})
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

// stop ends the data plane and the health checks, if there are any.
func (s *service) stop() {
	if s.generation.Swap(0) != 0 {
		s.prober.Close()
		s.proxy.Close()
	}
}

// Prune removes every load balancer that is not listed, those of an earlier process included.
func (n *Node) Prune(ctx context.Context, keep []string) error {
	return n.fabric.Prune(ctx, keep)
}

// Counters reads a load balancer's statistics by listener.
func (n *Node) Counters(id string) map[string]dataplane.Counters {
	n.mu.Lock()
	s := n.served[id]
	n.mu.Unlock()
	if s == nil || s.generation.Load() == 0 {
		return nil
	}
	return s.proxy.Counters()
}

// report tells the control plane the whole state of one load balancer.
func (n *Node) report(id string, s *service) {
	s.reporting.Lock()
	defer s.reporting.Unlock()
	generation := s.generation.Load()
	if generation == 0 { // not served yet, or not any more
		return
	}
	health := s.prober.Snapshot()
	slices.SortFunc(health, func(a, b dataplane.Health) int { return strings.Compare(a.MemberID, b.MemberID) })
	n.reporter.Report(link.Report{
		LoadBalancerID: id, Generation: generation, Listeners: s.proxy.States(), Health: health,
	})
}

// Run looks after what changes without anybody saying so, until ctx ends.
func (n *Node) Run(ctx context.Context) error {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			for id, s := range n.all() {
				s.listenAgain()
				n.report(id, s)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// listenAgain tries to open the listeners that could not be opened. One that is being changed right now is left alone.
func (s *service) listenAgain() {
	if !s.changing.TryLock() {
		return
	}
	defer s.changing.Unlock()
	if s.generation.Load() == 0 {
		return
	}
	for _, state := range s.proxy.States() {
		if !state.Listening {
			s.proxy.Apply(s.config, s.endpoint.Bind)
			return
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

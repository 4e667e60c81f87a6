package node

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
	"poise/internal/dataplane/datagram"
	"poise/internal/dataplane/probe"
	"poise/internal/dataplane/proxy"
	"poise/internal/fabric"
)

// carrier carries the traffic of the listeners of some protocols.
type carrier interface {
	Apply(cfg *dataplane.Config, bind []netip.Addr) map[string]dataplane.ListenerState
	SetHealth(all ...dataplane.Health)
	States() map[string]dataplane.ListenerState
	Counters() map[string]dataplane.Counters
	MemberCounters() map[dataplane.MemberKey]dataplane.MemberCounters
	Log(listenerID string) *accesslog.Log
	Drain()
	Drained() bool
	Close()
}

// streams carries everything but datagrams.
type streams struct{ *proxy.Server }

// Apply leaves UDP listeners to others.
func (s streams) Apply(cfg *dataplane.Config, bind []netip.Addr) map[string]dataplane.ListenerState {
	own := *cfg
	own.Listeners = slices.DeleteFunc(slices.Clone(cfg.Listeners), func(l dataplane.Listener) bool { return l.Protocol == dataplane.UDP })
	return s.Server.Apply(&own, bind)
}

// service is one load balancer that the node serves.
type service struct {
	id         string
	changing   sync.Mutex // held while an assignment is applied or taken away
	ports      []fabric.Port
	bind       []netip.Addr
	network    *network
	config     atomic.Pointer[dataplane.Config] // nil before the first assignment
	carriers   []carrier
	prober     *probe.Prober
	generation atomic.Int64 // of the assignment that is served; 0: none

	isNews    atomic.Bool // the health of some member is not reported yet
	reporting sync.Mutex  // one report at a time, so that the last one given is the newest; guards told
	told      map[string]dataplane.ListenerState
}

// equip gives a load balancer its data plane.
func (n *Node) equip(s *service, net dataplane.Net) {
	log := n.log.With("load_balancer", s.id)
	s.network = &network{net: net}
	files := n.engines.streams.NewAccount()
	relay := proxy.New(s.network, log, n.engines.streams, files)
	relay.ServeMetrics(s.writeMetrics)
	s.carriers = []carrier{
		streams{relay},
		datagram.New(s.network, log, n.engines.datagrams, files),
	}
	s.prober = probe.New(s.network, n.engines.checks, func(h dataplane.Health) {
		for _, c := range s.carriers {
			c.SetHealth(h)
		}
		s.isNews.Store(true)
		select {
		case n.wake <- struct{}{}:
		default: // is awake already
		}
	})
}

// network is the network of a load balancer, which may be made anew under it.
type network struct {
	mu  sync.RWMutex // guards net
	net dataplane.Net
}

// Socket creates a socket in the network (dataplane.Net).
func (n *network) Socket(family, kind int) (int, error) {
	n.mu.RLock()
	net := n.net
	n.mu.RUnlock()
	return net.Socket(family, kind)
}

// replace says whether it is another network than before.
func (n *network) replace(net dataplane.Net) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	another := n.net != net
	n.net = net
	return another
}

func samePorts(a, b []fabric.Port) bool { return reflect.DeepEqual(a, b) }

// apply has the carriers serve the configuration.
func (s *service) apply() {
	for _, c := range s.carriers {
		c.Apply(s.config.Load(), s.bind)
	}
}

// leave closes the sockets of a network that is not there any more; the next apply opens others.
func (s *service) leave() {
	for _, c := range s.carriers {
		c.Apply(s.config.Load(), nil)
	}
}

// drain lets no new clients in.
func (s *service) drain() {
	for _, c := range s.carriers {
		c.Drain()
	}
}

// drained says whether no client is left.
func (s *service) drained() bool {
	for _, c := range s.carriers {
		if !c.Drained() {
			return false
		}
	}
	return true
}

// stop ends the data plane and the health checks, if there are any.
func (s *service) stop() {
	if s.generation.Swap(0) == 0 {
		return
	}
	s.prober.Close()
	for _, c := range s.carriers {
		c.Close()
	}
}

func (s *service) states() map[string]dataplane.ListenerState {
	return merged(s.carriers, carrier.States)
}

// health is the health of every member, in an order that stays.
func (s *service) health() []dataplane.Health {
	health := s.prober.Snapshot()
	slices.SortFunc(health, func(a, b dataplane.Health) int { return strings.Compare(a.MemberID, b.MemberID) })
	return health
}

// keepLogs has those access logs written to files whose listeners want it.
func (s *service) keepLogs(sink *accesslog.Sink) {
	config := s.config.Load()
	for _, l := range config.Listeners {
		log := s.logOf(l.ID)
		switch {
		case log == nil: // the listener could not be made
		case l.AccessLog:
			log.Keep(sink, config.ProjectID)
		default:
			log.Keep(nil, "")
		}
	}
}

func (s *service) logOf(listenerID string) *accesslog.Log {
	for _, c := range s.carriers {
		if log := c.Log(listenerID); log != nil {
			return log
		}
	}
	return nil
}

// lookAround tries to open the listeners that could not be opened, and says whether the state of any has changed. A load
// balancer that is being changed right now is left alone: it is reported then.
func (s *service) lookAround() bool {
	if !s.changing.TryLock() {
		return false
	}
	defer s.changing.Unlock()
	if s.generation.Load() == 0 {
		return false
	}
	states := s.states()
	for _, state := range states {
		if !state.Listening {
			s.apply()
			states = s.states()
			break
		}
	}
	s.reporting.Lock()
	defer s.reporting.Unlock()
	return !maps.Equal(s.told, states)
}

// merged is what all carriers say.
func merged[K comparable, V any](all []carrier, say func(carrier) map[K]V) map[K]V {
	one := map[K]V{}
	for _, c := range all {
		maps.Copy(one, say(c))
	}
	return one
}

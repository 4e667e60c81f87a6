// Package proxy carries TCP connections in userspace: it accepts them on the load balancer's addresses, connects each
// to a member and relays the bytes both ways.
//
// An [Engine] runs a few event loops for the whole process; a [Server] is what one load balancer has on them. A
// connection lives in one loop from its accept to its close and is touched by nothing else, so that no byte waits for
// a lock: loops read the configuration through atomic pointers, and a connection keeps the one with which it started.
//
// While nothing flows, a connection is two descriptors and some hundred bytes. Buffers and pipes belong to the loops and
// are lent out only while a receiver is slower than its sender. Small pieces are copied, bulk transfers are spliced
// (splice(2)) and never enter the process.
package proxy

import (
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"

	"poise/internal/dataplane"
	"poise/internal/dataplane/balance"
)

// maxRemovedListeners of one load balancer are remembered for their counters, apart from those with connections.
const maxRemovedListeners = 128

// Server serves the listeners of one load balancer.
type Server struct {
	net    dataplane.Net
	log    *slog.Logger
	engine *Engine

	mu        sync.Mutex // guards what follows; no loop takes it
	closed    bool
	listeners map[string]*listener // by id, those that left the configuration included: their counters go on
	removed   []string             // those that left, in this order
	states    map[string]dataplane.ListenerState
	pools     map[string]*balance.Balancer
	down      map[memberKey]bool
}

type memberKey struct{ poolID, memberID string }

// New makes the server of one load balancer, with nothing to serve yet. The loops ask network for sockets, several at
// once. The caller closes the server, before its engine.
func New(network dataplane.Net, log *slog.Logger, engine *Engine) *Server {
	return &Server{
		net: network, log: log, engine: engine,
		listeners: map[string]*listener{},
		pools:     map[string]*balance.Balancer{},
		down:      map[memberKey]bool{},
	}
}

// Apply serves cfg on the addresses in bind instead of what was served before. Sockets that stay the same stay open.
// Established connections go on undisturbed, even those of a listener or a member that is gone. A listener that cannot be
// opened has its reason in the returned states; the next Apply tries again.
func (s *Server) Apply(cfg *dataplane.Config, bind []netip.Addr) map[string]dataplane.ListenerState {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.setPools(cfg.Pools)
	wanted := map[string]dataplane.Listener{}
	for _, l := range cfg.Listeners {
		wanted[l.ID] = l
	}
	s.shutUnwanted(wanted, bind)
	s.forgetRemoved(wanted)
	s.states = map[string]dataplane.ListenerState{}
	for _, l := range cfg.Listeners {
		s.states[l.ID] = s.serve(l, bind)
	}
	return s.statesNow()
}

// setPools makes the balancers of a new configuration out of the ones before, and tells them what is known of their
// members' health.
func (s *Server) setPools(pools []dataplane.Pool) {
	next := map[string]*balance.Balancer{}
	down := map[memberKey]bool{}
	for _, p := range pools {
		b := balance.New(p, s.pools[p.ID])
		next[p.ID] = b
		for _, m := range p.Members {
			if key := (memberKey{p.ID, m.ID}); s.down[key] {
				down[key] = true
				b.SetDown(m.ID, true)
			}
		}
	}
	s.pools, s.down = next, down
}

// shutUnwanted closes the sockets that the new configuration does not have, before others may want their ports.
func (s *Server) shutUnwanted(wanted map[string]dataplane.Listener, bind []netip.Addr) {
	for id, ln := range s.listeners {
		l, ok := wanted[id]
		for addr := range maps.Clone(ln.sockets) {
			if !ok || addr.Port() != l.Port || !slices.Contains(bind, addr.Addr()) {
				ln.shut(addr, s.engine)
				s.log.Info("stopped listening", "listener", id, "address", addr.String())
			}
		}
	}
}

// forgetRemoved drops the listeners that left longest ago, once their connections have ended.
func (s *Server) forgetRemoved(wanted map[string]dataplane.Listener) {
	s.removed = slices.DeleteFunc(s.removed, func(id string) bool { _, back := wanted[id]; return back })
	for id := range s.listeners {
		if _, ok := wanted[id]; !ok && !slices.Contains(s.removed, id) {
			s.removed = append(s.removed, id)
		}
	}
	excess := len(s.removed) - maxRemovedListeners
	s.removed = slices.DeleteFunc(s.removed, func(id string) bool {
		if excess <= 0 || s.listeners[id].admitted.Load() > 0 {
			return false
		}
		excess--
		delete(s.listeners, id)
		return true
	})
}

// serve makes one listener accept on every address.
func (s *Server) serve(l dataplane.Listener, bind []netip.Addr) dataplane.ListenerState {
	ln := s.listeners[l.ID]
	if ln == nil {
		ln = &listener{id: l.ID, server: s, sockets: map[netip.AddrPort]*socket{}}
		s.listeners[l.ID] = ln
	}
	ln.setup.Store(newSetup(l, s.pools[l.PoolID]))
	ln.resumeBelowLimit() // the limit may have risen
	var reasons []string
	for _, ip := range bind {
		addr := netip.AddrPortFrom(ip, l.Port)
		if ln.sockets[addr] != nil {
			continue
		}
		fd, err := listen(s.net, addr)
		if err != nil {
			reasons = append(reasons, "cannot listen on "+addr.String()+": "+sentence(err))
			continue
		}
		ln.open(addr, fd, s.engine)
		s.log.Info("listening", "listener", l.ID, "address", addr.String())
	}
	if len(bind) == 0 {
		reasons = []string{"the load balancer has no address"}
	}
	return dataplane.ListenerState{Listening: len(reasons) == 0, Reason: strings.Join(reasons, "; ")}
}

// sentence is an error as people say it: the kernel's words without our layers' prefixes.
func sentence(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}

// SetHealth says what the checks have found. Members that are not configured (yet) are remembered until the next Apply.
func (s *Server) SetHealth(all ...dataplane.Health) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range all {
		isDown := h.State == dataplane.HealthDown
		if isDown {
			s.down[memberKey{h.PoolID, h.MemberID}] = true
		} else {
			delete(s.down, memberKey{h.PoolID, h.MemberID})
		}
		if b := s.pools[h.PoolID]; b != nil {
			b.SetDown(h.MemberID, isDown)
		}
	}
}

// Counters are the statistics of every listener by id, including those that have connections, or that were among the
// last to leave the configuration.
func (s *Server) Counters() map[string]dataplane.Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	counters := map[string]dataplane.Counters{}
	for id, ln := range s.listeners {
		counters[id] = dataplane.Counters{
			Active: ln.active.Load(), Total: ln.total.Load(), Errors: ln.errors.Load(),
			BytesIn: ln.bytesIn.Load(), BytesOut: ln.bytesOut.Load(),
		}
	}
	return counters
}

// States says of every configured listener, by id, whether it accepts connections now.
func (s *Server) States() map[string]dataplane.ListenerState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.statesNow()
}

func (s *Server) statesNow() map[string]dataplane.ListenerState {
	states := maps.Clone(s.states)
	for id, state := range states {
		ln := s.listeners[id]
		state.Full = ln.admitted.Load() >= ln.setup.Load().limit
		states[id] = state
	}
	return states
}

// Close closes every socket and ends every connection of the load balancer. Further calls do nothing.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	s.shutUnwanted(nil, nil)
	s.states = nil
	s.engine.onEachLoop(func(l *loop) {
		for c := range l.conns.all() {
			if c.listener.server == s {
				c.close(abort)
			}
		}
	})
}

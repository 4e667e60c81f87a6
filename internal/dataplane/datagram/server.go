// Package datagram carries UDP in userspace: what a client sends to a listener goes to one member, and what that
// member answers goes back from the load balancer's address.
//
// UDP has no connections, so the package has flows: a client's address and port, a listener, and a socket of its own that is
// connected to the member which the pool's balancer chose. A flow ends after a minute of silence, or when its member is
// taken out or goes down; the client's next datagram then begins another.
//
// An [Engine] runs a few event loops for the whole process; a [Server] is what one load balancer has on them. All of a
// listener lives in one loop and is touched by nothing else, so that no datagram waits for a lock. Datagrams are received
// and sent in batches (recvmmsg(2), sendmmsg(2)).
package datagram

import (
	"cmp"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
	"poise/internal/dataplane/balance"
	eventloop "poise/internal/dataplane/loop"
	"poise/internal/dataplane/meter"
)

// maxRemovedListeners of one load balancer are remembered for their counters: a disabled listener leaves the configuration
// too, and goes on counting where it was when it is enabled again.
const maxRemovedListeners = 4096

// Server serves the UDP listeners of one load balancer.
type Server struct {
	net    dataplane.Net
	log    *slog.Logger
	engine *Engine
	files  *eventloop.Account
	circle eventloop.Circle

	mu        sync.Mutex // guards what follows; no loop takes it
	closed    bool
	listeners map[string]*listener // by id, those that left the configuration included
	removed   []string             // those that left, in this order
	states    map[string]dataplane.ListenerState
	pools     map[string]*balance.Balancer
	down      map[memberKey]bool
	members   meter.Members
}

type memberKey struct{ poolID, memberID string }

// New makes the server of one load balancer, with nothing to serve yet. The loops ask network for sockets, several at
// once. Its flows are on the account files. The caller closes the server, before its engine.
func New(network dataplane.Net, log *slog.Logger, engine *Engine, files *eventloop.Account) *Server {
	return &Server{
		net: network, log: log, engine: engine, files: files,
		listeners: map[string]*listener{},
		pools:     map[string]*balance.Balancer{},
		down:      map[memberKey]bool{},
	}
}

// Apply serves the UDP listeners of cfg on the addresses in bind instead of what was served before. Sockets that stay the
// same stay open, and flows go on whose member is still there and usable. A listener that cannot be opened has its reason
// in the returned states; the next Apply tries again.
func (s *Server) Apply(cfg *dataplane.Config, bind []netip.Addr) map[string]dataplane.ListenerState {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	wanted := map[string]*dataplane.Listener{}
	for i := range cfg.Listeners {
		if l := &cfg.Listeners[i]; l.Protocol == dataplane.UDP {
			wanted[l.ID] = l
		}
	}
	pools := s.setPools(cfg.Pools, wanted)
	s.shutUnwanted(wanted, bind)
	s.forgetRemoved(wanted)
	s.states = map[string]dataplane.ListenerState{}
	meters := map[dataplane.MemberKey]bool{}
	for id, l := range wanted {
		s.states[id] = s.serve(l, s.newSetup(l, pools[l.PoolID], meters), bind)
	}
	s.members.Keep(func(key dataplane.MemberKey) bool { return meters[key] })
	return s.statesNow()
}

// setPools makes the balancers of the pools that the listeners use out of the ones before, and tells them what is known
// of their members' health. It returns those pools.
func (s *Server) setPools(all []dataplane.Pool, wanted map[string]*dataplane.Listener) map[string]*dataplane.Pool {
	isUsed := map[string]bool{}
	for _, l := range wanted {
		isUsed[l.PoolID] = true
	}
	used := map[string]*dataplane.Pool{}
	next := map[string]*balance.Balancer{}
	down := map[memberKey]bool{}
	for i := range all {
		p := &all[i]
		if !isUsed[p.ID] {
			continue
		}
		used[p.ID], next[p.ID] = p, balance.New(*p, s.pools[p.ID])
		for _, m := range p.Members {
			if key := (memberKey{p.ID, m.ID}); s.down[key] {
				down[key] = true
				next[p.ID].SetDown(m.ID, true)
			}
		}
	}
	s.pools, s.down = next, down
	return used
}

// newSetup makes what a listener needs of the configuration, and adds the keys of its members to meters.
func (s *Server) newSetup(l *dataplane.Listener, p *dataplane.Pool, meters map[dataplane.MemberKey]bool) *setup {
	setup := &setup{allowed: l.AllowedCIDRs, limit: l.ConnectionLimit}
	if setup.limit <= 0 {
		setup.limit = dataplane.DefaultConnectionLimit
	}
	if p == nil {
		return setup
	}
	setup.poolID, setup.balancer, setup.members = p.ID, s.pools[p.ID], map[string]usedMember{}
	if p.Persistence != nil {
		setup.memory = p.Persistence.Timeout.Milliseconds()
	}
	for _, m := range p.Members {
		key := dataplane.MemberKey{ListenerID: l.ID, PoolID: p.ID, MemberID: m.ID}
		meters[key] = true
		setup.members[m.ID] = usedMember{
			address: m.Address, meter: s.members.Get(key),
			usable: !m.Disabled && (p.Monitor == nil || !s.down[memberKey{p.ID, m.ID}]),
		}
	}
	return setup
}

// shutUnwanted closes the sockets that the new configuration does not have, before others may want their ports.
func (s *Server) shutUnwanted(wanted map[string]*dataplane.Listener, bind []netip.Addr) {
	for id, ln := range s.listeners {
		l := wanted[id]
		for addr, p := range maps.Clone(ln.ports) {
			if l == nil || addr.Port() != l.Port || !slices.Contains(bind, addr.Addr()) {
				delete(ln.ports, addr)
				ln.loop.do(func() { p.shut() })
				s.engine.descriptors.Release(portDescriptors)
				s.log.Info("stopped listening", "listener", id, "address", addr.String())
			}
		}
	}
}

// forgetRemoved drops the listeners that left longest ago.
func (s *Server) forgetRemoved(wanted map[string]*dataplane.Listener) {
	s.removed = slices.DeleteFunc(s.removed, func(id string) bool { return wanted[id] != nil })
	for id := range s.listeners {
		if wanted[id] == nil && !slices.Contains(s.removed, id) {
			s.removed = append(s.removed, id)
		}
	}
	for len(s.removed) > maxRemovedListeners {
		s.listeners[s.removed[0]].loop.listeners.Add(-1)
		delete(s.listeners, s.removed[0])
		s.removed = s.removed[1:]
	}
}

// serve gives one listener its new setup, and the sockets that are missing.
func (s *Server) serve(l *dataplane.Listener, setup *setup, bind []netip.Addr) dataplane.ListenerState {
	ln := s.listeners[l.ID]
	if ln == nil {
		ln = newListener(l.ID, s)
		s.listeners[l.ID] = ln
	}
	ln.limit.Store(int64(setup.limit))
	ln.loop.do(func() { ln.adopt(setup) })
	var reasons []string
	for _, ip := range bind {
		addr := netip.AddrPortFrom(ip, l.Port)
		if ln.ports[addr] != nil {
			continue
		}
		if err := s.open(ln, addr); err != nil {
			reasons = append(reasons, "cannot listen on "+addr.String()+": "+eventloop.Sentence(err))
			continue
		}
		s.log.Info("listening", "listener", l.ID, "address", addr.String())
	}
	if len(bind) == 0 {
		reasons = []string{"the load balancer has no address"}
	}
	return dataplane.ListenerState{Listening: len(reasons) == 0, Reason: strings.Join(reasons, "; ")}
}

// open opens a socket of a listener.
func (s *Server) open(ln *listener, addr netip.AddrPort) error {
	fd, err := listen(s.net, addr)
	if errors.Is(err, unix.EADDRINUSE) {
		s.sharePorts()
		fd, err = listen(s.net, addr)
	}
	if err != nil {
		return err
	}
	s.engine.descriptors.Hold(portDescriptors)
	p := &port{listener: ln, fd: fd, door: s.engine.hops.Listen(addr), flows: map[clientKey]*flow{}}
	ln.ports[addr] = p
	ln.loop.do(func() { p.open() })
	return nil
}

// sharePorts has the load balancer's flows share theirs with listeners.
func (s *Server) sharePorts() {
	for _, ln := range s.listeners {
		ln.loop.do(func() {
			for f := range ln.silent.all() {
				if f.fd != none {
					_ = sharePort(int(f.fd), true) // fails for what is not a socket
				}
			}
		})
	}
}

// SetHealth says what the checks have found. Flows of a member that went down end. Members that are not configured (yet)
// are remembered until the next Apply.
func (s *Server) SetHealth(all ...dataplane.Health) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range all {
		key, isDown := memberKey{h.PoolID, h.MemberID}, h.State == dataplane.HealthDown
		if isDown {
			s.down[key] = true
		} else {
			delete(s.down, key)
		}
		b := s.pools[h.PoolID]
		if b == nil {
			continue
		}
		b.SetDown(h.MemberID, isDown)
		for _, ln := range s.listeners {
			ln.loop.post(func() { ln.setUsable(key, !isDown) })
		}
	}
}

// Counters are the statistics of every listener by id, including those that were among the last to leave the configuration.
func (s *Server) Counters() map[string]dataplane.Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	counters := map[string]dataplane.Counters{}
	for id, ln := range s.listeners {
		counters[id] = ln.meter.Read()
	}
	return counters
}

// MemberCounters are the statistics of every member, for each listener that uses it.
func (s *Server) MemberCounters() map[dataplane.MemberKey]dataplane.MemberCounters {
	return s.members.Read()
}

// Log is the access log of a listener, nil when there is no such listener. Its records are of flows that have ended.
func (s *Server) Log(listenerID string) *accesslog.Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ln := s.listeners[listenerID]; ln != nil {
		return &ln.log
	}
	return nil
}

// States says of every configured listener, by id, whether it takes datagrams now.
func (s *Server) States() map[string]dataplane.ListenerState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.statesNow()
}

func (s *Server) statesNow() map[string]dataplane.ListenerState {
	states := maps.Clone(s.states)
	for id, state := range states {
		ln := s.listeners[id]
		state.Trouble = cmp.Or(s.circle.Trouble(), s.files.Shortage())
		state.Full = ln.meter.Active.Load() >= ln.limit.Load()
		states[id] = state
	}
	return states
}

// Drain does nothing: datagrams are carried until the server is closed, and nobody need wait for flows.
func (s *Server) Drain() {}

// Drained is always true.
func (s *Server) Drained() bool { return true }

// Close closes every socket and ends every flow of the load balancer. Further calls do nothing.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	s.shutUnwanted(nil, nil)
	s.states = nil
	for _, ln := range s.listeners {
		ln.loop.listeners.Add(-1)
	}
}

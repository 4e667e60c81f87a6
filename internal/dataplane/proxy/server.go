// Package proxy carries streams in userspace: it accepts connections on the load balancer's addresses and relays TCP, or reads
// HTTP/1.1 and HTTP/2 and carries requests, to members. TLS may be on either side.
//
// An [Engine] runs a few event loops for the whole process; a [Server] is what one load balancer has on them. A
// connection lives in one loop from its accept to its close and is touched by nothing else, so that no byte waits for
// a lock: loops read the configuration through atomic pointers. A TCP connection (conn) keeps the one with which it started, a
// request takes the newest.
//
// A client of HTTP is a session, a connection to a member an upstream; while a request is under way, its exchange ties the two
// together, and between two requests upstreams wait in their loop's idle pool for whoever comes next. Heads are read by h1 where they
// were received, and rewritten once; l7 says where they go. A changed protocol (Upgrade) makes a conn of session and upstream.
// Handshakes of TLS are made in goroutines (handshake), whatever comes then in the loop (tlsStream). A client that speaks HTTP/2
// (http2Conn) is a session for each of its requests (http2Stream). What loops do not do, HTTP/2 to members above all, is passed on to
// the gateway.
//
// While nothing flows, a connection is its descriptors and some hundred bytes. Buffers and pipes belong to the loops and
// are lent out only while a receiver is slower than its sender. Small pieces are copied, bulk transfers are spliced
// (splice(2)) and never enter the process.
package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
	"poise/internal/dataplane/gateway"
	"poise/internal/dataplane/l7"
	eventloop "poise/internal/dataplane/loop"
	"poise/internal/dataplane/meter"
	"poise/internal/dataplane/tlsconf"
)

// maxRemovedListeners of one load balancer are remembered for their counters, apart from those with connections: a disabled
// listener leaves the configuration too, and goes on counting where it was when it is enabled again.
const maxRemovedListeners = 1024

// Server serves the listeners of one load balancer.
type Server struct {
	net    dataplane.Net
	log    *slog.Logger
	engine *Engine
	files  *eventloop.Account
	turns  []turn // by loop, to which each belongs
	circle eventloop.Circle

	gateway *gateway.Gateway
	passing sync.WaitGroup // connections on their way to it
	metrics func(io.Writer)

	mu        sync.Mutex // guards what follows; no loop takes it
	closed    bool
	listeners map[string]*listener // by id, those that left the configuration included: their counters go on
	removed   []string             // those that left, in this order
	states    map[string]dataplane.ListenerState
	pools     map[string]*pool
	down      map[memberKey]bool
	members   meter.Members
}

type memberKey struct{ poolID, memberID string }

// New makes the server of one load balancer, with nothing to serve yet. The loops ask network for sockets, several at
// once. Its connections are on the account files. The caller closes the server, before its engine.
func New(network dataplane.Net, log *slog.Logger, engine *Engine, files *eventloop.Account) *Server {
	s := &Server{
		net: network, log: log, engine: engine, files: files, turns: make([]turn, len(engine.loops)),
		gateway:   gateway.New(log, files, &engine.hops),
		listeners: map[string]*listener{},
		pools:     map[string]*pool{},
		down:      map[memberKey]bool{},
	}
	engine.mu.Lock()
	defer engine.mu.Unlock()
	engine.servers[s] = struct{}{}
	return s
}

// ServeMetrics has PROMETHEUS listeners answer with what write writes. It is called before the first Apply.
func (s *Server) ServeMetrics(write func(io.Writer)) { s.metrics = write }

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
	for i := range cfg.Listeners {
		s.states[cfg.Listeners[i].ID] = s.serve(&cfg.Listeners[i], bind)
	}
	s.forgetMembers(cfg)
	return s.statesNow()
}

// shutUnwanted closes the sockets that the new configuration does not have, before others may want their ports, and asks the HTTP
// clients of listeners that left it to leave.
func (s *Server) shutUnwanted(wanted map[string]dataplane.Listener, bind []netip.Addr) {
	left := false
	for id, ln := range s.listeners {
		l, ok := wanted[id]
		s.shut(ln, func(addr netip.AddrPort) bool {
			return !ok || addr.Port() != l.Port || !slices.Contains(bind, addr.Addr())
		})
		if !ok && !ln.removed.Swap(true) {
			s.removed = append(s.removed, id)
			s.gateway.Drain(id)
			left = true
		}
	}
	if left {
		s.engine.onEachLoop(func(l *loop) { l.dismiss(s) })
	}
}

// shut closes those sockets of a listener whose address is unwanted.
func (s *Server) shut(ln *listener, unwanted func(netip.AddrPort) bool) {
	for addr := range maps.Clone(ln.sockets) {
		if unwanted(addr) {
			ln.shut(addr, s.engine)
			s.log.Info("stopped listening", "listener", ln.id, "address", addr.String())
		}
	}
}

// forgetRemoved drops the listeners that left longest ago, once their connections have ended.
func (s *Server) forgetRemoved(wanted map[string]dataplane.Listener) {
	s.removed = slices.DeleteFunc(s.removed, func(id string) bool { _, back := wanted[id]; return back })
	excess := len(s.removed) - maxRemovedListeners
	s.removed = slices.DeleteFunc(s.removed, func(id string) bool {
		ln := s.listeners[id]
		if ln.admitted.Load() > 0 {
			return false
		}
		ln.setup.Store(&setup{}) // nobody needs it any more
		if excess <= 0 {
			return false
		}
		excess--
		delete(s.listeners, id)
		return true
	})
}

// serve makes one listener accept on every address.
func (s *Server) serve(l *dataplane.Listener, bind []netip.Addr) dataplane.ListenerState {
	ln := s.listeners[l.ID]
	if ln == nil {
		ln = &listener{id: l.ID, server: s, sockets: map[netip.AddrPort]*socket{}}
		s.listeners[l.ID] = ln
	}
	setup, err := s.setup(ln, l)
	if err != nil {
		s.shut(ln, func(netip.AddrPort) bool { return true })
		return dataplane.ListenerState{Reason: err.Error()}
	}
	ln.setup.Store(setup)
	ln.removed.Store(false)
	ln.resumeBelowLimit() // the limit may have risen
	return s.bind(ln, l.Port, bind)
}

// setup is what a listener's connections need of a new configuration.
func (s *Server) setup(ln *listener, l *dataplane.Listener) (*setup, error) {
	pools, err := s.forListener(l)
	if err != nil {
		return nil, err
	}
	setup := newSetup(l)
	if l.Protocol != dataplane.HTTP && l.Protocol != dataplane.Prometheus {
		setup.pool = pools[l.PoolID]
		return setup, nil
	}
	var secure *tls.Config
	if l.TLS != nil {
		if secure, err = tlsconf.Server(l.TLS, &ln.tickets); err != nil {
			return nil, fmt.Errorf("TLS: %w", err)
		}
	}
	setup.gateway = l.Protocol == dataplane.Prometheus
	for _, p := range pools {
		setup.gateway = setup.gateway || p.OffersHTTP2
	}
	setup.site, err = l7.New(l7.Parts{Listener: l, Net: s.net, Meter: &ln.meter, Log: &ln.log, TLS: secure, Pools: pools})
	return setup, err
}

// bind opens the sockets that are missing.
func (s *Server) bind(ln *listener, port uint16, bind []netip.Addr) dataplane.ListenerState {
	var reasons []string
	for _, ip := range bind {
		addr := netip.AddrPortFrom(ip, port)
		if ln.sockets[addr] != nil {
			continue
		}
		fd, err := listen(s.net, addr)
		if err != nil {
			reasons = append(reasons, "cannot listen on "+addr.String()+": "+eventloop.Sentence(err))
			continue
		}
		ln.open(addr, fd, s.engine)
		s.log.Info("listening", "listener", ln.id, "address", addr.String())
	}
	if len(bind) == 0 {
		reasons = []string{"the load balancer has no address"}
	}
	return dataplane.ListenerState{Listening: len(reasons) == 0, Reason: strings.Join(reasons, "; ")}
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
		if p := s.pools[h.PoolID]; p != nil {
			p.balancer.SetDown(h.MemberID, isDown)
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
		counters[id] = ln.meter.Read()
	}
	return counters
}

// Log is the access log of a listener, nil when there is no such listener.
func (s *Server) Log(listenerID string) *accesslog.Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ln := s.listeners[listenerID]; ln != nil {
		return &ln.log
	}
	return nil
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
		state.Trouble = cmp.Or(s.circle.Trouble(), s.files.Shortage())
		if setup := ln.setup.Load(); setup != nil && setup.limit > 0 {
			state.Full = ln.admitted.Load() >= setup.limit
		}
		states[id] = state
	}
	return states
}

// Drain lets no new clients in; those who wait in the kernel's queue are the last. Clients of HTTP are asked to leave with their next
// answer, connections of TCP stay. It returns at once: [Server.Drained] says when nobody is left. Nothing may be applied any more.
func (s *Server) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	for _, ln := range s.listeners {
		ln.letLastIn(s.engine)
	}
	s.shutUnwanted(nil, nil)
	s.states = nil
}

// Drained says whether no client is left.
func (s *Server) Drained() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ln := range s.listeners {
		if ln.admitted.Load() > 0 {
			return false
		}
	}
	return true
}

// Close closes every socket and ends every connection of the load balancer. Further calls do nothing.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	s.engine.mu.Lock()
	delete(s.engine.servers, s)
	s.engine.mu.Unlock()
	s.shutUnwanted(nil, nil)
	s.states = nil
	s.engine.onEachLoop(func(l *loop) {
		for c := range l.conns.all() {
			if c.listener.server == s {
				c.close(abort, accesslog.Stopped)
			}
		}
		for c := range l.http2s.all() {
			if c.listener.server == s {
				c.close(abort, accesslog.Stopped)
			}
		}
		for c := range l.sessions.all() {
			if c.listener.server == s {
				c.close(abort, accesslog.Stopped)
			}
		}
		l.idle.keep(func(u *upstream) bool { return u.server != s })
	})
	s.passing.Wait()
	atOnce, stop := context.WithCancel(context.Background())
	stop()
	s.gateway.Close(atOnce)
}

package proxy

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane/accesslog"
	eventloop "poise/internal/dataplane/loop"
	"poise/internal/dataplane/meter"
	"poise/internal/dataplane/tlsconf"
)

const (
	// acceptsPerEvent is how many connections a loop takes before it looks at the others it has.
	acceptsPerEvent = 32
	// socketDescriptors is what a listening socket accounts for.
	socketDescriptors = 1
	// loadSlack is by how many connections, and a quarter, a loop may be ahead of the least busy one before it hands a
	// new connection over; handing over costs a wake-up.
	loadSlack = 4
	// shedAfterMs is how long a load balancer above its share of descriptors may have let nobody in before those who wait are turned
	// away: one of them may be the end of a circle, which would wait for itself.
	shedAfterMs = 10_000
	// sessionSlack is the same for HTTP, where connections stay and their requests wait for each other.
	sessionSlack = 1
)

// listener is one listener of the configuration, with a socket for each address. It lives as long as its connections,
// which may be longer than it is configured.
type listener struct {
	id       string
	server   *Server
	setup    atomic.Pointer[setup]
	admitted atomic.Int64 // connections and accepts under way; never above the limit
	meter    meter.Listener
	log      accesslog.Log
	tickets  tlsconf.TicketKeys
	removed  atomic.Bool // from the configuration: HTTP clients are asked to leave

	shutOutMs atomic.Int64 // since when there was no descriptor for anybody, since the process started; 0: there was

	mu      sync.Mutex // guards sockets and writes to paused
	sockets map[netip.AddrPort]*socket
	paused  atomic.Uint32 // the reasons for which nothing is accepted
}

// The reasons for which a listener pauses.
const (
	pausedLimit   = 1 << iota // the connection limit is reached
	pausedStarved             // there was no descriptor for another connection
)

// socket is a listening socket; every loop accepts from it.
type socket struct {
	listener *listener
	addr     netip.AddrPort
	fd       int
	door     *eventloop.Door
	seats    []seat
}

// seat is a socket's place in one loop.
type seat struct {
	loop       *loop
	place      uint32
	generation int32
}

// open starts to accept on a listening socket's descriptor.
func (ln *listener) open(addr netip.AddrPort, fd int, e *Engine) {
	s := &socket{listener: ln, addr: addr, fd: fd, door: e.hops.Listen(addr)}
	e.descriptors.Hold(socketDescriptors)
	var mu sync.Mutex
	e.onEachLoop(func(l *loop) {
		place, generation := l.listeners.put(s)
		mu.Lock()
		defer mu.Unlock()
		s.seats = append(s.seats, seat{l, place, generation})
	})
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.sockets[addr] = s
	if ln.paused.Load() == 0 {
		s.watch()
	}
}

// shut closes the socket at addr. It returns when no loop uses it any more, so that its descriptor may be used again.
func (ln *listener) shut(addr netip.AddrPort, e *Engine) {
	ln.mu.Lock()
	s := ln.sockets[addr]
	delete(ln.sockets, addr)
	s.unwatch()
	ln.mu.Unlock()
	e.onEachLoop(func(l *loop) {
		for _, seat := range s.seats {
			if seat.loop == l {
				l.listeners.remove(seat.place)
			}
		}
	})
	s.door.Close()
	_ = unix.Close(s.fd)
	e.descriptors.Release(socketDescriptors)
}

// watch has one of the loops woken for each connection. The error could only be that of a descriptor which is not
// one, or of a kernel without memory; the socket is then silent in that loop.
func (s *socket) watch() {
	for _, seat := range s.seats {
		_ = seat.loop.watch(unix.EPOLL_CTL_ADD, s.fd, unix.EPOLLIN|unix.EPOLLEXCLUSIVE, kindListener, seat.place, seat.generation)
	}
}

func (s *socket) unwatch() {
	for _, seat := range s.seats {
		_ = seat.loop.watch(unix.EPOLL_CTL_DEL, s.fd, 0, kindListener, seat.place, seat.generation)
	}
}

// pause stops accepting; clients wait in the kernel's backlog.
func (ln *listener) pause(reason uint32) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if ln.paused.Or(reason) == 0 {
		for _, s := range ln.sockets {
			s.unwatch()
		}
	}
}

func (ln *listener) resume(reason uint32) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if ln.paused.And(^reason) == reason {
		for _, s := range ln.sockets {
			s.watch()
		}
	}
}

// admit reserves a place for one connection, or pauses the listener at its limit.
func (ln *listener) admit() bool {
	if ln.admitted.Add(1) <= ln.setup.Load().limit {
		return true
	}
	ln.admitted.Add(-1)
	ln.pause(pausedLimit)
	ln.resumeBelowLimit() // a connection may have ended before it could see the pause
	return false
}

// leave gives a place back.
func (ln *listener) leave() {
	ln.admitted.Add(-1)
	ln.resumeBelowLimit()
}

func (ln *listener) resumeBelowLimit() {
	if ln.paused.Load()&pausedLimit != 0 && ln.admitted.Load() < ln.setup.Load().limit {
		ln.resume(pausedLimit)
	}
}

// accept takes waiting connections, until there are no more or something forbids it.
func (l *loop) accept(s *socket) {
	for range acceptsPerEvent {
		if !l.acceptOne(s) {
			return
		}
		l.charge(s.listener.server)
		if l.hasHadTurn(s.listener.server) {
			return // epoll says it again
		}
	}
}

// acceptOne says whether another one may follow.
func (l *loop) acceptOne(s *socket) bool {
	if !s.listener.admit() {
		return false
	}
	files := s.listener.server.files
	if !files.TakeNew(connDescriptors) {
		s.listener.leave()
		l.shed(s)
		l.starve(s.listener, errBudget)
		return false
	}
	if s.listener.shutOutMs.Load() != 0 {
		s.listener.shutOutMs.Store(0)
	}
	fd, errno := accept4(s.fd, &l.addr)
	if errno == 0 {
		l.welcome(s, fd, l.addr.addrPort())
		return true
	}
	files.Give(connDescriptors)
	s.listener.leave()
	switch errno {
	case syscall.EAGAIN:
		return false
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM:
		l.engine.descriptors.Lower()
		l.starve(s.listener, errno)
		return false
	}
	return true // the others (ECONNABORTED and the network's errors, see accept(2)) concern only the client that came
}

// letLastIn accepts the connections that the kernel has made already: it would reset them with the socket.
func (ln *listener) letLastIn(e *Engine) {
	e.loops[0].do(func() {
		for _, s := range ln.sockets {
			for range listenBacklog {
				if !e.loops[0].acceptOne(s) {
					break
				}
			}
		}
	})
}

// shed turns those away who wait at a load balancer that has its full share and has let nobody in for long.
func (l *loop) shed(s *socket) {
	ln := s.listener
	ln.shutOutMs.CompareAndSwap(0, l.nowMs)
	if l.nowMs < ln.shutOutMs.Load()+l.engine.shedAfterMs || !ln.server.files.IsGreedy() {
		return
	}
	for range acceptsPerEvent {
		fd, errno := accept4(s.fd, &l.addr)
		if errno != 0 {
			return
		}
		closeSocket(fd, true)
		ln.meter.Errors.Add(1)
	}
}

var errBudget = errors.New("the process's limit is reached")

// starve pauses a listener for a while.
func (l *loop) starve(ln *listener, cause error) {
	l.engine.descriptors.Exhausted(cause)
	ln.pause(pausedStarved)
	l.retrySoon()
	l.starved = append(l.starved, ln)
}

// accepted is a connection that begins.
type accepted struct {
	listener *listener
	setup    *setup
	fd       int32
	client   netip.AddrPort
	local    netip.AddrPort // what the client connected to
	hops     int            // load balancers that the client has passed, this one included
}

// welcome gives an accepted connection to a loop.
func (l *loop) welcome(s *socket, fd int32, client netip.AddrPort) {
	ln := s.listener
	a := accepted{listener: ln, setup: ln.setup.Load(), fd: fd, client: client, local: s.addr, hops: s.door.Passed(client)}
	if refusal := a.refusal(); refusal != "" {
		closeSocket(fd, true)
		ln.server.files.Give(connDescriptors)
		ln.leave()
		l.logRefused(a, refusal)
		return
	}
	ln.meter.Total.Add(1)
	ln.meter.Active.Add(1)
	to := l.engine.leastBusy()
	slack := to.load.Load()/4 + loadSlack
	if a.setup.site != nil {
		slack = sessionSlack
	}
	if l.load.Load() <= to.load.Load()+slack {
		to = l
	}
	to.load.Add(1)
	if to == l {
		l.begin(a)
		return
	}
	if !to.post(func() { to.begin(a) }) {
		to.load.Add(-1)
		l.load.Add(1)
		l.begin(a)
	}
}

// refusal says why a client is not let in; "" when it is.
func (a *accepted) refusal() accesslog.End {
	switch {
	case !a.setup.allows(a.client.Addr()):
		return accesslog.NotAllowed
	case a.hops > eventloop.MaxHops:
		a.listener.server.circle.Found()
		return accesslog.Circle
	}
	return ""
}

// left is called when a connection of l has ended and has closed its sockets, of which it had so many.
func (ln *listener) left(l *loop, descriptors int64) {
	l.load.Add(-1)
	ln.server.files.Give(descriptors)
	ln.meter.Active.Add(-1)
	ln.leave()
}

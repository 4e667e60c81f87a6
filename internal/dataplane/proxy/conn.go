package proxy

import (
	"errors"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane/balance"
)

const (
	// connDescriptors is what one connection holds: the client's socket and the member's.
	connDescriptors = 2
	// maxAttempts is how many members one client connection tries, each once.
	maxAttempts = 16
	// silenceMs is how long an attempt that fails may take before its member counts as silent, and rests.
	silenceMs = 100
	// readEvents are those after which there is something to read.
	readEvents = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLPRI | unix.EPOLLET
	// maxIdleConns of one loop wait for their next use.
	maxIdleConns = 256
)

// conn is one client connection and its way to a member. It belongs to its loop.
type conn struct {
	timer    timer
	loop     *loop
	listener *listener
	setup    *setup
	member   *balance.Member
	tried    []*balance.Member // only while connecting
	client   netip.AddrPort

	sides [2]side      // by kindClient and kindMember
	flows [2]direction // by the side that is read: from the client, from the member

	place      uint32
	generation int32
	state      state
	queued     bool // is in the loop's unread list
}

type state uint8

const (
	connecting state = iota
	relaying
	closed
)

// side is one of a connection's two sockets. Readiness is edge-triggered: it holds until a call says otherwise.
type side struct {
	activeMs int64 // when bytes last came from there or went there; while connecting, since when
	fd       int32 // -1: none
	readable bool
	writable bool
	hup      bool // the peer has closed or reset: read on until the end
	urgent   bool // the peer has sent an urgent byte: a read ends before it, and a splice never gets past it
	eof      bool // the end was read
	watched  uint32
}

// begin starts an accepted connection.
func (l *loop) begin(ln *listener, setup *setup, fd int32, client netip.AddrPort) {
	c := l.freeConn()
	c.loop, c.listener, c.setup, c.client = l, ln, setup, client
	c.state, c.timer.owner = connecting, c
	c.sides = [2]side{{fd: fd}, {fd: -1}}
	c.place, c.generation = l.conns.put(c)
	c.connectNext()
}

// connectNext starts a connect to the next member that the balancer names, and closes when there is none.
func (c *conn) connectNext() {
	for len(c.tried) < maxAttempts && c.setup.balancer != nil {
		c.member = c.setup.balancer.Pick(c.client, c.tried...)
		if c.member == nil {
			break
		}
		err := c.dial()
		if err == nil {
			return
		}
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			c.loop.engine.budget.lower()
			c.loop.starve(c.listener, err)
			break
		}
		c.abandonMember()
	}
	c.listener.errors.Add(1)
	c.close(orderly)
}

// dial starts the connect to the member; the loop hears how it ends.
func (c *conn) dial() error {
	m := &c.sides[kindMember]
	fd, err := c.listener.server.net.Socket(family(c.member.Address.Addr()), unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	*m = side{fd: int32(fd), activeMs: c.loop.nowMs}
	setNoDelay(m.fd)
	c.loop.addr.set(c.member.Address)
	if errno := connect(m.fd, &c.loop.addr); errno != 0 && errno != syscall.EINPROGRESS {
		return errno
	}
	c.loop.wheel.set(&c.timer, c.loop.nowMs+c.setup.connectTimeoutMs)
	return c.watch(kindMember, readEvents|unix.EPOLLOUT)
}

// abandonMember gives a member up that could not be reached.
func (c *conn) abandonMember() {
	m := &c.sides[kindMember]
	if m.fd >= 0 {
		c.unwatch(m)
		closeSocket(m.fd, true)
		m.fd = -1
		if c.loop.nowMs-m.activeMs >= silenceMs {
			c.member.Rest()
		}
	}
	c.member.Release()
	c.tried = append(c.tried, c.member)
	c.member = nil
}

// watch sets the events of one side.
func (c *conn) watch(kind int, events uint32) error {
	s := &c.sides[kind]
	op := unix.EPOLL_CTL_ADD
	if s.watched != 0 {
		op = unix.EPOLL_CTL_MOD
	}
	s.watched = events
	return c.loop.watch(op, int(s.fd), events, kind, c.place, c.generation)
}

// unwatch keeps what still happens to a socket from being taken for what happens to its successor. Closing it is not
// always enough: a process being started holds a copy for a moment.
func (c *conn) unwatch(s *side) {
	if s.watched != 0 {
		_ = c.loop.watch(unix.EPOLL_CTL_DEL, int(s.fd), 0, 0, 0, 0)
	}
}

// onEvent takes what epoll says about one side.
func (c *conn) onEvent(kind int, events uint32) {
	if c.state == connecting {
		c.onConnect(events)
		return
	}
	s := &c.sides[kind]
	if events&unix.EPOLLERR != 0 && c.flows[kind].done { // nothing will be read that would tell
		c.fail()
		return
	}
	if events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		s.readable, s.hup = true, true
	}
	if events&unix.EPOLLIN != 0 {
		s.readable = true
	}
	if events&unix.EPOLLPRI != 0 {
		s.readable, s.urgent = true, true
	}
	if events&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		s.writable = true
	}
	c.relay()
}

// fail closes a connection of which one side has failed. The other side hears of it by a reset, unless it would lose
// what is still on its way to it, up to an end that was passed on: it then gets all that, and a reset if it sends more.
func (c *conn) fail() {
	how := abort
	for kind := range c.sides {
		if c.flows[kind].done && unsent(c.sides[1-kind].fd) > 0 {
			how = orderly
		}
	}
	c.close(how)
}

// onConnect hears how a connect ended. A member that has reset the connection by now has seen no byte of it, so
// another one can take over.
func (c *conn) onConnect(events uint32) {
	if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		c.abandonMember()
		c.connectNext()
		return
	}
	c.state = relaying
	c.tried = nil
	client, member := &c.sides[kindClient], &c.sides[kindMember]
	client.activeMs, member.activeMs = c.loop.nowMs, c.loop.nowMs
	client.readable, client.writable = true, true
	member.writable = true
	member.readable = events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLPRI) != 0
	member.hup = events&unix.EPOLLRDHUP != 0
	member.urgent = events&unix.EPOLLPRI != 0
	c.relay()
}

// onTimer hears that a deadline may have come.
func (c *conn) onTimer() {
	switch {
	case c.state == connecting:
		c.abandonMember()
		c.connectNext()
	case c.dueMs() <= c.loop.nowMs:
		c.close(orderly)
	default:
		c.loop.wheel.set(&c.timer, c.dueMs())
	}
}

// dueMs is when the connection ends if nothing happens. A side's silence counts while something is expected of it: that
// it says something, or that it takes what waits for it. Bytes in either direction end the silence of both sides, as
// they do in HAProxy, so that a long download is not cut because its client has nothing to say.
func (c *conn) dueMs() int64 {
	client, member := &c.sides[kindClient], &c.sides[kindMember]
	due := int64(1) << 62
	if !client.eof || c.flows[kindMember].pending() > 0 {
		due = client.activeMs + c.setup.clientTimeoutMs
	}
	if !member.eof || c.flows[kindClient].pending() > 0 {
		due = min(due, member.activeMs+c.setup.memberTimeoutMs)
	}
	return due
}

// How a connection is closed.
type manner bool

const (
	orderly manner = false // FIN
	abort   manner = true  // RST
)

// close ends the connection and gives back everything that it holds.
func (c *conn) close(how manner) {
	l, ln := c.loop, c.listener
	c.state = closed
	l.wheel.remove(&c.timer)
	for i := range c.sides {
		if fd := c.sides[i].fd; fd >= 0 {
			closeSocket(fd, bool(how))
		}
		c.flows[i].release(l)
	}
	if c.member != nil {
		c.member.Release()
	}
	l.conns.remove(c.place)
	l.load.Add(-1)
	l.engine.budget.give(connDescriptors)
	ln.active.Add(-1)
	ln.leave()
	l.keepConn(c)
}

func (l *loop) freeConn() *conn {
	n := len(l.idleConns)
	if n == 0 {
		return &conn{}
	}
	c := l.idleConns[n-1]
	l.idleConns = l.idleConns[:n-1]
	return c
}

// keepConn keeps a closed connection's memory for the next one, unless the unread list still names it.
func (l *loop) keepConn(c *conn) {
	if c.queued || len(l.idleConns) >= maxIdleConns {
		return
	}
	*c = conn{state: closed}
	l.idleConns = append(l.idleConns, c)
}

package proxy

import (
	"errors"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
	"poise/internal/dataplane/balance"
	"poise/internal/dataplane/meter"
	"poise/internal/dataplane/proxyproto"
)

const (
	// connDescriptors is what one connection holds: the client's socket and the member's.
	connDescriptors = 2
	// maxAttempts is how many members one client connection tries, each once.
	maxAttempts = 16
	// silenceMs is how long an attempt that fails may take before its member counts as silent, and rests.
	silenceMs = 100
	// maxIdleConns of one loop wait for their next use.
	maxIdleConns = 256
)

// conn is one client connection and its way to a member, between which bytes are relayed unseen. It belongs to its loop.
type conn struct {
	timer     timer
	loop      *loop
	listener  *listener
	setup     *setup
	member    *balance.Member
	meter     *meter.Member     // the member's, or that of the one that failed last
	tried     []*balance.Member // only while connecting
	handshake *handshake        // with the member, likewise; nil: none is under way
	client    netip.AddrPort
	local     netip.AddrPort // what the client connected to
	hops      int            // load balancers that the client has passed, this one included

	sides [2]side      // by kindClient and kindMember
	flows [2]direction // by the side that is read: from the client, from the member

	bytes      [2]uint64         // read, by side
	startNs    int64             // since the process started
	attemptNs  int64             // when the connect to the member began
	record     *accesslog.Record // nil: nobody wanted one when the connection began
	held       [2]uint32         // events that wait for the next round, by kind
	place      uint32
	generation int32
	state      state
	queued     bool // the loop will go on with it
}

type state uint8

const (
	connecting state = iota
	relaying
	closed
)

// begin starts an accepted connection.
func (l *loop) begin(a accepted) {
	defer l.charge(a.listener.server)
	if a.setup.site != nil {
		l.beginSession(a)
		return
	}
	c := l.freeConn()
	c.loop, c.listener, c.setup, c.client, c.local, c.hops = l, a.listener, a.setup, a.client, a.local, a.hops
	c.state, c.timer.owner = connecting, c
	c.startNs = l.nowNs
	if a.listener.log.Wanted() {
		c.record = &accesslog.Record{}
	}
	c.sides = [2]side{{fd: a.fd}, {fd: -1}}
	c.place, c.generation = l.conns.put(c)
	c.connectNext()
}

// connectNext starts a connect to the next member that the balancer names, and closes when there is none.
func (c *conn) connectNext() {
	end := accesslog.NoPool
	if c.setup.pool != nil {
		end = c.tryMembers()
	}
	if end != "" {
		c.listener.meter.Errors.Add(1)
		c.close(orderly, end)
	}
}

// tryMembers starts a connect and returns "", or says why there is none.
func (c *conn) tryMembers() accesslog.End {
	for len(c.tried) < maxAttempts {
		c.member = c.setup.pool.Balancer.Pick(c.client, c.tried...)
		if c.member == nil {
			break
		}
		if len(c.tried) > 0 {
			c.meter.Redispatches.Add(1) // still the one that failed
		}
		c.meter = c.setup.pool.Meters[c.member.Index]
		err := c.dial()
		if err == nil {
			return ""
		}
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			c.loop.engine.descriptors.Lower()
			c.loop.starve(c.listener, err)
			break
		}
		c.abandonMember()
	}
	if len(c.tried) > 0 {
		return accesslog.MemberRefused
	}
	return accesslog.NoMember
}

// dial starts the connect to the member; the loop hears how it ends.
func (c *conn) dial() error {
	m := &c.sides[kindMember]
	c.attemptNs = c.loop.nowNs
	fd, err := c.loop.dial(c.listener.server.net, c.member.Address, c.hops)
	*m = side{fd: fd, activeMs: c.loop.nowMs}
	if err != nil {
		return err
	}
	c.loop.wheel.set(&c.timer, c.loop.nowMs+c.setup.connectTimeoutMs)
	return c.watch(kindMember, readEvents|unix.EPOLLOUT)
}

// dial makes a socket, -1 if that fails, and has it connect. An error beside a socket is that of the connect.
// hops is how many load balancers the client has passed.
func (l *loop) dial(network dataplane.Net, to netip.AddrPort, hops int) (int32, error) {
	fd, err := network.Socket(family(to.Addr()), unix.SOCK_STREAM)
	if err != nil {
		return -1, err
	}
	setNoDelay(int32(fd))
	l.addr.set(to)
	var errno syscall.Errno
	if door := l.engine.hops.Leads(to); door != nil {
		door.Enter(hops, func() netip.AddrPort {
			errno = connect(int32(fd), &l.addr)
			return localAddr(int32(fd))
		})
	} else {
		errno = connect(int32(fd), &l.addr)
	}
	if errno != 0 && errno != syscall.EINPROGRESS {
		return int32(fd), errno
	}
	return int32(fd), nil
}

// abandonMember gives a member up that could not be reached.
func (c *conn) abandonMember() {
	m := &c.sides[kindMember]
	if m.fd >= 0 {
		m.unwatch(c.loop)
		c.closeMember(abort)
		m.fd = -1
		if c.loop.nowMs-m.activeMs >= silenceMs {
			c.member.Rest()
		}
	}
	c.member.Release()
	c.meter.ConnectErrors.Add(1)
	c.tried = append(c.tried, c.member)
	c.member = nil
}

// watch sets the events of one side.
func (c *conn) watch(kind int, events uint32) error {
	return c.sides[kind].watch(c.loop, events, kind, c.place, c.generation)
}

// onEvent takes what epoll says about one side.
func (c *conn) onEvent(kind int, events uint32) {
	if c.state == connecting {
		c.onConnect(events)
		return
	}
	if events&unix.EPOLLERR != 0 && c.flows[kind].done { // nothing will be read that would tell
		c.fail(kind)
		return
	}
	c.sides[kind].note(events)
	c.relay()
}

// fail closes a connection of which one side, that of this kind, has failed. The other side hears of it by a reset, unless it would
// lose what is still on its way to it, up to an end that was passed on: it then gets all that, and a reset if it sends more.
func (c *conn) fail(kind int) {
	how := abort
	for kind := range c.sides {
		if c.flows[kind].done && unsent(c.sides[1-kind].fd) > 0 {
			how = orderly
		}
	}
	if kind == kindClient {
		c.meter.ClientAborts.Add(1)
		c.close(how, accesslog.ClientClosed)
		return
	}
	c.meter.MemberAborts.Add(1)
	c.close(how, accesslog.MemberClosed)
}

// onConnect hears how a connect ended, or that a handshake may go on. A member that has reset the connection by now has seen
// no byte of it, so another one can take over.
func (c *conn) onConnect(events uint32) {
	switch {
	case c.handshake != nil:
		c.sides[kindMember].noteShaking(c.handshake, events)
	case events&broken != 0:
		c.abandonMember()
		c.connectNext()
	case c.setup.pool.TLS != nil:
		c.sendProxyHeader()
		c.shake()
	default:
		c.sides[kindMember].writable = true
		c.sides[kindMember].note(events)
		c.sendProxyHeader()
		c.reached()
	}
}

// sendProxyHeader tells the member who the client is, before anything else and in plaintext. The socket is new and has room.
func (c *conn) sendProxyHeader() {
	pool := c.setup.pool.Config
	if pool.Proxy != dataplane.NoProxy {
		header := proxyproto.AppendHeader(c.loop.message[:0], pool.Proxy, c.client, c.local, nil)
		_, _ = write(c.sides[kindMember].fd, header) // what fails fails again, and tells
	}
}

// reached is called when the member can be spoken to.
func (c *conn) reached() {
	c.tried = nil
	c.meter.Active.Add(1)
	c.meter.Total.Add(1)
	c.meter.ConnectNs.Add(c.loop.nowNs - c.attemptNs)
	client := &c.sides[kindClient]
	client.readable, client.writable = true, true
	c.startRelay()
}

func (c *conn) startRelay() {
	c.state = relaying
	c.sides[kindClient].activeMs, c.sides[kindMember].activeMs = c.loop.nowMs, c.loop.nowMs
	c.relay()
}

// onTimer hears that a deadline may have come.
func (c *conn) onTimer() {
	if c.state == connecting {
		c.abandonMember()
		c.connectNext()
		return
	}
	clientMs, memberMs := c.dueMs()
	switch now := c.loop.nowMs; {
	case clientMs <= now:
		c.close(orderly, accesslog.ClientTimeout)
	case memberMs <= now:
		c.close(orderly, accesslog.MemberTimeout)
	default:
		c.loop.wheel.set(&c.timer, min(clientMs, memberMs))
	}
}

// never is the deadline of what has none.
const never = int64(1) << 62

// dueMs is when the connection ends, by the fault of which side, if nothing happens. A side's silence counts while something is
// expected of it: that it says something, or that it takes what waits for it. Bytes in either direction end the silence of both
// sides, as they do in HAProxy, so that a long download is not cut because its client has nothing to say.
func (c *conn) dueMs() (clientMs, memberMs int64) {
	client, member := &c.sides[kindClient], &c.sides[kindMember]
	clientMs, memberMs = never, never
	if !client.eof || c.flows[kindMember].pending() > 0 || client.waits() {
		clientMs = client.activeMs + c.setup.clientTimeoutMs
	}
	if !member.eof || c.flows[kindClient].pending() > 0 || member.waits() {
		memberMs = member.activeMs + c.setup.memberTimeoutMs
	}
	return clientMs, memberMs
}

// How a connection is closed.
type manner bool

const (
	orderly manner = false // FIN
	abort   manner = true  // RST
)

// close ends the connection and gives back everything that it holds.
func (c *conn) close(how manner, end accesslog.End) {
	l, ln := c.loop, c.listener
	if c.member != nil {
		c.member.Release()
	}
	if c.state == relaying {
		c.meter.Active.Add(-1)
		c.meter.TotalNs.Add(l.nowNs - c.attemptNs)
	}
	if c.record != nil {
		c.log(end)
	}
	c.state = closed
	l.wheel.remove(&c.timer)
	for i := range c.sides {
		c.flows[i].release(l)
	}
	c.sides[kindClient].close(how)
	if c.sides[kindMember].fd >= 0 {
		c.closeMember(how)
	}
	l.conns.remove(c.place)
	l.keepConn(c)
	ln.left(l, connDescriptors)
}

// closeMember gives the member's socket back, or leaves it to the handshake that needs it.
func (c *conn) closeMember(how manner) {
	if c.handshake != nil {
		c.handshake.cancel()
		c.handshake = nil
		return
	}
	c.sides[kindMember].close(how)
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

// keepConn keeps a closed connection's memory for the next one, unless the loop will go on with it.
func (l *loop) keepConn(c *conn) {
	if c.queued || len(l.idleConns) >= maxIdleConns {
		return
	}
	*c = conn{state: closed}
	l.idleConns = append(l.idleConns, c)
}

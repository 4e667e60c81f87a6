package datagram

import (
	"net/netip"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane/accesslog"
	"poise/internal/dataplane/balance"
	eventloop "poise/internal/dataplane/loop"
	"poise/internal/dataplane/meter"
)

// portDescriptors is what a listening socket accounts for: itself, and the namespace that its network holds open.
const portDescriptors = 2

// listener is one listener of the configuration, with a port for each address.
type listener struct {
	id     string
	server *Server
	loop   *loop
	ports  map[netip.AddrPort]*port // the server's, under its mutex
	limit  atomic.Int64
	meter  meter.Listener
	log    accesslog.Log

	// The loop's.
	setup  *setup
	silent order // its flows
	count  int   // of them
}

// setup is what flows need of the configuration.
type setup struct {
	allowed  []netip.Prefix
	limit    int
	poolID   string
	balancer *balance.Balancer // nil: no pool
	members  map[string]usedMember
	memory   int64 // of the balancer for a silent client, ms; 0: for ever, or none
}

// usedMember is a member as a listener uses it.
type usedMember struct {
	address netip.AddrPort
	meter   *meter.Member
	usable  bool
}

// port is one listening socket of a listener.
type port struct {
	listener *listener
	fd       int
	door     *eventloop.Door
	flows    map[clientKey]*flow
}

func newListener(id string, s *Server) *listener {
	ln := &listener{
		id: id, server: s, loop: s.engine.leastBusy(), ports: map[netip.AddrPort]*port{}, silent: order{of: inListener},
	}
	ln.loop.listeners.Add(1)
	return ln
}

func (s *setup) allows(client netip.Addr) bool {
	for _, prefix := range s.allowed {
		if prefix.Contains(client) {
			return true
		}
	}
	return len(s.allowed) == 0
}

// adopt takes a new setup. Flows that it would not have let come about end.
func (ln *listener) adopt(s *setup) {
	ln.setup = s
	for f := range ln.silent.all() {
		switch {
		case !s.allows(f.client.Addr()):
			f.end(accesslog.NotAllowed)
		case f.member != nil && !s.members[f.member.ID].serves(f):
			f.end(accesslog.MemberGone)
		}
	}
	for ln.count > s.limit {
		ln.silent.first.end(accesslog.Evicted)
	}
}

func (m usedMember) serves(f *flow) bool { return m.usable && m.address == f.member.Address }

// setUsable notes what the checks have found; the flows of a member that is down end.
func (ln *listener) setUsable(key memberKey, usable bool) {
	if ln.setup == nil || ln.setup.poolID != key.poolID {
		return
	}
	for f := range ln.silent.all() {
		if !usable && f.member != nil && f.member.ID == key.memberID {
			f.end(accesslog.MemberGone)
		}
	}
}

// addCount counts a flow, or with -1 one less.
func (ln *listener) addCount(n int) {
	ln.count += n
	switch {
	case n > 0 && ln.count == 1:
		ln.loop.inUse++
	case n < 0 && ln.count == 0:
		ln.loop.inUse--
	}
}

// open begins to take datagrams. The error could only be that of a descriptor which is not one, or of a kernel without
// memory; the port is then silent.
func (p *port) open() {
	l := p.listener.loop
	l.ports[int32(p.fd)] = p
	_ = l.watch(p.fd, kindPort)
}

// shut closes the socket and ends its flows.
func (p *port) shut() {
	for _, f := range p.flows {
		f.end(accesslog.Stopped)
	}
	delete(p.listener.loop.ports, int32(p.fd))
	_ = unix.EpollCtl(p.listener.loop.epfd, unix.EPOLL_CTL_DEL, p.fd, nil)
	p.door.Close()
	_ = unix.Close(p.fd)
}

// readClients takes a batch of what clients have sent; there may be more.
func (p *port) readClients() {
	in := p.listener.loop.in
	n, errno := in.receive(p.fd, 0)
	if errno != 0 { // nothing there after all
		return
	}
	for from := 0; from < n; {
		key := in.client(from)
		to := from + 1
		for to < n && in.client(to) == key {
			to++
		}
		if f := p.flowOf(key, from); f != nil {
			f.send(from, to)
		}
		from = to
	}
	in.reset(0, n)
}

// flowOf is the flow to which the datagram at that place of the batch belongs, a new one if need be; nil when it is to be
// dropped.
func (p *port) flowOf(key clientKey, place int) *flow {
	if f := p.flows[key]; f != nil {
		return f
	}
	ln := p.listener
	client := key.addrPort()
	if ln.setup.balancer == nil || !ln.setup.allows(client.Addr()) {
		return nil
	}
	f := &flow{key: key, client: client, to: ln.loop.in.names[place], port: p, fd: none, hops: p.door.Passed(client)}
	if f.hops > eventloop.MaxHops {
		ln.server.circle.Found()
		return nil
	}
	if !f.connect() {
		return nil
	}
	if ln.count >= ln.setup.limit {
		ln.silent.first.end(accesslog.Evicted)
	}
	f.begin()
	return f
}

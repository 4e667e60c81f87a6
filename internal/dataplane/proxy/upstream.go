package proxy

import "golang.org/x/sys/unix"

const (
	// maxTries is how many members a request tries that cannot be reached: Octavia's HAProxy retries 3 times.
	maxTries = 4
	// peekAfterMs is how long an upstream waits before it is looked at again at its reuse: a member that has just closed it may not
	// have been heard yet.
	peekAfterMs = 100
	// maxKeptUpstreams of one loop, that are closed, wait for their next use as memory.
	maxKeptUpstreams = 256
)

// upstream is a connection to a member that carries one request after the other. It belongs to a session while it carries a
// request, and otherwise waits in the idle pool of its loop.
type upstream struct {
	timer       timer
	loop        *loop
	server      *Server
	session     *session // nil while it waits
	idle        *idleList
	handshake   *handshake // nil: none is under way
	side        side
	target      target
	idleSinceMs int64
	held        uint32 // events that wait for the next round
	place       uint32
	generation  int32
	connected   bool
	waits       bool // in the idle list
}

// connect begins a connection to the member of the session's request.
func (s *session) connect() error {
	x, l := s.x, s.loop
	x.attemptNs = l.nowNs
	fd, err := l.dial(s.listener.server.net, x.target.address, s.hops)
	if err != nil {
		if fd >= 0 {
			closeSocket(fd, true)
		}
		return err
	}
	u := l.freeUpstream()
	u.loop, u.server, u.session, u.target, u.timer.owner = l, s.listener.server, s, x.target, u
	u.idle = l.idle.enlist(x.target)
	u.side = side{fd: fd, activeMs: l.nowMs}
	u.place, u.generation = l.upstreams.put(u)
	if err := u.side.watch(l, readEvents|unix.EPOLLOUT, kindUpstream, u.place, u.generation); err != nil {
		u.close(abort)
		return err
	}
	x.upstream = u
	s.phase = reaching
	return nil
}

// onEvent takes what epoll says. An upstream that waits has nothing to hear but that its member closes it; whatever else it says
// then belongs to no request.
func (u *upstream) onEvent(events uint32) {
	switch s := u.session; {
	case u.waits:
		if events&^unix.EPOLLOUT != 0 {
			u.loop.idle.drop(u)
		}
	case s.x == nil || s.x.upstream != u: // the session keeps it for its next request
		if events&^unix.EPOLLOUT != 0 {
			s.dropOwn()
		}
	case u.connected:
		u.side.note(events)
		s.run()
	case u.handshake != nil:
		u.side.noteShaking(u.handshake, events)
	case events&broken != 0:
		s.connectFailed()
		s.run()
	default:
		u.side.note(events)
		u.side.writable = true
		s.sendProxyHeader()
		if u.target.tls != nil {
			u.shake()
			return
		}
		s.reached()
		s.run()
	}
}

// usable looks whether an upstream that has waited is still open and silent.
func (u *upstream) usable() bool {
	return !u.side.hup && (u.loop.nowMs-u.idleSinceMs < peekAfterMs || isSilent(u.side.fd))
}

// onTimer hears that the upstream may have waited too long.
func (u *upstream) onTimer() {
	if !u.waits {
		return
	}
	if due := u.idleSinceMs + idleUpstreamMs; due > u.loop.nowMs {
		u.loop.wheel.set(&u.timer, due)
		return
	}
	u.loop.idle.drop(u)
}

// close ends the connection.
func (u *upstream) close(how manner) {
	if u.handshake != nil {
		u.handshake.cancel() // which closes the socket
	} else {
		u.side.close(how)
	}
	u.loop.forgetUpstream(u)
}

// forgetUpstream gives back everything but the socket.
func (l *loop) forgetUpstream(u *upstream) {
	l.wheel.remove(&u.timer)
	l.idle.delist(u)
	l.upstreams.remove(u.place)
	if len(l.keptUpstreams) < maxKeptUpstreams {
		*u = upstream{}
		l.keptUpstreams = append(l.keptUpstreams, u)
	}
}

func (l *loop) freeUpstream() *upstream {
	n := len(l.keptUpstreams)
	if n == 0 {
		return &upstream{}
	}
	u := l.keptUpstreams[n-1]
	l.keptUpstreams = l.keptUpstreams[:n-1]
	return u
}

package proxy

import (
	"net"

	"poise/internal/dataplane/accesslog"
	"poise/internal/dataplane/l7"
)

const (
	// maxKeptSessions of one loop wait for their next use as memory, and as many exchanges.
	maxKeptSessions = 256
	// messageSize has room for a head with what is inserted into it, and for what was read together with it.
	messageSize = 3 * bufferSize
	// turnSteps is how many requests that wait for nobody a session serves before others have their turn.
	turnSteps = 64
	// dismissalMs is how long a client of a removed listener may take until its first request.
	dismissalMs = 1_000
	// countAfter bytes of one request are told to the meters before it ends.
	countAfter = 256 << 10
)

// session is one client's connection to an HTTP listener. While its client says nothing it is a descriptor and some hundred
// bytes; what a request needs beyond is its exchange.
type session struct {
	timer     timer
	loop      *loop
	listener  *listener
	setup     *setup // of the request at hand, or of the last one
	client    l7.Client
	side      side
	http2     *http2Stream // the session is one request of a connection of HTTP/2; nil: it is a connection
	x         *exchange    // the request at hand, from its first byte; nil between two
	handshake *handshake   // nil: none is under way
	own       *upstream    // waits for this session's next request only, as its member was told who the client is; nil: none
	in        []byte       // was read and is not used yet: a part of a head, or requests that follow the one at hand
	out       direction    // what the client has not taken yet

	bytesIn    uint64 // read, and not in the meters yet
	bytesOut   uint64 // likewise passed on
	shortMs    int64  // since when the request to be read waits for a descriptor; 0: it does not
	untilMs    int64  // in leaving: when the connection is closed at last
	hops       int    // load balancers that the client has passed, this one included
	drained    int    // likewise: bytes that were thrown away
	lingers    bool   // likewise: the client may still be sending
	held       uint32 // events that wait for the next round
	place      uint32
	generation int32
	phase      phase
	queued     bool // the loop will go on with it
	lent       bool // the descriptor for a member was given back until the next request
	waits      bool // is in the loop's list of those who want it back
}

// phase is what a session waits for.
type phase uint8

const (
	shaking    phase = iota // the TLS handshake
	awaiting                // a request, or the rest of its head
	deciding                // its turns to be compared with the rules
	reaching                // a member, to be connected
	exchanging              // a request and its answer are under way
	leaving                 // the client takes its last answer, and what it still says is thrown away
	gone
)

// beginSession starts a client's connection.
func (l *loop) beginSession(a accepted) {
	s := l.freeSession()
	s.loop, s.listener, s.setup, s.timer.owner = l, a.listener, a.setup, s
	s.client, s.hops = l7.Client{Address: a.client, Local: a.local}, a.hops
	s.side = side{fd: a.fd, activeMs: l.nowMs, readable: true, writable: true}
	s.place, s.generation = l.sessions.put(s)
	switch {
	case a.setup.site.TLS != nil:
		s.shake()
	case a.setup.gateway:
		s.passOver(func() (net.Conn, error) { return connOf(a.fd) })
		return
	default:
		s.phase = awaiting
	}
	s.run()
}

// onEvent takes what epoll says of the client. That it is gone is not read while an answer is awaited.
func (s *session) onEvent(events uint32) {
	if s.handshake != nil {
		s.side.noteShaking(s.handshake, events)
		return
	}
	s.side.note(events)
	if events&broken != 0 && s.phase >= deciding && s.phase <= exchanging {
		s.clientFailed(accesslog.ClientClosed)
	}
	s.run()
}

func (s *session) payer() *Server { return s.listener.server }

// goOn is called when the others had their turn.
func (s *session) goOn() {
	s.queued = false
	s.run()
}

// run does what can be done, and waits for more.
func (s *session) run() {
	for steps := 0; s.step(); steps++ {
		if steps == turnSteps {
			s.queue()
			break
		}
	}
	if s.phase == gone {
		return
	}
	if events := s.needs(); events != 0 {
		if s.side.watch(s.loop, events, kindSession, s.place, s.generation) != nil {
			s.close(abort, accesslog.Stopped)
			return
		}
	}
	if s.bytesIn+s.bytesOut >= countAfter {
		s.count()
	}
	if due := s.dueMs(); due < never {
		s.loop.wheel.setBy(&s.timer, due)
	}
}

// needs are the events that are missing.
func (s *session) needs() uint32 {
	if s.phase != shaking {
		return s.side.needs()
	}
	if s.side.watched != 0 {
		return 0
	}
	return everything
}

// step says whether another one may follow.
func (s *session) step() bool {
	switch s.phase {
	case awaiting:
		return s.readRequest()
	case exchanging:
		return s.carry()
	case leaving:
		return s.leave()
	}
	return false
}

// queue has the loop continue this session after the others.
func (s *session) queue() {
	if !s.queued {
		s.queued = true
		s.loop.goOnLater(s.payer(), s)
	}
}

// onTimer hears that a deadline may have come.
func (s *session) onTimer() {
	if s.dueMs() <= s.loop.nowMs {
		s.expire()
	}
	s.run()
}

// dueMs is when the session's patience ends if nothing happens.
func (s *session) dueMs() int64 {
	switch s.phase {
	case awaiting:
		if s.shortMs != 0 {
			return s.shortMs + s.setup.connectTimeoutMs
		}
		if s.x == nil && s.listener.removed.Load() && !s.owes() {
			return s.side.activeMs + dismissalMs
		}
		if s.x == nil || s.owes() {
			return s.side.activeMs + s.setup.clientTimeoutMs
		}
		return s.x.startNs/1e6 + s.setup.clientTimeoutMs
	case shaking:
		return never // the handshake has its own
	case leaving:
		if !s.out.done {
			return s.side.activeMs + s.setup.clientTimeoutMs
		}
		return s.untilMs
	case deciding:
		return s.x.startNs/1e6 + s.setup.memberTimeoutMs
	case reaching:
		return s.x.attemptNs/1e6 + s.setup.connectTimeoutMs
	}
	if s.awaitsClient() {
		return min(s.side.activeMs+s.setup.clientTimeoutMs, s.bodyDueMs())
	}
	return s.x.upstream.side.activeMs + s.setup.memberTimeoutMs
}

// bodyGraceMs is for how long the rate of a request's body may be below the least that is wanted.
const bodyGraceMs = 30_000

// bodyDueMs is when a client that sends its body too slowly runs out of time. Once the answer has begun the two may be
// talking, each in its own time.
func (s *session) bodyDueMs() int64 {
	x, rate := s.x, s.setup.minBodyRate
	if rate <= 0 || x.begun || s.owes() || x.bodyFromMs == 0 {
		return never
	}
	return x.bodyFromMs + bodyGraceMs + x.bodyBytes*1000/rate
}

// awaitsClient says, of a request under way, whether it is the client's turn: to take what was sent to it or to send more of its
// request, which it need not do before it was told to continue.
func (s *session) awaitsClient() bool {
	x := s.x
	return s.owes() || !x.requestDone && !x.muted && x.toMember.pending() == 0 && !x.head.Expects
}

// expire ends what has taken too long.
func (s *session) expire() {
	switch s.phase {
	case awaiting:
		switch {
		case s.shortMs != 0: // the request is read now
		case s.owes():
			s.close(abort, accesslog.ClientTimeout)
		case s.x == nil:
			s.close(orderly, "")
		default:
			s.refuse(408, accesslog.ClientTimeout)
		}
	case leaving:
		s.close(abort, "")
	case deciding:
		s.answer(&l7.Answer{Status: 403, End: accesslog.RulesExceeded})
	case reaching:
		s.connectFailed()
	case exchanging:
		switch {
		case !s.awaitsClient():
			s.memberFailed(504, accesslog.MemberTimeout)
		case s.x.begun:
			s.clientFailed(accesslog.ClientTimeout)
		default:
			s.refuse(408, accesslog.ClientTimeout)
		}
	}
}

// owes says that the client has not taken all of an answer.
func (s *session) owes() bool { return s.out.pending() > 0 || s.side.waits() }

// dismiss has the HTTP clients of removed listeners leave: those that wait at once, the others with their answer. A request that
// has come is answered, and who is new has a second to ask.
func (l *loop) dismiss(server *Server) {
	for s := range l.sessions.all() {
		if s.listener.server != server || !s.listener.removed.Load() || s.phase != awaiting || s.x != nil || s.owes() {
			continue
		}
		isNew := !s.lent && s.own == nil && s.http2 == nil
		if !isNew && s.side.silent() {
			s.close(orderly, "")
			continue
		}
		s.queue()
	}
	for c := range l.http2s.all() {
		if c.listener.server == server && c.listener.removed.Load() {
			c.goAway()
		}
	}
}

// lend gives the descriptor for a member back while no request is under way, so that nearly twice as many clients can wait for
// their next one.
func (s *session) lend() {
	if !s.lent && s.http2 == nil && s.own == nil {
		s.lent = true
		s.listener.server.files.Give(1)
	}
}

// reclaim takes it back before a request is read. Without one the request waits, unread, until others have given some back, at
// most as long as a connect may take; then it is read all the same, and answered.
func (s *session) reclaim() bool {
	if !s.lent {
		return true
	}
	l := s.loop
	if s.listener.server.files.Take(1) {
		s.lent, s.shortMs = false, 0
		if s.http2 != nil {
			s.http2.short = false
		}
		return true
	}
	l.engine.descriptors.Exhausted(errBudget)
	if s.shortMs == 0 {
		s.shortMs = l.nowMs
	}
	if l.nowMs >= s.shortMs+s.setup.connectTimeoutMs {
		s.shortMs = 0
		return true
	}
	if !s.waits {
		s.waits = true
		l.retrySoon()
		l.short = append(l.short, s)
	}
	return false
}

// close ends the connection and gives back everything that it holds. Where a request is under way, end says why that ended.
func (s *session) close(how manner, end accesslog.End) {
	l, ln := s.loop, s.listener
	s.endExchange(end)
	s.dropOwn()
	s.phase = gone
	s.count()
	l.wheel.remove(&s.timer)
	if s.handshake != nil {
		s.handshake.cancel() // which closes the socket
	} else {
		s.side.close(how)
	}
	s.out.release(l)
	l.sessions.remove(s.place)
	ofHTTP2 := s.http2 != nil
	held := int64(connDescriptors)
	if s.lent {
		held--
	}
	l.keepSession(s)
	if !ofHTTP2 {
		ln.left(l, held)
	}
}

// dropOwn closes the upstream that waits for this session only.
func (s *session) dropOwn() {
	if s.own != nil {
		s.own.close(orderly)
		s.own = nil
	}
}

// count adds what was carried to the meters.
func (s *session) count() {
	s.listener.meter.BytesIn.Add(s.bytesIn)
	s.listener.meter.BytesOut.Add(s.bytesOut)
	if x := s.x; x != nil {
		x.bytesIn += s.bytesIn
		x.bytesOut += s.bytesOut
		if x.attached {
			x.target.meter.BytesIn.Add(x.sent)
			x.target.meter.BytesOut.Add(x.received)
			x.sent, x.received = 0, 0
		}
	}
	s.bytesIn, s.bytesOut = 0, 0
}

func (l *loop) freeSession() *session {
	n := len(l.keptSessions)
	if n == 0 {
		return &session{}
	}
	s := l.keptSessions[n-1]
	l.keptSessions = l.keptSessions[:n-1]
	*s = session{}
	return s
}

// keepSession keeps a closed session's memory for the next one, unless a list still names it.
func (l *loop) keepSession(s *session) {
	if !s.queued && !s.waits && len(l.keptSessions) < maxKeptSessions {
		*s = session{phase: gone}
		l.keptSessions = append(l.keptSessions, s)
	}
}

package proxy

import (
	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
	"poise/internal/dataplane/balance"
	"poise/internal/dataplane/h1"
	"poise/internal/dataplane/l7"
	"poise/internal/dataplane/meter"
)

// exchange is one request with its answer, from the request's first byte to the answer's last.
type exchange struct {
	head    h1.Head    // the request's; what it says of fields is good until the request was forwarded
	request l7.Request // the same for the site
	method  string     // HEAD, or GET for all others, which is as much as the framing of the answer depends on
	answer  h1.Head    // the head of the member's answer

	requestBody h1.Body
	answerBody  h1.Body
	toMember    direction // what the member has not taken yet
	in          []byte    // a part of the answer's head

	routing   *l7.Routing // where the request goes is not known yet; nil: it is
	early     []byte      // what was read of the body before that is known
	pool      *l7.Pool
	member    *balance.Member // nil: none is picked
	target    target          // the way to it
	tried     []*balance.Member
	upstream  *upstream
	copy      []byte // of a request that an upstream carries which may be closed already; empty: it cannot be sent again
	taken     int    // bytes of it that the kernel has taken
	policyID  string
	setCookie bool // the answer ties the client to the member

	attached    bool // the member counts the request
	requestDone bool // the client has sent all of it
	muted       bool // the member takes no more of the request
	begun       bool // the answer's head was passed on
	answerDone  bool // the member has sent all of it
	tainted     bool // the member has sent more than that
	stays       bool // the client's connection goes on after the answer
	interim     int  // 1xx answers so far

	bodyFromMs int64 // since when the client could send its body; 0: it may not yet
	bodyBytes  int64 // that came since then

	startNs   int64             // of the request's first byte, since the process started
	attemptNs int64             // of the last connect
	attachNs  int64             // when a connection to the member was there
	connectNs int64             // how long the connect took; 0 on a connection that was there already
	answerNs  int64             // how long the answer's head took from there
	status    int               // what the client was told
	sent      uint64            // to the member, and not in its meter yet
	received  uint64            // likewise from it
	bytesIn   uint64            // from the client, in the meters
	bytesOut  uint64            // likewise to it
	record    *accesslog.Record // nil: nobody wanted one
}

// beginExchange is called at the first byte of a request.
func (s *session) beginExchange() {
	l := s.loop
	if n := len(l.keptExchanges); n > 0 {
		s.x = l.keptExchanges[n-1]
		l.keptExchanges = l.keptExchanges[:n-1]
	} else {
		s.x = &exchange{}
	}
	s.x.method, s.x.startNs = "GET", l.nowNs
	s.x.head.Options = s.setup.site.Options
}

// pick chooses the member for the request; false: none is usable.
func (s *session) pick() bool {
	x := s.x
	x.member, x.setCookie = x.pool.Pick(&x.request, s.client.Address, x.tried...)
	if x.member == nil {
		return false
	}
	x.target = target{meter: x.pool.Meters[x.member.Index], address: x.member.Address, tls: x.pool.Config.TLS, hops: s.hops}
	if s.http2 != nil && x.pool.Config.Proxy != dataplane.NoProxy {
		x.target.client = s.http2.conn
	}
	if x.target.tls != nil && s.client.TLS != nil {
		x.target.serverName = s.client.TLS.ServerName
	}
	return true
}

// attach is called when there is a connection to the member.
func (s *session) attach() {
	x := s.x
	s.phase = exchanging
	x.attachNs = s.loop.nowNs
	if x.attached {
		return // to another member's connection before
	}
	x.attached = true
	m := x.target.meter
	m.Active.Add(1)
	m.Total.Add(1)
	m.Requests.Add(1)
}

// endExchange ends the request at hand, if there is one. Its upstream is closed unless it was put to rest before.
func (s *session) endExchange(end accesslog.End) {
	x, l := s.x, s.loop
	if x == nil {
		return
	}
	if x.upstream != nil {
		x.upstream.close(abort)
	}
	x.endRouting()
	s.count()
	if x.attached {
		x.settle(l, x.target.meter)
	}
	if x.status != 0 {
		s.listener.meter.Responses[meter.Class(x.status)].Add(1)
	}
	s.logExchange(end)
	if x.member != nil {
		x.member.Release()
	}
	x.toMember.release(l)
	s.x = nil
	l.keepExchange(x)
	s.lend()
}

// settle adds what the exchange was to the member's meter.
func (x *exchange) settle(l *loop, m *meter.Member) {
	m.Active.Add(-1)
	m.TotalNs.Add(l.nowNs - x.attachNs)
	if x.answer.Status != 0 {
		m.Responses[meter.Class(x.answer.Status)].Add(1)
		m.ResponseNs.Add(x.answerNs)
	}
}

// keepExchange keeps the memory of an exchange for the next one.
func (l *loop) keepExchange(x *exchange) {
	if len(l.keptExchanges) >= maxKeptSessions {
		return
	}
	x.head.Reset()
	x.answer.Reset()
	clear(x.tried)
	if cap(x.copy) > 2*maxCopy {
		x.copy = nil
	}
	*x = exchange{head: x.head, answer: x.answer, early: keptInput(x.early), copy: x.copy[:0], tried: x.tried[:0]}
	l.keptExchanges = append(l.keptExchanges, x)
}

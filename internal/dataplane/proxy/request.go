package proxy

import (
	"slices"

	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
	"poise/internal/dataplane/h1"
	"poise/internal/dataplane/l7"
)

// maxCopy is the length of a request of which a copy is kept while its upstream may turn out to be closed already.
const maxCopy = 4 << 10

// readRequest reads on until the head of a request is complete; the next request waits until the client has taken the answer to
// the last one.
func (s *session) readRequest() bool {
	if s.owes() {
		return s.flushOut()
	}
	if s.x == nil && len(s.in) > 0 { // came together with the request before
		if !s.reclaim() {
			return false
		}
		s.beginExchange()
		s.parseRequest(s.in)
		return true
	}
	if !s.side.readable || s.x == nil && !s.reclaim() {
		return false
	}
	l := s.loop
	n, err := s.side.read(l, l.scratch[:min(bufferSize, h1.LongestHead-len(s.in))])
	switch {
	case err != 0, s.side.eof:
		s.clientLeft()
		return false
	case n == 0:
		if s.x == nil {
			s.lend()
		}
		return false
	}
	s.bytesIn += uint64(n)
	if s.x == nil {
		s.beginExchange()
	}
	p := l.scratch[:n]
	if len(s.in) > 0 {
		s.in = append(s.in, p...)
		p = s.in
	}
	s.parseRequest(p)
	return true
}

// clientLeft is called when the client has ended, or reset, its connection while a request was awaited.
func (s *session) clientLeft() {
	if s.x != nil {
		s.listener.meter.Errors.Add(1) // in the middle of one
	}
	s.close(orderly, accesslog.ClientClosed)
}

// flushOut has the client take what waits for it; false: it does not.
func (s *session) flushOut() bool {
	if !s.side.writable || s.out.pending() == 0 {
		return false
	}
	if s.out.flush(s.loop, &s.side) != 0 {
		s.clientFailed(accesslog.ClientClosed)
		return false
	}
	s.out.rest(s.loop)
	return true
}

// parseRequest looks at all that was read of a request; p may be s.in.
func (s *session) parseRequest(p []byte) {
	n, err := s.x.head.ParseRequest(p)
	switch {
	case err != nil:
		s.refuseInvalid(err)
	case n > 0:
		s.decide(p[n:])
	case len(p) >= h1.LongestHead:
		s.refuse(431, accesslog.ClientInvalid)
	case len(s.in) == 0:
		s.in = slices.Clone(p)
	}
}

// decide routes a request whose head is complete. rest was read behind it: from its body, and from what follows that.
func (s *session) decide(rest []byte) {
	x := s.x
	if setup := s.listener.setup.Load(); setup.site != nil {
		s.setup = setup
	}
	s.beginRequest()
	n, done, err := x.requestBody.Next(rest)
	if err != nil {
		s.refuseInvalid(err)
		return
	}
	x.requestDone = done
	x.head.Expects = x.head.Expects && n == 0 // otherwise it did not wait
	if decision, ok := s.setup.site.Try(&x.request, &s.client); ok {
		s.follow(decision, rest[:n], rest[n:])
		return
	}
	s.routeLater(rest[:n], rest[n:])
}

// follow does with a request what was decided. body is what was read of its body, rest what follows that.
func (s *session) follow(decision l7.Decision, body, rest []byte) {
	x := s.x
	x.pool, x.policyID = decision.Pool, decision.PolicyID
	switch {
	case decision.Answer != nil:
		s.keepInput(rest)
		s.answer(decision.Answer)
	case s.lent || !s.pick(): // there is no descriptor for a member, or no member
		s.keepInput(rest)
		s.answer(&l7.Answer{Status: 503, End: accesslog.NoMember})
	default:
		message := append(s.appendRequest(s.loop.message[:0]), body...)
		x.request = l7.Request{Fields: noFields}
		s.keepInput(rest)
		if x.requestBody.Remaining() >= spliceAfter {
			x.toMember.streak = spliceAfter
		}
		s.forward(message)
	}
}

// noFields take the place of a request's when those are gone. Only a second member is picked then, whom no cookie names.
var noFields l7.Fields = l7.Pairs(nil)

// beginRequest takes in what the head says.
func (s *session) beginRequest() {
	x := s.x
	if x.head.Method == "HEAD" {
		x.method = "HEAD"
	}
	x.request = requestOf(&x.head)
	x.requestBody = x.head.Body()
	s.listener.meter.Requests.Add(1)
	if s.listener.log.Wanted() {
		x.record = s.newRecord()
	}
}

func requestOf(head *h1.Head) l7.Request {
	return l7.Request{Method: head.Method, Host: head.Host(), Path: head.Path(), Fields: head}
}

// keepInput keeps what was read behind a request for after it.
func (s *session) keepInput(p []byte) {
	if len(p) == 0 {
		s.in = nil
		return
	}
	s.in = append(s.in[:0], p...) // p may be the end of it
}

// appendRequest appends the head as the member gets it, in the client's version of HTTP.
func (s *session) appendRequest(dst []byte) []byte {
	x, site := s.x, s.setup.site
	dst = append(dst, x.request.Method...)
	dst = append(dst, ' ')
	dst = append(dst, x.request.Path...)
	if x.head.Minor == 0 {
		dst = append(dst, " HTTP/1.0\r\nConnection: keep-alive\r\n"...)
	} else {
		dst = append(dst, " HTTP/1.1\r\n"...)
	}
	dst = x.head.AppendFields(dst, site.Drop(x.pool))
	dst = site.AppendInserted(dst, &s.client, x.pool)
	if x.pool.DropsCookie() {
		dst = x.pool.AppendCookies(dst, &x.head)
	}
	return append(dst, "\r\n"...)
}

// forward sends a request, or its beginning, to the member that was picked.
func (s *session) forward(message []byte) {
	x, l := s.x, s.loop
	x.sent += uint64(len(message))
	u := s.waiting()
	if u == nil {
		x.toMember.hold(l, message)
		s.reach()
		return
	}
	u.session, x.upstream = s, u
	s.attach()
	n, err := u.side.write(l, message)
	x.taken = n
	switch {
	case n < len(message) && err == 0:
		x.toMember.hold(l, message[n:])
	case err != 0:
		s.mute()
		fallthrough
	case x.requestDone && len(message) <= maxCopy:
		x.copy = append(x.copy, message...)
	}
}

// waiting is a connection to the member that waits for a request, nil if there is none.
func (s *session) waiting() *upstream {
	if own := s.own; own != nil {
		s.own = nil
		if own.target == s.x.target && own.usable() {
			return own
		}
		own.close(orderly)
	}
	if s.x.pool.Config.Proxy != dataplane.NoProxy && s.http2 == nil {
		return nil
	}
	return s.loop.idle.take(s.x.target)
}

// mute is called when the member takes no more of the request. It may have answered already.
func (s *session) mute() {
	s.x.muted = true
	s.x.toMember.release(s.loop)
	s.x.upstream.side.readable = true
}

// pumpRequest moves the request's body on until either side is not ready.
func (s *session) pumpRequest() {
	x, l := s.x, s.loop
	member := &x.upstream.side
	for moved := 0; !x.muted; {
		switch {
		case x.toMember.pending() > 0:
			if !member.writable {
				return
			}
			if x.toMember.flush(l, member) != 0 {
				s.mute()
			}
			x.bodyFromMs, x.bodyBytes = l.nowMs, 0 // meanwhile the member was who had to be waited for
		case x.requestDone, !s.side.readable:
			x.toMember.rest(l)
			return
		case moved >= turnBytes:
			s.queue()
			return
		default:
			moved += s.readRequestBody()
			if s.phase != exchanging {
				return
			}
		}
	}
}

// readRequestBody reads once from the client.
func (s *session) readRequestBody() int {
	x, l := s.x, s.loop
	if l.splices(&x.toMember, &s.side, &x.upstream.side, &x.requestBody) {
		n, err := x.toMember.bulk(l, &s.side, int(min(pipeSize, x.requestBody.Remaining())))
		if err != 0 || s.side.eof {
			s.clientFailed(accesslog.ClientClosed)
			return 0
		}
		x.countBody(l, n)
		x.requestBody.Skip(int64(n))
		x.requestDone = x.requestBody.Done()
		s.bytesIn += uint64(n)
		x.sent += uint64(n)
		return n
	}
	n, err := s.side.read(l, l.scratch[:])
	if err != 0 || s.side.eof {
		s.clientFailed(accesslog.ClientClosed)
		return 0
	}
	if n > 0 {
		s.bytesIn += uint64(n)
		s.passRequestBody(l.scratch[:n])
	}
	return n
}

// countBody follows how fast the client sends its body.
func (x *exchange) countBody(l *loop, n int) {
	if x.bodyFromMs == 0 {
		x.bodyFromMs = l.nowMs
	}
	x.bodyBytes += int64(n)
}

func (s *session) passRequestBody(p []byte) {
	x := s.x
	x.head.Expects = false // it did not wait
	x.countBody(s.loop, len(p))
	x.toMember.note(len(p))
	n, done, err := x.requestBody.Next(p)
	if err != nil {
		s.refuseInvalid(err)
		return
	}
	x.requestDone = done
	x.sent += uint64(n)
	s.keepInput(p[n:])
	if x.toMember.pass(s.loop, &x.upstream.side, p[:n]) != 0 {
		s.mute()
	}
}

// refuseInvalid answers a malformed request, of which nobody knows where it ends.
func (s *session) refuseInvalid(err error) {
	status := 400
	if invalid, ok := err.(*h1.Error); ok {
		status = invalid.Status
	}
	s.refuse(status, accesslog.ClientInvalid)
}

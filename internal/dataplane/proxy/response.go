package proxy

import (
	"strconv"
	"syscall"

	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
	"poise/internal/dataplane/h1"
	"poise/internal/dataplane/l7"
)

// maxInterim answers (1xx) of a member are passed on before the one that counts.
const maxInterim = 32

// carry moves what can be moved of the request and of its answer.
func (s *session) carry() bool {
	s.pumpRequest()
	if s.phase == exchanging {
		s.pumpAnswer()
	}
	return s.phase == awaiting || s.phase == leaving
}

// pumpAnswer moves the answer on until either side is not ready.
func (s *session) pumpAnswer() {
	x, l := s.x, s.loop
	for moved := 0; s.phase == exchanging; {
		switch {
		case x.answerDone:
			s.complete()
		case s.out.pending() > 0:
			if !s.side.writable {
				return
			}
			if s.out.flush(l, &s.side) != 0 {
				s.clientFailed(accesslog.ClientClosed)
			}
		case !x.upstream.side.readable:
			s.out.rest(l)
			return
		case moved >= turnBytes:
			s.queue()
			return
		case x.begun:
			moved += s.readAnswerBody()
		default:
			s.readAnswer()
		}
	}
}

// readAnswer reads on until the head of the answer is complete.
func (s *session) readAnswer() {
	x, l := s.x, s.loop
	n, err := x.upstream.side.read(l, l.scratch[:bufferSize-len(x.in)])
	if err != 0 || x.upstream.side.eof {
		s.memberClosed(err)
		return
	}
	if n == 0 {
		return
	}
	x.received += uint64(n)
	p := l.scratch[:n]
	if len(x.in) > 0 {
		x.in = append(x.in, p...)
		p = x.in
	}
	s.parseAnswer(p)
}

// parseAnswer looks at all that was read of an answer; p may be x.in.
func (s *session) parseAnswer(p []byte) {
	x := s.x
	for s.phase == exchanging {
		n, err := x.answer.ParseResponse(p, x.method)
		switch {
		case err != nil || n == 0 && len(p) >= bufferSize:
			s.memberFailed(502, accesslog.MemberInvalid)
			return
		case n == 0:
			x.in = append(x.in[:0], p...) // p may be the end of it
			return
		case x.answer.Status == 101:
			s.switchProtocols(p[n:])
			return
		case x.answer.Status >= 200:
			s.beginAnswer(p[n:])
			return
		}
		s.passInterim()
		p = p[n:]
	}
}

// passInterim passes a 1xx answer on to clients that know such.
func (s *session) passInterim() {
	x := s.x
	if x.interim++; x.interim > maxInterim {
		s.memberFailed(502, accesslog.MemberInvalid)
		return
	}
	if x.answer.Status == 100 {
		x.head.Expects = false
	}
	if s.http2 != nil {
		s.http2.interim(&x.answer)
	} else if x.head.Minor > 0 {
		message := x.answer.AppendFields(appendStatus(s.loop.message[:0], &x.answer), 0)
		s.send(append(message, "\r\n"...))
	}
	x.answer.Reset()
}

func appendStatus(dst []byte, answer *h1.Head) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(answer.Status), 10)
	dst = append(dst, ' ')
	dst = append(dst, answer.Reason...)
	return append(dst, "\r\n"...)
}

// beginAnswer passes on the head of the answer and what was read of its body.
func (s *session) beginAnswer(rest []byte) {
	x := s.x
	x.answerBody = x.answer.Body()
	n, done, err := x.answerBody.Next(rest)
	if err != nil || x.answer.Framing == h1.Chunked && x.head.Minor == 0 {
		s.memberFailed(502, accesslog.MemberInvalid)
		return
	}
	x.begun, x.answerDone, x.tainted = true, done, n < len(rest)
	x.answerNs = s.loop.nowNs - x.attachNs
	x.status = x.answer.Status
	// Of a request that is not complete nobody knows what the member takes its rest for.
	x.stays = x.head.KeepAlive && x.requestDone && x.answer.Framing != h1.UntilClose && !s.listener.removed.Load()
	s.out.streak = 0
	if x.answerBody.Remaining() >= spliceAfter {
		s.out.streak = spliceAfter
	}
	x.pool.Learn(&x.answer, x.member)
	if s.http2 != nil {
		s.http2.begin(x.status, s.appendAnswerFields(s.loop.message[:0], h1.SetOf(h1.TransferEncoding)), x.answer.Body())
		s.send(rest[:n])
		return
	}
	s.send(append(s.appendAnswer(s.loop.message[:0]), rest[:n]...))
}

// appendAnswer appends the head as the client gets it.
func (s *session) appendAnswer(dst []byte) []byte {
	x := s.x
	dst = s.appendAnswerFields(appendStatus(dst, &x.answer), 0)
	switch {
	case !x.stays:
		dst = append(dst, "Connection: close\r\n"...)
	case x.head.Minor == 0:
		dst = append(dst, "Connection: keep-alive\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// appendAnswerFields appends the fields of the answer, but for those of the connection and those in drop.
func (s *session) appendAnswerFields(dst []byte, drop h1.Set) []byte {
	x, site := s.x, s.setup.site
	dst = x.answer.AppendFields(dst, drop|site.DropResponse(x.pool, &x.answer))
	return site.AppendResponse(dst, x.pool, &x.answer, x.member, x.setCookie)
}

// readAnswerBody reads once from the member.
func (s *session) readAnswerBody() int {
	x, l := s.x, s.loop
	member := &x.upstream.side
	var n int
	var err syscall.Errno
	spliced := l.splices(&s.out, member, &s.side, &x.answerBody)
	if spliced {
		n, err = s.out.bulk(l, member, int(min(pipeSize, x.answerBody.Remaining())))
	} else {
		n, err = member.read(l, l.scratch[:])
	}
	switch {
	case err != 0 || member.eof:
		s.memberClosed(err)
		return 0
	case n == 0:
		return 0
	}
	x.received += uint64(n)
	if spliced {
		x.answerBody.Skip(int64(n))
		x.answerDone = x.answerBody.Done()
		s.bytesOut += uint64(n)
		return n
	}
	s.passAnswerBody(l.scratch[:n])
	return n
}

func (s *session) passAnswerBody(p []byte) {
	x := s.x
	s.out.note(len(p))
	n, done, err := x.answerBody.Next(p)
	if err != nil {
		s.memberFailed(502, accesslog.MemberInvalid)
		return
	}
	x.answerDone, x.tainted = done, n < len(p)
	s.send(p[:n])
}

// splices says whether what comes next of a body goes through a pipe, and has the direction hold one.
func (l *loop) splices(d *direction, src, dst *side, body *h1.Body) bool {
	if src.urgent || src.stream != nil || dst.stream != nil || d.streak < spliceAfter || body.Remaining() < largePiece {
		d.release(l) // nothing is pending
		return false
	}
	if d.pipe == nil {
		d.pipe = l.pipes.get()
	}
	return d.pipe != nil
}

// complete is called when the member has sent its whole answer. Its connection may carry another request if this one was
// sent as a whole too, as nobody knows what the member takes the rest for, and if the member has said no more than its answer, which
// somebody else would get.
func (s *session) complete() {
	x, u := s.x, s.x.upstream
	x.upstream = nil
	reusable := x.requestDone && !x.muted && x.toMember.pending() == 0 && !x.tainted && x.answer.KeepAlive && u.side.silent()
	switch {
	case !reusable:
		u.close(manner(!x.requestDone))
	case x.pool.Config.Proxy != dataplane.NoProxy && s.http2 == nil:
		u.idleSinceMs = s.loop.nowMs
		s.own = u
	default:
		s.loop.idle.put(u)
	}
	if x.tainted {
		x.target.meter.ResponseErrors.Add(1)
	}
	s.endAnswer(accesslog.Complete)
}

// memberClosed is called when the member has ended, or reset, its connection while an answer was awaited.
func (s *session) memberClosed(err syscall.Errno) {
	x := s.x
	switch {
	case err == 0 && x.begun && x.answer.Framing == h1.UntilClose && !x.upstream.side.truncated():
		x.answerDone = true
	case s.repeatable(err):
		s.repeat()
	default:
		s.memberFailed(502, accesslog.MemberClosed)
	}
}

// memberFailed ends a request whose answer the member has not given, not in time, or not as HTTP has it.
func (s *session) memberFailed(status int, end accesslog.End) {
	x := s.x
	m := x.target.meter
	m.ResponseErrors.Add(1)
	if end == accesslog.MemberClosed {
		m.MemberAborts.Add(1)
	}
	switch {
	case !x.begun:
	case s.http2 == nil && x.answer.Framing != h1.UntilClose: // the client misses the rest
		x.stays = false
		s.endAnswer(end)
		return
	default: // it would take the end for that of the answer
		s.close(abort, end)
		return
	}
	s.answer(&l7.Answer{Status: status, End: end})
}

// repeatable says that a connection which had waited was closed by the member before it took a byte of the request: its end was
// sent while all of the request was unacknowledged. A reset after that end (EPIPE) does not change it.
func (s *session) repeatable(err syscall.Errno) bool {
	x := s.x
	if len(x.copy) == 0 || x.begun || x.interim > 0 || len(x.in) > 0 || err != 0 && err != syscall.EPIPE {
		return false
	}
	return unsent(x.upstream.side.fd) >= x.taken
}

// repeat sends the request once more, on a new connection to the same member.
func (s *session) repeat() {
	x := s.x
	x.upstream.close(abort)
	x.upstream, x.muted = nil, false
	x.toMember.release(s.loop)
	x.toMember.hold(s.loop, x.copy)
	x.copy = x.copy[:0]
	s.reach()
}

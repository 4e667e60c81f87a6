package proxy

import (
	"poise/internal/dataplane/accesslog"
	"poise/internal/dataplane/l7"
)

const (
	// lingerMs is for how long, and maxLinger how many bytes, what a client still sends is thrown away after its last answer. A
	// socket that is closed with bytes unread resets the connection, and a reset makes the client forget the answer
	// (RFC 9112 §9.6).
	lingerMs  = 2_000
	maxLinger = 1 << 20
)

// answer gives an answer of our own to the request at hand.
func (s *session) answer(a *l7.Answer) {
	x, l := s.x, s.loop
	x.status = a.Status
	x.stays = x.head.KeepAlive && x.requestDone && !s.listener.removed.Load()
	switch a.End {
	case accesslog.Denied, accesslog.RulesExceeded:
		s.listener.meter.Denied.Add(1)
	case accesslog.NoMember, accesslog.NoPool, accesslog.MemberRefused:
		s.listener.meter.Errors.Add(1)
	}
	if s.http2 != nil {
		s.answerHTTP2(a)
	} else {
		s.send(s.setup.site.AppendAnswer(l.message[:0], a, x.method, x.stays))
	}
	if s.phase != gone {
		s.endAnswer(a.End)
	}
}

// refuse gives the last answer to a client whose request cannot be read on.
func (s *session) refuse(status int, end accesslog.End) {
	if s.x.begun {
		s.clientFailed(end)
		return
	}
	s.listener.meter.Errors.Add(1)
	s.x.requestDone = false
	s.answer(&l7.Answer{Status: status, End: end})
}

// send passes bytes on to the client.
func (s *session) send(p []byte) {
	s.bytesOut += uint64(len(p))
	if s.out.pass(s.loop, &s.side, p) != 0 {
		s.clientFailed(accesslog.ClientClosed)
	}
}

// clientFailed ends the connection of a client that is gone, or too slow for what is under way.
func (s *session) clientFailed(end accesslog.End) {
	if x := s.x; x != nil {
		s.listener.meter.Errors.Add(1)
		if x.attached {
			x.target.meter.ClientAborts.Add(1)
		}
	}
	s.close(abort, end)
}

// endAnswer is called when the answer is complete: the next request follows, or the client leaves.
func (s *session) endAnswer(end accesslog.End) {
	stays, requestDone := s.x.stays, s.x.requestDone
	s.endExchange(end)
	if stays && s.http2 == nil {
		s.phase = awaiting
		return
	}
	s.phase = leaving
	s.lingers = s.http2 == nil && (!requestDone || len(s.in) > 0 || s.side.readable)
	s.in = nil
}

// leave has the client take its last answer, and then closes.
func (s *session) leave() bool {
	l := s.loop
	switch {
	case s.owes():
		return s.flushOut()
	case !s.lingers || s.drained > maxLinger:
		s.close(orderly, "")
		return false
	case !s.out.done:
		s.out.done = true
		s.untilMs = l.nowMs + lingerMs
		s.side.shutdown()
	case !s.side.readable:
		return false
	default:
		n, err := s.side.read(l, l.scratch[:])
		s.drained += n
		s.bytesIn += uint64(n)
		if err != 0 || s.side.eof {
			s.close(orderly, "")
			return false
		}
	}
	return true
}

package proxy

import (
	"golang.org/x/sys/unix"

	"poise/internal/dataplane/accesslog"
	"poise/internal/dataplane/meter"
)

// switchProtocols passes a 101 answer on and makes a relay of the session and its upstream: from here on the bytes are
// another protocol's. rest was read behind the answer.
func (s *session) switchProtocols(rest []byte) {
	x, l := s.x, s.loop
	if !x.head.Upgrade || x.toMember.pending() > 0 {
		s.memberFailed(502, accesslog.MemberInvalid)
		return
	}
	x.begun, x.status = true, 101
	x.answerNs = l.nowNs - x.attachNs
	message := x.answer.AppendFields(appendStatus(l.message[:0], &x.answer), 0)
	message = append(append(message, "\r\n"...), rest...)
	s.send(message)
	if s.phase == gone {
		return
	}
	s.count()
	c := s.relay()
	if c.watch(kindClient, readEvents|unix.EPOLLOUT) != nil || c.watch(kindMember, readEvents|unix.EPOLLOUT) != nil {
		c.close(abort, accesslog.Stopped)
		return
	}
	c.startRelay()
}

// relay gives what the session has to a new relay, and ends without closing anything.
func (s *session) relay() *conn {
	x, u, l := s.x, s.x.upstream, s.loop
	c := l.freeConn()
	c.loop, c.listener, c.setup, c.client, c.local = l, s.listener, s.setup, s.client.Address, s.client.Local
	c.member, c.meter, c.timer.owner = x.member, x.target.meter, c
	c.startNs, c.attemptNs = x.startNs, x.attachNs
	c.sides = [2]side{s.side, u.side}
	c.sides[kindClient].readable, c.sides[kindMember].readable = true, true
	c.flows[kindMember] = s.out
	if len(s.in) > 0 {
		c.flows[kindClient].hold(l, s.in)
	}
	c.place, c.generation = l.conns.put(c)

	c.record = s.handOver()
	l.forgetUpstream(u)
	s.dropOwn()
	l.wheel.remove(&s.timer)
	l.sessions.remove(s.place)
	l.keepSession(s)
	s.phase = gone
	return c
}

// handOver ends the exchange, but for what goes on as a relay, and returns its record.
func (s *session) handOver() *accesslog.Record {
	x := s.x
	x.target.meter.Active.Add(1) // until the relay ends
	x.settle(s.loop, x.target.meter)
	s.listener.meter.Responses[meter.Class(x.status)].Add(1)
	record := x.record
	if record != nil {
		s.fill(record)
	}
	s.x = nil
	s.loop.keepExchange(x)
	return record
}

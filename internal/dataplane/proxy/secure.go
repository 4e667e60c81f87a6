package proxy

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane/l7"
)

// everything are all events; crypto/tls reads and writes as it likes.
const everything = readEvents | unix.EPOLLOUT

// role is which end of TLS a loop is.
type role bool

const (
	serving role = false // its peer is a client
	asking  role = true  // its peer is a member
)

// shake begins a handshake of a load balancer on a socket of the loop; current is where its owner knows it from. When it ends, heard is called in the
// loop. An owner who does not wait for that cancels it and forgets it: the socket is then left to the handshake, which needs it to
// the end, and closed after it.
func (l *loop) shake(holder *Server, fd int32, config *tls.Config, as role, timeoutMs int64, current **handshake, heard func(handshakeResult)) {
	var h *handshake
	timeout := time.Duration(max(timeoutMs, 1)) * time.Millisecond
	h = l.engine.handshakes.start(holder, fd, config, bool(as), timeout, func(result handshakeResult) {
		l.post(func() {
			if *current != h {
				closeSocket(fd, true)
				return
			}
			*current = nil
			heard(result)
		})
	})
	*current = h
}

// noteShaking takes what epoll says while a handshake is under way.
func (s *side) noteShaking(h *handshake, events uint32) {
	s.hup = s.hup || events&(unix.EPOLLRDHUP|broken) != 0
	h.ready(events)
}

// secure takes the stream that a handshake has made.
func (s *side) secure(l *loop, stream *tlsStream) {
	s.stream = stream
	stream.ready(s.hup)
	s.readable, s.writable = true, !stream.pending()
	s.activeMs = l.nowMs
}

// shake begins the handshake with a client.
func (s *session) shake() bool {
	s.phase = shaking
	s.loop.shake(s.listener.server, s.side.fd, s.setup.site.TLS, serving, s.setup.clientTimeoutMs, &s.handshake, s.shaken)
	return false
}

// shaken hears how the handshake with the client ended.
func (s *session) shaken(result handshakeResult) {
	m := &s.listener.meter
	if result.err != nil {
		m.FailedHandshakes.Add(1)
		s.logHandshake()
		s.endHandshake(result.err)
		return
	}
	s.client.TLS = result.stream.peer
	m.Handshakes.Add(1)
	if s.client.TLS.Resumed {
		m.Resumptions.Add(1)
	}
	s.side.secure(s.loop, result.stream)
	s.phase = awaiting
	switch {
	case s.setup.gateway:
		s.passOver(func() (net.Conn, error) { return result.stream.leaveLoop() })
	case s.client.TLS.Protocol == "h2":
		s.speakHTTP2()
	default:
		s.run()
	}
}

// endHandshake ends a connection whose handshake has failed. One that seems to speak plain HTTP is told. The client may still be
// sending, and a reset would make it forget the alert that says what is wrong: so the end is said, and what comes is thrown away
// for a while. Who took too long is reset.
func (s *session) endHandshake(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, errHandshakeCanceled) || errors.Is(err, errHandshakeCrowd) {
		s.close(abort, "")
		return
	}
	s.side.readable, s.side.writable = true, true
	var plain tls.RecordHeaderError
	if errors.As(err, &plain) && plain.Conn != nil {
		if first := plain.RecordHeader[0]; 'A' <= first && first <= 'Z' {
			answer := l7.Answer{Status: 400}
			s.send(s.setup.site.AppendAnswer(s.loop.message[:0], &answer, "GET", false))
		}
	}
	if s.phase == gone {
		return
	}
	s.phase, s.lingers = leaving, true
	s.run()
}

// shake begins the handshake with a member that has just been connected.
func (u *upstream) shake() {
	s, l := u.session, u.loop
	config := overHTTP1(s.x.pool.TLS(u.target.serverName, u.target.address))
	l.shake(u.server, u.side.fd, config, asking, s.dueMs()-l.nowMs, &u.handshake, u.shaken)
}

// shaken hears how the handshake with the member ended.
func (u *upstream) shaken(result handshakeResult) {
	s := u.session
	if result.err != nil {
		s.connectFailed()
	} else {
		u.side.secure(u.loop, result.stream)
		s.reached()
	}
	s.run()
}

// overHTTP1 is config for members to whom a loop speaks, whatever else they could speak.
func overHTTP1(config *tls.Config) *tls.Config {
	if !slices.Contains(config.NextProtos, "h2") {
		return config
	}
	config = config.Clone()
	config.NextProtos = []string{"http/1.1"}
	return config
}

// shake begins the handshake with a connection's member.
func (c *conn) shake() {
	left := c.attemptNs/int64(time.Millisecond) + c.setup.connectTimeoutMs - c.loop.nowMs
	c.loop.shake(c.listener.server, c.sides[kindMember].fd, c.setup.pool.TLS("", c.member.Address), asking, left, &c.handshake, c.shaken)
}

func (c *conn) shaken(result handshakeResult) {
	if result.err != nil {
		c.abandonMember()
		c.connectNext()
		return
	}
	c.sides[kindMember].secure(c.loop, result.stream)
	c.reached()
}

package proxy

import (
	"errors"
	"syscall"

	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
	"poise/internal/dataplane/l7"
	"poise/internal/dataplane/proxyproto"
)

// reach connects to the member that was picked, and to others for as long as that fails at once.
func (s *session) reach() {
	for {
		err := s.connect()
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			s.loop.engine.descriptors.Lower()
			s.loop.starve(s.listener, err)
			s.loop.idle.dropAll()
			err = s.connect()
		}
		if err == nil || !s.nextMember() {
			return
		}
	}
}

// connectFailed is called when the member at hand could not be reached, or not in time.
func (s *session) connectFailed() {
	x := s.x
	if s.loop.nowMs-x.upstream.side.activeMs >= silenceMs {
		x.member.Rest()
	}
	x.upstream.close(abort)
	x.upstream = nil
	if s.nextMember() {
		s.reach()
	}
}

// nextMember gives up the member at hand, of which no byte of the request was seen, and picks another one. Without one
// the client is told.
func (s *session) nextMember() bool {
	x := s.x
	failed := x.target.meter
	failed.ConnectErrors.Add(1)
	if x.attached { // by a connection that its member had closed
		x.attached = false
		failed.Active.Add(-1)
	}
	x.tried = append(x.tried, x.member)
	x.member.Release()
	x.member = nil
	if len(x.tried) < maxTries && s.pick() {
		failed.Redispatches.Add(1)
		return true
	}
	s.answer(&l7.Answer{Status: 503, End: accesslog.MemberRefused})
	return false
}

// sendProxyHeader tells the member who the client is, before anything else and in plaintext. The socket is new and has room.
func (s *session) sendProxyHeader() {
	pool := s.x.pool.Config
	if pool.Proxy != dataplane.NoProxy {
		header := proxyproto.AppendHeader(s.loop.message[:0], pool.Proxy, s.client.Address, s.client.Local, s.client.TLS)
		_, _ = write(s.x.upstream.side.fd, header) // what fails fails again, and tells
	}
}

// reached is called when the member can be spoken to.
func (s *session) reached() {
	x := s.x
	x.upstream.connected = true
	x.connectNs = s.loop.nowNs - x.attemptNs
	x.target.meter.ConnectNs.Add(x.connectNs)
	x.upstream.side.activeMs = s.loop.nowMs
	s.attach()
}

package proxy

import (
	"iter"

	"poise/internal/dataplane/accesslog"
	eventloop "poise/internal/dataplane/loop"
)

// evictionSilenceMs are the rounds in which connections of load balancers above their share are closed, until there are descriptors
// enough: first those of HTTP clients that wait for their next request, then those that nothing has gone through for so long. Within a
// round they go by their places, from where the last round ended.
var evictionSilenceMs = [...]int64{never, 10_000, 1_000, 0}

// evictable is a client's connection.
type evictable interface {
	account() *eventloop.Account
	// silentMs is for how long nothing has gone through it; never: its client has nothing under way.
	silentMs() int64
	evict()
}

// TakeBack has the loops close what waits for its next use, and connections of load balancers above their share.
func (e *Engine) TakeBack(c *eventloop.Collection) {
	for _, l := range e.loops {
		c.Begin()
		if !l.post(func() { defer c.End(); l.takeBack(c) }) {
			c.End()
		}
	}
	c.Begin()
	e.evictions.Go(func() { // to close a connection of the gateway may mean to wait for a goroutine
		defer c.End()
		e.evictPassed(c)
	})
}

// Retry has those go on who wait for descriptors.
func (e *Engine) Retry() {
	for _, l := range e.loops {
		l.post(l.retry)
	}
}

func (l *loop) takeBack(c *eventloop.Collection) {
	if c.Enough() {
		return
	}
	l.idle.dropAll()
	for _, silence := range evictionSilenceMs {
		evict(c, silence, l.sessions.from(&l.hands.sessions))
		evict(c, silence, l.http2s.from(&l.hands.http2s))
		evict(c, silence, l.conns.from(&l.hands.conns))
	}
}

// hands are the places in the tables where the next round begins.
type hands struct{ sessions, http2s, conns int }

func evict[T evictable](c *eventloop.Collection, silenceMs int64, things iter.Seq[T]) {
	if c.Enough() {
		return
	}
	for thing := range things {
		if c.Above(thing.account()) && thing.silentMs() >= silenceMs {
			thing.evict()
			if c.Enough() {
				return
			}
		}
	}
}

func (s *session) account() *eventloop.Account { return s.listener.server.files }

func (s *session) silentMs() int64 {
	switch {
	case s.http2 != nil:
		return -1 // goes with its connection
	case s.phase == awaiting && s.x == nil && !s.owes():
		return never
	}
	activeMs := s.side.activeMs
	if s.x != nil && s.x.upstream != nil {
		activeMs = max(activeMs, s.x.upstream.side.activeMs)
	}
	return s.loop.nowMs - activeMs
}

func (s *session) evict() {
	if s.x == nil {
		s.close(orderly, accesslog.Evicted)
		return
	}
	s.close(abort, accesslog.Evicted)
}

func (c *http2Conn) account() *eventloop.Account { return c.listener.server.files }

func (c *http2Conn) silentMs() int64 {
	if len(c.streams) == 0 {
		return never
	}
	return c.loop.nowMs - c.side.activeMs
}

func (c *http2Conn) evict() { c.close(manner(len(c.streams) > 0), accesslog.Evicted) }

func (c *conn) account() *eventloop.Account { return c.listener.server.files }

func (c *conn) silentMs() int64 {
	return c.loop.nowMs - max(c.sides[kindClient].activeMs, c.sides[kindMember].activeMs)
}

func (c *conn) evict() { c.close(abort, accesslog.Evicted) }

// evictPassed closes connections of the gateway.
func (e *Engine) evictPassed(c *eventloop.Collection) {
	e.mu.Lock()
	var above []*Server
	for s := range e.servers {
		if c.Above(s.files) {
			above = append(above, s)
		}
	}
	e.mu.Unlock()
	for _, s := range above {
		s.gateway.Evict(func() bool { return !c.Enough() && c.Above(s.files) })
	}
}

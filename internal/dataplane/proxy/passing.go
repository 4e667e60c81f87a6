package proxy

import (
	"io"
	"net"
	"os"
	"sync"

	"poise/internal/dataplane"
	"poise/internal/dataplane/l7"
)

// passOver gives the client's connection to the gateway, which serves with goroutines what loops do not: HTTP/2 to members, and
// metrics. leave makes a connection for goroutines of it. The session is over; its place in the listener's limit is given
// back when the connection is closed.
func (s *session) passOver(leave func() (net.Conn, error)) {
	l, ln, server := s.loop, s.listener, s.listener.server
	setup, client := s.setup, s.client
	client.Passed = s.hops
	s.side.unwatch(l)
	l.wheel.remove(&s.timer)
	l.sessions.remove(s.place)
	l.keepSession(s)
	s.phase = gone
	server.passing.Go(func() {
		conn, err := leave()
		if err != nil {
			ln.left(l, connDescriptors)
			return
		}
		passed := &passedConn{Conn: conn, left: func() { ln.left(l, connDescriptors) }}
		server.gateway.Serve(passed, &client, ln.newestSite(setup), server.pageFor(setup))
	})
}

// newestSite asks a listener for its site; before is that of a connection's beginning.
func (ln *listener) newestSite(before *setup) func() *l7.Site {
	return func() *l7.Site {
		if setup := ln.setup.Load(); setup.site != nil {
			return setup.site
		}
		return before.site
	}
}

// pageFor is what writes the page of a PROMETHEUS listener, nil for others.
func (s *Server) pageFor(setup *setup) func(io.Writer) {
	switch {
	case setup.site.Listener.Protocol != dataplane.Prometheus:
		return nil
	case s.metrics == nil:
		return func(io.Writer) {}
	}
	return s.metrics
}

// passedConn says when it has been closed.
type passedConn struct {
	net.Conn
	once sync.Once
	left func()
}

// Close implements net.Conn.
func (c *passedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.left)
	return err
}

// CloseWrite ends what goes to the client.
func (c *passedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// connOf makes a connection for goroutines of a loop's socket.
func connOf(fd int32) (net.Conn, error) {
	file := os.NewFile(uintptr(fd), "connection")
	defer file.Close()
	return net.FileConn(file) // on a copy of the descriptor
}

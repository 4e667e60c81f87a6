package gateway

import (
	"io"
	"net"
	"sync"
	"time"

	"poise/internal/dataplane/l7"
	"poise/internal/dataplane/meter"
)

// session is a client's connection. net/http reads and writes through it.
type session struct {
	net.Conn
	gateway *Gateway
	server  *server
	client  *l7.Client
	site    func() *l7.Site
	metrics func(io.Writer)
	meter   *meter.Listener
	inbound inbound // of HTTP/2,
	strict  strict  // or of HTTP/1.1
	outbox  outbox

	mu        sync.Mutex  // guards what follows
	exchanges []*exchange // under way; each knows its place
	closed    bool
}

// Read counts what comes from the client.
func (s *session) Read(p []byte) (int, error) {
	var n int
	var err error
	if s.isHTTP2() {
		n, err = s.inbound.read(s.Conn, p)
	} else {
		s.strict.head.Options = s.site().Options
		n, err = s.strict.pass(s.Conn, p)
	}
	s.meter.BytesIn.Add(uint64(n))
	return n, err
}

// Write takes what goes to the client; see [outbox].
func (s *session) Write(p []byte) (int, error) {
	out := p
	if s.isHTTP2() {
		out = withStreamErrors(p)
	}
	n, err := s.outbox.write(s, out)
	s.meter.BytesOut.Add(uint64(n))
	return min(n, len(p)), err
}

func (s *session) isHTTP2() bool { return s.client.TLS != nil && s.client.TLS.Protocol == "h2" }

// CloseWrite ends what goes to the client, so that it may read all of it. net/http asks for it before it closes a connection on which
// the client still sends.
func (s *session) CloseWrite() error {
	s.outbox.drain()
	if c, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// Close closes the connection after what was written has gone out, if the client takes it.
func (s *session) Close() error {
	s.outbox.drain()
	return s.abort()
}

// abort closes the connection, once.
func (s *session) abort() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	for _, x := range s.exchanges {
		x.abort.now() // nobody will watch it any more, and nobody waits for what it gets
	}
	s.mu.Unlock()
	if closed {
		return nil
	}
	s.gateway.forget(s)
	err := s.Conn.Close()
	s.outbox.end()
	return err
}

// busy says whether a request is under way.
func (s *session) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.exchanges) > 0
}

// enter has the exchange watched and waited for; false when the connection is closed.
func (s *session) enter(x *exchange) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.gateway.exchanges.Add(1)
	x.place = len(s.exchanges)
	s.exchanges = append(s.exchanges, x)
	return true
}

func (s *session) leave(x *exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.exchanges) - 1
	s.exchanges[x.place] = s.exchanges[last]
	s.exchanges[x.place].place = x.place
	s.exchanges[last] = nil
	s.exchanges = s.exchanges[:last]
	s.gateway.exchanges.Done()
}

// sweep ends the waits of exchanges that have lasted too long. They do not leave meanwhile.
func (s *session) sweep(now time.Time) {
	if s.outbox.sweep(now, s.server.silence) {
		_ = s.abort()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.exchanges {
		x.sweep(now)
	}
}

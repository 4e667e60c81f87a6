package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"poise/internal/dataplane/h1"
)

const (
	// maxStreams is how many requests a client of HTTP/2 may have under way on one connection.
	maxStreams = 128
	// streamWindow and connWindow are how many bytes of request bodies a client may send ahead of the member.
	streamWindow = 256 << 10
	connWindow   = 1 << 20
	// maxFrame is the longest frame that a client may send: the least that HTTP/2 allows (RFC 9113 §4.2).
	maxFrame = 16 << 10
	// maxAdmitted connections of one server wait for their goroutine.
	maxAdmitted = 1024
	// serverIdleTime is how long a server without connections is kept.
	serverIdleTime = time.Minute
	// defaultSilence is what a client timeout of 0 means, as in Octavia.
	defaultSilence = 50 * time.Second
)

// server is the http.Server of the connections that are to be served alike. It is a net.Listener as well, of connections
// that have been accepted already.
type server struct {
	http      http.Server
	admitted  chan *session
	closing   sync.Once
	closed    chan struct{}
	silence   time.Duration
	sessions  int       // guarded by Gateway.mu
	idleSince time.Time // likewise
}

// serverKey is what the connections of one server have in common.
type serverKey struct {
	listenerID string
	silence    time.Duration
	speaks     protocols
}

// protocols are what a client may speak.
type protocols uint8

const (
	anyHTTP protocols = iota // plaintext
	onlyHTTP1
	onlyHTTP2
)

func newServerKey(s *session) serverKey {
	listener := s.site().Listener
	key := serverKey{listenerID: listener.ID, silence: listener.ClientTimeout}
	if key.silence <= 0 {
		key.silence = defaultSilence
	}
	if tls := s.client.TLS; tls != nil {
		key.speaks = onlyHTTP1
		if tls.Protocol == "h2" {
			key.speaks = onlyHTTP2
		}
	}
	return key
}

func newServer(key serverKey, g *Gateway) *server {
	s := &server{admitted: make(chan *session, maxAdmitted), closed: make(chan struct{}), silence: key.silence}
	s.http = http.Server{
		Handler:                      g,
		DisableGeneralOptionsHandler: true,
		Protocols:                    &http.Protocols{},
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerConnection: connWindow,
			MaxReceiveBufferPerStream:     streamWindow,
			MaxReadFrameSize:              maxFrame,
		},
		MaxHeaderBytes:    h1.LongestHead,
		ReadHeaderTimeout: key.silence,
		IdleTimeout:       key.silence,
		ErrorLog:          slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, sessionKey{}, c)
		},
	}
	// net/http does not see TLS, which ended before it, and takes all HTTP/2 for unencrypted.
	s.http.Protocols.SetHTTP1(key.speaks != onlyHTTP2)
	s.http.Protocols.SetUnencryptedHTTP2(key.speaks != onlyHTTP1)
	return s
}

// sessionKey is where a request's context has its session.
type sessionKey struct{}

// admit gives a connection to the server; false when it is closed.
func (s *server) admit(c *session) bool {
	select {
	case <-s.closed:
		return false
	case s.admitted <- c:
		return true
	}
}

// run serves until the server is closed.
func (s *server) run() {
	_ = s.http.Serve(s) // ErrServerClosed
	_ = s.Close()
	for {
		select {
		case c := <-s.admitted:
			_ = c.abort()
		default:
			return
		}
	}
}

// drain ends the server when its last request is served; whoever cannot wait for that closes the sessions.
func (s *server) drain() {
	_ = s.http.Shutdown(context.Background())
}

// Accept implements net.Listener.
func (s *server) Accept() (net.Conn, error) {
	select {
	case c := <-s.admitted:
		return c, nil
	case <-s.closed:
		return nil, errServerClosed
	}
}

var errServerClosed = errors.New("the server is closed")

// Close implements net.Listener.
func (s *server) Close() error {
	s.closing.Do(func() { close(s.closed) })
	return nil
}

// Addr implements net.Listener.
func (s *server) Addr() net.Addr { return &net.TCPAddr{} }

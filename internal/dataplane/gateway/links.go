package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"poise/internal/dataplane"
	"poise/internal/dataplane/balance"
	"poise/internal/dataplane/h1"
	"poise/internal/dataplane/l7"
	"poise/internal/dataplane/loop"
	"poise/internal/dataplane/proxyproto"
)

const (
	// maxIdlePerMember connections of HTTP/1.1 to one member wait for their next request, maxIdle to all.
	maxIdlePerMember = 128
	maxIdle          = 4096
	// maxIdleTime is how long they wait. Servers close connections after 5 s (Apache) to 75 s (nginx).
	maxIdleTime = 10 * time.Second
	// defaultConnect is what a connect timeout of 0 means, as in Octavia.
	defaultConnect = 5 * time.Second
)

// links are the connections to members that are there, by what makes them fit for a request.
type links struct {
	budget    Budget
	hops      *loop.Hops
	transport *http.Transport // of HTTP/2
	sockets   sync.Map        // of *socket: those that are open

	mu     sync.Mutex // guards what follows
	byKey  map[linkKey]*shelf
	idle   int // connections of HTTP/1.1 on all shelves
	closed bool
}

// linkKey is what the connections have in common that a request may use.
type linkKey struct {
	poolID     string
	member     netip.AddrPort
	tls        *dataplane.ClientTLS
	serverName string
	session    *session // whose client the member was told (PROXY protocol); nil: any
	passed     int      // l7.Client.Passed: where the member is a load balancer, it goes on counting (loop.Hops)
	http1      bool     // HTTP/2 was not offered, although the pool does, as the protocol is to change
}

// shelf holds the connections of one key.
type shelf struct {
	idle  []*link // of HTTP/1.1; the one used last is the last
	http2 []*http2Link
	// opening is closed when the connection is there, or cannot be, with which the shelf's first users of HTTP/2 wait.
	opening chan struct{}
	// plain says that the member has chosen HTTP/1.1 the last time.
	plain bool
}

func newLinks(budget Budget, hops *loop.Hops) *links {
	protocols := &http.Protocols{}
	protocols.SetUnencryptedHTTP2(true) // TLS, where there is, is our own
	return &links{
		budget: budget, hops: hops, byKey: map[linkKey]*shelf{},
		transport: &http.Transport{
			Protocols:              protocols,
			DisableCompression:     true,
			MaxResponseHeaderBytes: h1.MaxHead,
			HTTP2: &http.HTTP2Config{
				MaxReceiveBufferPerConnection: connWindow,
				MaxReceiveBufferPerStream:     streamWindow,
			},
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return ctx.Value(connKey{}).(net.Conn), nil
			},
		},
	}
}

// connKey is where a context has the connection that net/http is to speak HTTP/2 on.
type connKey struct{}

func newLinkKey(x *exchange, pool *l7.Pool, m *balance.Member) linkKey {
	s := x.session
	key := linkKey{poolID: pool.Config.ID, member: m.Address, passed: s.client.Passed, http1: pool.OffersHTTP2 && x.head.Upgrade}
	if pool.TLS != nil {
		key.tls = pool.Config.TLS
		if s.client.TLS != nil {
			key.serverName = s.client.TLS.ServerName
		}
	}
	if pool.Config.Proxy != dataplane.NoProxy {
		key.session = s
	}
	return key
}

// get is a connection for one request to the member: one of the two.
func (l *links) get(x *exchange, pool *l7.Pool, m *balance.Member) (*link, *http2Link, error) {
	key := newLinkKey(x, pool, m)
	for {
		one, two, wait := l.take(key, pool.OffersHTTP2 && !key.http1)
		switch {
		case two != nil:
			return nil, two, nil
		case one != nil && one.socket.isQuiet():
			one.reused = true
			return one, nil, nil
		case one != nil:
			one.close()
		case wait != nil:
			select {
			case <-wait:
			case <-x.r.Context().Done():
				return nil, nil, x.r.Context().Err()
			}
		default:
			return l.open(x, pool, key)
		}
	}
}

// take is a connection that is there, or what to wait for until there may be one; neither: open one.
func (l *links) take(key linkKey, offersHTTP2 bool) (*link, *http2Link, chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.byKey[key]
	if s == nil {
		s = &shelf{}
		l.byKey[key] = s
	}
	for i := len(s.http2) - 1; i >= 0; i-- {
		two := s.http2[i]
		if two.conn.Reserve() == nil {
			return nil, two, nil
		}
		if two.conn.Err() != nil {
			s.http2 = slices.Delete(s.http2, i, i+1)
			_ = two.conn.Close()
		}
	}
	if n := len(s.idle); n > 0 {
		one := s.idle[n-1]
		s.idle[n-1] = nil
		s.idle = s.idle[:n-1]
		l.idle--
		return one, nil, nil
	}
	if offersHTTP2 && !s.plain {
		if s.opening != nil {
			return nil, nil, s.opening
		}
		s.opening = make(chan struct{})
	}
	return nil, nil, nil
}

// open makes a connection; take has promised it to those who wait, if any.
func (l *links) open(x *exchange, pool *l7.Pool, key linkKey) (one *link, two *http2Link, err error) {
	if pool.OffersHTTP2 && !key.http1 {
		defer func() { l.opened(key, two, err == nil && two == nil) }()
	}
	timeout := x.site.Listener.ConnectTimeout
	if timeout <= 0 {
		timeout = defaultConnect
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), timeout)
	defer cancel()
	s, err := l.dial(ctx, x.site.Net, key)
	if err != nil {
		return nil, nil, err
	}
	one = &link{socket: s, conn: s, key: key}
	isHTTP2, err := one.greet(ctx, x.session, pool)
	if err != nil {
		_ = s.Close()
		return nil, nil, err
	}
	if !isHTTP2 {
		return one, nil, nil
	}
	// The context is only read for the connection: it may end when the connection is there.
	conn, err := l.transport.NewClientConn(context.WithValue(ctx, connKey{}, one.conn), "http", key.member.String())
	if err != nil {
		_ = s.Close()
		return nil, nil, err
	}
	two = &http2Link{conn: conn}
	return nil, two, conn.Reserve()
}

// greet says what comes before HTTP: the PROXY header and the TLS handshake.
func (one *link) greet(ctx context.Context, s *session, pool *l7.Pool) (isHTTP2 bool, err error) {
	deadline, _ := ctx.Deadline()
	_ = one.socket.SetDeadline(deadline)
	header := proxyproto.AppendHeader(nil, pool.Config.Proxy, s.client.Address, s.client.Local, s.client.TLS)
	if _, err := one.socket.Write(header); err != nil {
		return false, err
	}
	if pool.TLS != nil {
		config := pool.TLS(one.key.serverName, one.key.member)
		if one.key.http1 {
			config = config.Clone()
			config.NextProtos = []string{"http/1.1"}
		}
		conn := tls.Client(one.socket, config)
		if err := conn.HandshakeContext(ctx); err != nil {
			return false, err
		}
		one.conn = conn
		isHTTP2 = conn.ConnectionState().NegotiatedProtocol == "h2"
	}
	return isHTTP2, one.socket.SetDeadline(time.Time{})
}

// opened shares a connection of HTTP/2, and lets go on who waited for it.
func (l *links) opened(key linkKey, two *http2Link, plain bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.byKey[key]
	if s == nil { // was swept meanwhile
		s = &shelf{}
		l.byKey[key] = s
	}
	s.plain = plain
	if two != nil {
		s.http2 = append(s.http2, two)
	}
	if s.opening != nil {
		close(s.opening)
		s.opening = nil
	}
}

// put keeps a connection of HTTP/1.1 for the next request.
func (l *links) put(one *link) {
	one.rest()
	l.mu.Lock()
	s := l.byKey[one.key]
	keep := !l.closed && s != nil && l.idle < maxIdle && len(s.idle) < maxIdlePerMember
	if keep {
		s.idle = append(s.idle, one)
		l.idle++
	}
	l.mu.Unlock()
	if !keep {
		one.close()
	}
}

// sweep closes what has been idle for long, and says whether anything is left.
func (l *links) sweep(now time.Time) (more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, s := range l.byKey {
		l.sweepShelf(s, now)
		if len(s.idle)+len(s.http2) == 0 && s.opening == nil && !s.plain {
			delete(l.byKey, key)
		}
	}
	return len(l.byKey) > 0
}

func (l *links) sweepShelf(s *shelf, now time.Time) {
	old := 0
	for old < len(s.idle) && now.Sub(s.idle[old].idleSince) > maxIdleTime {
		s.idle[old].close()
		old++
	}
	s.idle = slices.Delete(s.idle, 0, old)
	l.idle -= old
	s.http2 = slices.DeleteFunc(s.http2, func(two *http2Link) bool { return two.retire(now) })
	if old > 0 && len(s.idle) == 0 {
		s.plain = false // ask the member again
	}
}

// dropIdle closes the connections of HTTP/1.1 that wait for their next request.
func (l *links) dropIdle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.byKey {
		for _, one := range s.idle {
			one.close()
		}
		s.idle = nil
	}
	l.idle = 0
}

// close closes all connections, which nobody uses any more.
func (l *links) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.dropIdle()
	l.mu.Lock()
	for _, s := range l.byKey {
		for _, two := range s.http2 {
			_ = two.conn.Close()
		}
	}
	clear(l.byKey)
	l.mu.Unlock()
	for s := range l.sockets.Range { // net/http closes those of HTTP/2 when it comes to it
		_ = s.(*socket).Close()
	}
}

// isOwnFault says whether a connection could not be made for want of something on this side; it says nothing about the member.
func isOwnFault(err error) bool { return errors.Is(err, errBudget) }

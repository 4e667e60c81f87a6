// Package gateway serves with goroutines, through net/http, what event loops do not: listeners with pools whose members may
// speak HTTP/2, and PROMETHEUS listeners.
//
// A connection that was accepted elsewhere is given to [Gateway.Serve] and becomes a session. Each of its requests is an exchange:
// it is written down as a request of HTTP/1.1 and read by h1, so that what came by HTTP/2 is judged by the same rules as any other
// and cannot mean two things to a member; l7 decides about it; and it goes to a member over a link, which is either
// a connection of HTTP/1.1 that is this package's own or one of HTTP/2 that is net/http's.
package gateway

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"poise/internal/dataplane/l7"
	"poise/internal/dataplane/loop"
)

// Budget counts the file descriptors of the process. Take reserves n of them, all or none.
type Budget interface {
	Take(n int64) bool
	Give(n int64)
}

// Gateway serves connections, those of one load balancer or of many. It is safe for concurrent use.
type Gateway struct {
	log     *slog.Logger
	links   *links
	watcher *watcher

	mu       sync.Mutex // guards what follows
	servers  map[serverKey]*server
	sessions map[*session]struct{}
	closed   bool

	exchanges sync.WaitGroup // handlers under way
	servings  sync.WaitGroup // goroutines of servers and outboxes
}

// New makes a gateway. budget is asked for each connection to a member; those of clients are their owner's. hops are told of
// connections that lead to load balancers of the process. The caller closes the gateway.
func New(log *slog.Logger, budget Budget, hops *loop.Hops) *Gateway {
	g := &Gateway{
		log: log, links: newLinks(budget, hops),
		servers: map[serverKey]*server{}, sessions: map[*session]struct{}{},
	}
	g.watcher = newWatcher(g.sweep)
	return g
}

// Serve serves an accepted connection until it ends, in goroutines of its own; it returns at once. From then on conn is the
// gateway's, which closes it when it ends: its owner hears of the end by conn's Close, which is called once.
//
// conn reads and writes plaintext: with TLS it is a *tls.Conn whose handshake is done, and client.TLS says what it has shown. A
// client speaks HTTP/2 where it has chosen h2 by ALPN, or, without TLS, where it begins with the preface of HTTP/2.
//
// site is asked for the newest configuration of the listener with each request. metrics writes the page of a PROMETHEUS listener; it is
// nil for others.
//
// Of the listener's meter the gateway counts requests, responses, errors, denied ones and bytes; connections are counted by who
// accepts them.
func (g *Gateway) Serve(conn net.Conn, client *l7.Client, site func() *l7.Site, metrics func(io.Writer)) {
	s := &session{Conn: conn, gateway: g, client: client, site: site, metrics: metrics, meter: site().Meter}
	server := g.register(s)
	if server == nil || !server.admit(s) {
		_ = s.Close()
	}
}

// register adds a session, and finds or makes the server that it belongs to; nil when the gateway is closed.
func (g *Gateway) register(s *session) *server {
	key := newServerKey(s)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil
	}
	g.sessions[s] = struct{}{}
	s.server = g.servers[key]
	if s.server == nil {
		s.server = newServer(key, g)
		g.servers[key] = s.server
		g.servings.Go(s.server.run)
	}
	s.server.sessions++
	g.watcher.wake()
	return s.server
}

func (g *Gateway) forget(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.sessions[s]; known {
		delete(g.sessions, s)
		s.server.sessions--
	}
}

// retireServers ends those that have had nothing to do for some time, and says whether there are others.
func (g *Gateway) retireServers(now time.Time) (others bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for key, server := range g.servers {
		switch {
		case server.sessions > 0:
			server.idleSince = time.Time{}
		case server.idleSince.IsZero():
			server.idleSince = now
		case now.Sub(server.idleSince) > serverIdleTime:
			delete(g.servers, key)
			g.servings.Go(server.drain)
		}
	}
	return len(g.servers) > 0
}

// Drain ends the connections of a listener as soon as no request is under way on them: clients of HTTP/2 are told to go away,
// and may finish the requests that they have sent. It returns at once. Connections that are served later are not concerned.
func (g *Gateway) Drain(listenerID string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for key, server := range g.servers {
		if key.listenerID == listenerID {
			delete(g.servers, key)
			g.servings.Go(server.drain)
		}
	}
}

// Evict closes connections of clients, those without a request under way first, for as long as more says so.
func (g *Gateway) Evict(more func() bool) {
	for _, busy := range []bool{false, true} {
		for _, s := range g.all() {
			if !more() {
				return
			}
			if s.busy() == busy {
				_ = s.abort()
			}
		}
	}
	if more() {
		g.links.dropIdle()
	}
}

// Close drains all connections until ctx ends, then closes them, and waits until nothing is left.
func (g *Gateway) Close(ctx context.Context) {
	g.mu.Lock()
	g.closed = true
	servers := slices.Collect(maps.Values(g.servers))
	clear(g.servers)
	g.mu.Unlock()
	stop := context.AfterFunc(ctx, g.closeSessions)
	var drains sync.WaitGroup
	for _, server := range servers {
		drains.Go(server.drain)
	}
	drains.Wait()
	g.exchanges.Wait() // also those that have changed their protocol, of which servers do not know any more
	stop()
	g.closeSessions()
	g.servings.Wait()
	g.watcher.stop()
	g.links.close()
}

func (g *Gateway) closeSessions() {
	for _, s := range g.all() {
		_ = s.abort()
	}
}

func (g *Gateway) all() []*session {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Keys(g.sessions))
}

// sweep is called by the watcher from time to time. It says whether there is anything left to watch.
func (g *Gateway) sweep(now time.Time) (more bool) {
	sessions := g.all()
	for _, s := range sessions {
		s.sweep(now)
	}
	busy := g.retireServers(now)
	return g.links.sweep(now) || busy || len(sessions) > 0
}

// ServeHTTP serves one request.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := r.Context().Value(sessionKey{}).(*session)
	x := newExchange(s, w, r)
	if !s.enter(x) {
		panic(http.ErrAbortHandler)
	}
	x.serve()
	s.leave(x)
	broken := x.broken
	x.free()
	if broken {
		panic(http.ErrAbortHandler) // has net/http break the response off
	}
}

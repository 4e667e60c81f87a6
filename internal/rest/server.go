package rest

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
)

const (
	// headerTimeout is how long a client may take to send a request's header, requestTimeout the whole request.
	headerTimeout  = 10 * time.Second
	requestTimeout = 30 * time.Second
	// idleTimeout is how long a connection may wait for its next request.
	idleTimeout = 30 * time.Second
	// A client has to take each pieceBytes of an answer within pieceTimeout.
	pieceBytes   = 64 << 10
	pieceTimeout = 30 * time.Second
	// maxHeaderBytes is the longest header of a request.
	maxHeaderBytes = 64 << 10

	// descriptorShare of the files that the process may have open, as a divisor, are for connections to the APIs, and no more
	// than maxConnections.
	descriptorShare = 16
	maxConnections  = 8192
	// sourceShare of all connections, as a divisor, is the most that one source may have.
	sourceShare = 4
	// refusalsEvery is how often the log says that connections are refused.
	refusalsEvery = time.Minute
)

// NewServer makes a server whose clients cannot hold a connection with half a request. handler is within a [Frame].
func NewServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, WriteTimeout: pieceTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // what it reports are clients' mistakes
	}
}

// MaxConnections is how many connections the APIs of this process may have: a part of the files that it may have open. The
// data plane leaves as many free.
func MaxConnections() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("limit of open files: %w", err)
	}
	return int(min(limit.Cur/descriptorShare, maxConnections)), nil
}

// Limit bounds the connections of a listener to total, and to a quarter of that for one source. Where all are taken, a
// newcomer gets the place of the oldest connection of whichever source has most, unless that would have no more than the
// newcomer's own. Connections of proxies are those of many clients: the bound of one source is not for them.
func Limit(l net.Listener, total int, proxies Proxies, log *slog.Logger) net.Listener {
	return &boundListener{
		Listener: l, total: max(total, 1), proxies: proxies, log: log, bySource: map[string][]*boundConn{},
		sometimes: rate.Sometimes{First: 1, Interval: refusalsEvery},
	}
}

type boundListener struct {
	net.Listener

	total     int
	proxies   Proxies
	log       *slog.Logger
	sometimes rate.Sometimes

	mu       sync.Mutex // guards what follows
	open     int
	bySource map[string][]*boundConn // the oldest first; those of proxies are under ""
}

// Accept returns the next connection that is within the bounds; others it closes.
func (l *boundListener) Accept() (net.Conn, error) {
	for {
		plain, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		tcp, ok := plain.(*net.TCPConn)
		if !ok {
			return nil, errors.Join(fmt.Errorf("%T is no TCP connection", plain), plain.Close())
		}
		c := &boundConn{TCPConn: tcp, listener: l, source: l.sourceOf(tcp.RemoteAddr())}
		admitted, displaced := l.admit(c)
		if displaced != nil {
			displaced.end()
		}
		if admitted {
			return c, nil
		}
		c.end()
		l.sometimes.Do(func() {
			l.log.Warn("connections to the APIs are refused: their bound is reached", "in all", l.total, "source", c.source)
		})
	}
}

// sourceOf is "" for proxies.
func (l *boundListener) sourceOf(peer net.Addr) string {
	address, ok := peerAddress(peer.String())
	if !ok {
		return peer.String()
	}
	if l.proxies.contain(address) {
		return ""
	}
	return sourceOf(address)
}

// admit counts a connection if it is within the bounds. displaced is the one that has to end for it.
func (l *boundListener) admit(c *boundConn) (admitted bool, displaced *boundConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := len(l.bySource[c.source])
	if c.source != "" && own >= max(l.total/sourceShare, 1) {
		return false, nil
	}
	if c.source == "" {
		own = 0
	}
	if l.open >= l.total {
		var most []*boundConn
		for source, all := range l.bySource {
			if source != "" && len(all) > len(most) {
				most = all
			}
		}
		if len(most) <= own+1 {
			return false, nil
		}
		displaced = most[0]
		l.forget(displaced)
	}
	l.open++
	l.bySource[c.source] = append(l.bySource[c.source], c)
	return true, displaced
}

// forget gives a connection's place back, if it has one. l.mu is held.
func (l *boundListener) forget(c *boundConn) {
	all := l.bySource[c.source]
	for i, other := range all {
		if other != c {
			continue
		}
		l.open--
		if len(all) == 1 {
			delete(l.bySource, c.source)
			return
		}
		l.bySource[c.source] = append(all[:i:i], all[i+1:]...)
		return
	}
}

// boundConn is a connection that has a place.
type boundConn struct {
	*net.TCPConn

	listener *boundListener
	source   string
}

// Close gives the place back.
func (c *boundConn) Close() error {
	c.listener.mu.Lock()
	c.listener.forget(c)
	c.listener.mu.Unlock()
	return c.TCPConn.Close()
}

// end closes at once, without a word.
func (c *boundConn) end() {
	_ = c.SetLinger(0)
	_ = c.TCPConn.Close()
}

package probe

import (
	"crypto/tls"
	"net/netip"
	"reflect"
	"time"

	"poise/internal/dataplane"
	"poise/internal/dataplane/tlsconf"
)

// What stands in for a delay or a timeout of 0, which Octavia accepts.
const (
	shortestDelay   = time.Second
	shortestTimeout = time.Second
)

// way is how the members of one pool are checked.
type way struct {
	check   check
	monitor dataplane.Monitor
	proxy   dataplane.ProxyVersion
	tls     *tls.Config // of checks that speak TLS
	tlsErr  error       // why there is none
	aside   *way        // of members that are checked at another place than they serve at; nil: the same
	from    origin
}

// origin is what a way was made from.
type origin struct {
	monitor   dataplane.Monitor
	proxy     dataplane.ProxyVersion
	tls       *dataplane.ClientTLS
	datagrams bool // the members are datagram servers
}

// newWays makes the ways of a configuration; those that stay the same are kept. Pools without a monitor have none.
func (p *Prober) newWays(cfg *dataplane.Config) map[string]*way {
	datagrams := map[string]bool{}
	for _, l := range cfg.Listeners {
		if l.Protocol == dataplane.UDP {
			datagrams[l.PoolID] = true
		}
	}
	ways := map[string]*way{}
	for _, pool := range cfg.Pools {
		if pool.Monitor == nil || p.checks[pool.Monitor.Type] == nil {
			continue
		}
		from := origin{*pool.Monitor, pool.Proxy, pool.TLS, datagrams[pool.ID]}
		if old := p.ways[pool.ID]; old != nil && reflect.DeepEqual(old.from, from) {
			ways[pool.ID] = old
			continue
		}
		ways[pool.ID] = newWay(from, p.checks[from.monitor.Type])
	}
	return ways
}

func newWay(from origin, check check) *way {
	w := &way{check: check, monitor: from.monitor, proxy: from.proxy, from: from}
	if w.monitor.Delay <= 0 {
		w.monitor.Delay = shortestDelay
	}
	if w.monitor.Timeout <= 0 {
		w.monitor.Timeout = shortestTimeout
	}
	if from.datagrams { // octavia-dataplane.md §5: such members come up at once, and HTTP checks are plain
		w.monitor.Rise, w.monitor.Method = 1, "GET"
	}
	switch t := w.monitor.Type; {
	case t == dataplane.MonitorHTTP && from.tls != nil && !from.datagrams:
		aside := *w
		w.aside, w.check = &aside, locating(checkHTTPS)
		w.tls, w.tlsErr = newTLS(from.tls, t)
	case t == dataplane.MonitorHTTPS, t == dataplane.MonitorTLSHello:
		w.tls, w.tlsErr = newTLS(from.tls, t)
	}
	return w
}

// to is the way for one member. HTTP checks speak TLS where the pool does, as HAProxy's do; at another address or port than
// the member serves at they do not.
func (w *way) to(m dataplane.Member) *way {
	if w != nil && w.aside != nil && m.Probe != m.Address {
		return w.aside
	}
	return w
}

// newTLS makes the configuration of a check's handshakes: the pool's, where its members speak TLS with the load balancer. An
// HTTPS check never verifies the certificate, others do as the pool does. Each handshake is a whole one, as a resumed one says less about the member.
func newTLS(pool *dataplane.ClientTLS, check dataplane.MonitorType) (*tls.Config, error) {
	if pool == nil {
		pool = &dataplane.ClientTLS{}
	}
	if check == dataplane.MonitorHTTPS {
		unverified := *pool
		unverified.CAs, unverified.Revocations = nil, nil
		pool = &unverified
	}
	config, err := tlsconf.Client(pool, "")
	if err == nil {
		config.ClientSessionCache = nil
	}
	return config, err
}

func (w *way) monitorType() dataplane.MonitorType {
	if w == nil {
		return ""
	}
	return w.monitor.Type
}

// subject is what a check is about, for people: an echo request has no port.
func (w *way) subject(at netip.AddrPort) string {
	if w.monitor.Type == dataplane.MonitorPing {
		return at.Addr().String()
	}
	return at.String()
}

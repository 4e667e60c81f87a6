package proxy

import (
	"net/netip"
	"time"

	"poise/internal/dataplane"
	"poise/internal/dataplane/l7"
)

// What a timeout of 0 means, as in Octavia.
const (
	defaultSilence = 50 * time.Second
	defaultConnect = 5 * time.Second
)

// setup is a listener under one configuration. A TCP connection keeps the one with which it started, a request takes the newest.
type setup struct {
	allowed          []netip.Prefix
	limit            int64
	pool             *l7.Pool // of TCP listeners; nil: none
	site             *l7.Site // of HTTP listeners, nil otherwise
	gateway          bool     // clients are served with goroutines
	clientTimeoutMs  int64
	memberTimeoutMs  int64
	connectTimeoutMs int64
	minBodyRate      int64 // bytes a second; 0: any
}

func newSetup(l *dataplane.Listener) *setup {
	limit := int64(l.ConnectionLimit)
	if limit <= 0 {
		limit = dataplane.DefaultConnectionLimit
	}
	var minBodyRate int
	if l.HTTP != nil {
		minBodyRate = l.HTTP.MinBodyRate
	}
	return &setup{
		minBodyRate: int64(minBodyRate),
		allowed:     l.AllowedCIDRs, limit: limit,
		clientTimeoutMs:  milliseconds(l.ClientTimeout, defaultSilence),
		memberTimeoutMs:  milliseconds(l.MemberTimeout, defaultSilence),
		connectTimeoutMs: milliseconds(l.ConnectTimeout, defaultConnect),
	}
}

func milliseconds(d, standard time.Duration) int64 {
	if d <= 0 {
		d = standard
	}
	return max(d.Milliseconds(), 1)
}

func (s *setup) allows(client netip.Addr) bool {
	for _, prefix := range s.allowed {
		if prefix.Contains(client) {
			return true
		}
	}
	return len(s.allowed) == 0
}

package console

import (
	"net"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// attemptBurst and attemptEvery bound the attempts to sign in from one address.
	attemptBurst = 10
	attemptEvery = 5 * time.Second
	// maxAddresses is how many addresses are remembered; beyond it, all are forgotten but the bound of all together.
	maxAddresses = 10_000
	// allBurst and allPerSecond bound the attempts of everybody together.
	allBurst     = 50
	allPerSecond = 10
)

// attempts bounds how often people try to sign in.
type attempts struct {
	together  *rate.Limiter
	mu        sync.Mutex // guards byAddress
	byAddress map[string]*rate.Limiter
}

func newAttempts() *attempts {
	return &attempts{together: rate.NewLimiter(allPerSecond, allBurst), byAddress: map[string]*rate.Limiter{}}
}

// allow tells whether the client at an address (host:port) may try now.
func (a *attempts) allow(remote string) bool {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	a.mu.Lock()
	limit := a.byAddress[host]
	if limit == nil {
		if len(a.byAddress) >= maxAddresses {
			clear(a.byAddress)
		}
		limit = rate.NewLimiter(rate.Every(attemptEvery), attemptBurst)
		a.byAddress[host] = limit
	}
	a.mu.Unlock()
	return limit.Allow() && a.together.Allow()
}

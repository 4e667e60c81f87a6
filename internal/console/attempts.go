package console

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// failureBurst failed logins are let through from one source, and one more each failureEvery.
	failureBurst = 10
	failureEvery = 5 * time.Second
	// maxSources is how many sources are remembered; beyond it, all are forgotten.
	maxSources = 10_000
)

// attempts bounds failed logins at another cloud's identity service, to which everybody comes from our address. Our own
// service knows the sources, and bounds them itself.
type attempts struct {
	mu       sync.Mutex // guards bySource
	bySource map[string]*rate.Limiter
}

func newAttempts() *attempts { return &attempts{bySource: map[string]*rate.Limiter{}} }

// allow tells whether a source may try now.
func (a *attempts) allow(source string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	limit := a.bySource[source]
	return limit == nil || limit.Tokens() >= 1
}

// failed counts a failed login.
func (a *attempts) failed(source string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	limit := a.bySource[source]
	if limit == nil {
		if len(a.bySource) >= maxSources {
			clear(a.bySource)
		}
		limit = rate.NewLimiter(rate.Every(failureEvery), failureBurst)
		a.bySource[source] = limit
	}
	limit.Allow()
}

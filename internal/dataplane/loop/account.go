package loop

import (
	"fmt"
	"math"
	"sync/atomic"
	"time"
)

const (
	// leastShare is what one connection needs: the client's socket and the member's.
	leastShare = 2
	// greedMemory is how long an account counts as short of descriptors after it was refused some above its share.
	greedMemory = 15 * time.Second
	// patience is how long an account below its share may get none before it counts as short: a [Collection] takes milliseconds.
	patience = 2 * time.Second
)

// Account is what one load balancer holds of the [Descriptors].
type Account struct {
	descriptors *Descriptors
	used        atomic.Int64
	greedyAt    atomic.Int64 // when it was last refused some above its share, Unix time in ns; 0: never
	shortSince  atomic.Int64 // since when it has got none below its share, likewise; 0: it has got some
}

// TakeNew reserves n descriptors for a client who comes new, all or none. Above its share the account leaves the reserve free.
func (a *Account) TakeNew(n int64) bool { return a.take(n, a.descriptors.reserve) }

// Take reserves n descriptors for a client who is served already, all or none. Above its share the account leaves half of the
// reserve free.
func (a *Account) Take(n int64) bool { return a.take(n, a.descriptors.reserve/2) }

func (a *Account) take(n, leave int64) bool {
	d := a.descriptors
	mine := a.add(n)
	free := d.limitNow() - d.used.Add(n)
	if free >= leave {
		a.gotSome()
		return true
	}
	below := mine <= d.share()
	if below && free >= 0 {
		if free < d.reserve/2 {
			d.collect(true)
		}
		a.gotSome()
		return true
	}
	a.Give(n)
	if now := time.Now().UnixNano(); below {
		a.shortSince.CompareAndSwap(0, now)
	} else {
		a.greedyAt.Store(now)
	}
	d.collect(below)
	return false
}

func (a *Account) gotSome() {
	if a.shortSince.Load() != 0 {
		a.shortSince.Store(0)
	}
}

// IsGreedy says whether the account wants more than its share and does not get it.
func (a *Account) IsGreedy() bool { return isAgo(a.greedyAt.Load(), 0, greedMemory) }

// isAgo says whether a time, Unix in ns, was at least so long ago, and less than that; 0 was never.
func isAgo(at int64, least, most time.Duration) bool {
	ago := time.Duration(time.Now().UnixNano() - at)
	return at != 0 && ago >= least && ago < most
}

// Give gives n descriptors back.
func (a *Account) Give(n int64) {
	a.descriptors.used.Add(-n)
	a.add(-n)
}

// Used is how many descriptors the account holds.
func (a *Account) Used() int64 { return a.used.Load() }

// add counts, and follows whether the account holds any.
func (a *Account) add(n int64) int64 {
	mine := a.used.Add(n)
	switch {
	case n > 0 && mine == n:
		a.descriptors.active.Add(1)
	case n < 0 && mine == 0:
		a.descriptors.active.Add(-1)
	}
	return mine
}

// Shortage says why clients of the load balancer wait, in a sentence for people; "" when they do not. The words stay the same
// while the reason does.
func (a *Account) Shortage() string {
	d := a.descriptors
	if d.limit-d.held.Load() < leastShare {
		return fmt.Sprintf("no client is served: listeners alone take the %d file descriptors that the node has for traffic: %s",
			d.limit, raiseLimit)
	}
	switch {
	case a.IsGreedy():
		return fmt.Sprintf("new clients wait: the load balancer has its full share of the %d file descriptors that the node has for "+
			"traffic; clients that stay connected may be why, or a member that leads back to the load balancer", d.limit)
	case isAgo(a.shortSince.Load(), patience, math.MaxInt64):
		return fmt.Sprintf("new clients wait: the %d file descriptors that the node has for traffic are in use: %s", d.limit, raiseLimit)
	}
	return ""
}

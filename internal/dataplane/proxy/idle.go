package proxy

import (
	"net/netip"

	"poise/internal/dataplane"
	"poise/internal/dataplane/meter"
)

const (
	// idleUpstreamMs is how long an upstream waits for its next request: less than the 5 s after which Node.js and Apache close
	// their side.
	idleUpstreamMs = 4_000
	// maxIdleUpstreams of one target wait in one loop.
	maxIdleUpstreams = 256
	// maxSpare is how many descriptors of the budget an idle pool keeps for upstreams that will wait soon again.
	maxSpare = 16
)

// target tells connections to members apart: those of one target are interchangeable.
type target struct {
	meter      *meter.Member // of a member as one listener uses it in one pool
	address    netip.AddrPort
	tls        *dataplane.ClientTLS // nil: plaintext
	serverName string
	hops       int        // load balancers that the clients have passed: the next one counts on it
	client     *http2Conn // whose requests the member was told of (PROXY) that come by HTTP/2; nil: all others
}

// idlePool holds the upstreams of one loop that wait for their next request. Each has a descriptor beside those of the
// connections, on nobody's account; they are the first to go when descriptors run out.
type idlePool struct {
	loop  *loop
	lists map[target]*idleList
	spare int64 // descriptors that the pool has of the budget, and nobody uses
}

// idleList holds the upstreams of one target; the last one has waited shortest and is the next to be used.
type idleList struct {
	waiting []*upstream
	open    int // upstreams of the target, those in use included
}

// enlist is called for each new upstream, delist when it is closed.
func (p *idlePool) enlist(t target) *idleList {
	list := p.lists[t]
	if list == nil {
		list = &idleList{}
		p.lists[t] = list
	}
	list.open++
	return list
}

func (p *idlePool) delist(u *upstream) {
	if u.idle.open--; u.idle.open == 0 {
		delete(p.lists, u.target)
	}
}

// put has an upstream wait, or closes it where there is no room.
func (p *idlePool) put(u *upstream) {
	u.session = nil
	if len(u.idle.waiting) >= maxIdleUpstreams || !p.afford() {
		u.close(orderly)
		return
	}
	u.idle.waiting = append(u.idle.waiting, u)
	u.waits = true
	u.idleSinceMs = p.loop.nowMs
	p.loop.wheel.setBy(&u.timer, p.loop.nowMs+idleUpstreamMs)
}

// take is an upstream of that target that is still open, nil if there is none.
func (p *idlePool) take(t target) *upstream {
	list := p.lists[t]
	if list == nil {
		return nil
	}
	for n := len(list.waiting); n > 0; n = len(list.waiting) {
		u := list.waiting[n-1]
		list.waiting = list.waiting[:n-1]
		u.waits = false
		p.refund()
		if u.usable() {
			return u
		}
		u.close(orderly)
	}
	return nil
}

// drop closes an upstream that waits.
func (p *idlePool) drop(u *upstream) {
	waiting := u.idle.waiting
	for i := range waiting {
		if waiting[i] == u {
			u.idle.waiting = append(waiting[:i], waiting[i+1:]...)
			break
		}
	}
	u.waits = false
	p.refund()
	u.close(orderly)
}

// keep closes the upstreams that wait and are not wanted any more.
func (p *idlePool) keep(wanted func(*upstream) bool) {
	for _, list := range p.lists {
		for i := len(list.waiting) - 1; i >= 0; i-- {
			if u := list.waiting[i]; !wanted(u) {
				p.drop(u)
			}
		}
	}
}

// dropAll closes all that wait and gives every descriptor back.
func (p *idlePool) dropAll() {
	p.keep(func(*upstream) bool { return false })
	p.loop.engine.descriptors.Give(p.spare)
	p.spare = 0
}

func (p *idlePool) afford() bool {
	if p.spare > 0 {
		p.spare--
		return true
	}
	return p.loop.engine.descriptors.Take(1)
}

func (p *idlePool) refund() {
	if p.spare < maxSpare {
		p.spare++
		return
	}
	p.loop.engine.descriptors.Give(1)
}

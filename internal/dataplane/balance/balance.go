// Package balance picks the member that gets a new connection.
//
// A [Balancer] stands for one pool under one configuration. A new configuration makes a new Balancer out of the one
// before, and what a member has collected so far (its turn, its open connections, its health) and which client belongs
// to which member goes over by member id. Both may be asked at the same time: a connection keeps the Balancer with
// which it started.
package balance

import (
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"poise/internal/dataplane"
)

// Balancer picks members of one pool. It is safe for concurrent use.
type Balancer struct {
	pool     dataplane.Pool
	members  []*Member
	eligible []*Member // those that may take new connections as long as they are up
	scratch  []*Member // what a pick collects candidates in; guarded by the memory's lock
	memory   *memory
}

// memory is what the successive Balancers of one pool share.
type memory struct {
	mu      sync.Mutex // guards what follows and the turns of every tally
	clients *affinity[netip.Addr]
	cookies *affinity[string]
	field   uint64 // which members, with which weights, took part in the last round robin pick
}

// Member is a member as one Balancer sees it.
type Member struct {
	dataplane.Member
	Index int    // its place in the pool's Members
	seed  uint64 // of the source hashes; derived from the id, so that every node comes to the same choice
	share uint64 // stands for the id with the weight
	tally *tally
}

// tally is what a member takes along from one configuration to the next.
type tally struct {
	turns     [2]int // smooth round robin: the member with the highest turn is next; see firstTurn
	active    atomic.Int64
	down      atomic.Bool
	restUntil atomic.Int64 // Unix time, ns; 0: it does not rest
}

// maxCookie is by how many bytes of its value a cookie is known: the length of Octavia's keys.
const maxCookie = 64

// restTime is for how long a member rests that did not answer.
const restTime = time.Second

// New makes the Balancer of a pool. previous is the Balancer of the same pool under the configuration before; nil when
// there is none.
func New(pool dataplane.Pool, previous *Balancer) *Balancer {
	b := &Balancer{pool: pool, memory: &memory{
		clients: newAffinity[netip.Addr](maxAffinities), cookies: newAffinity[string](maxAffinities),
	}}
	known := map[string]*tally{}
	if previous != nil {
		b.memory = previous.memory
		for _, m := range previous.members {
			known[m.ID] = m.tally
		}
	}
	for i, m := range pool.Members {
		t := known[m.ID]
		if t == nil {
			t = &tally{}
		}
		seed := hashString(m.ID)
		member := &Member{Member: m, Index: i, seed: seed, share: mix(seed + uint64(m.Weight)), tally: t}
		b.members = append(b.members, member)
		if m.Weight > 0 && !m.Disabled {
			b.eligible = append(b.eligible, member)
		}
	}
	b.scratch = make([]*Member, 0, len(b.eligible))
	return b
}

// SetDown says that the checks hold the member for down, or no longer do. Unknown members are ignored.
func (b *Balancer) SetDown(memberID string, down bool) {
	for _, m := range b.members {
		if m.ID == memberID {
			m.tally.down.Store(down)
		}
	}
}

// Pick chooses the member for a client, or nil when none is usable. The caller releases the member when its connection
// has ended or could not be made.
//
// Members in tried have failed this client already and are left out. Such a failover pick does not move the round
// robin on: a dead member's turns would otherwise fall to the same neighbour each time, and with two members every
// connection would meet the dead one first.
func (b *Balancer) Pick(client netip.AddrPort, tried ...*Member) *Member {
	b.memory.mu.Lock()
	defer b.memory.mu.Unlock()
	return b.pick(client, tried).take()
}

// PickByID is the member of that id, if it is usable: for a client that was given it before, by its cookie. A drained
// member (weight 0) keeps the clients it has. It is nil when there is none; otherwise it counts as a pick.
func (b *Balancer) PickByID(id string, tried ...*Member) *Member {
	return b.keep(id, tried).take()
}

// PickByCookie chooses the member for a client with a cookie that [Balancer.Learn] may know: the cookie's member, if it is
// usable, else another one, which is the cookie's member from then on. Cookies that are not known are left unknown.
func (b *Balancer) PickByCookie(cookie string, client netip.AddrPort, tried ...*Member) *Member {
	cookie = cookie[:min(len(cookie), maxCookie)]
	b.memory.mu.Lock()
	defer b.memory.mu.Unlock()
	id, known := b.memory.cookies.get(cookie, time.Time{})
	m := b.keep(id, tried)
	if m == nil {
		m = b.pick(client, tried)
	}
	if known && m != nil {
		b.memory.cookies.put(cookie, m.ID, time.Time{})
	}
	return m.take()
}

// Heard says that a client is not silent, which therefore is not forgotten while it goes on with the member that it was given.
func (b *Balancer) Heard(client netip.Addr, memberID string) {
	p := b.pool.Persistence
	if p == nil || p.Type != dataplane.BySourceIP || p.Timeout <= 0 {
		return
	}
	b.memory.mu.Lock()
	defer b.memory.mu.Unlock()
	key := masked(client, p.MaskBits)
	if id, ok := b.memory.clients.get(key, time.Time{}); ok && id == memberID {
		b.memory.clients.put(key, id, time.Now())
	}
}

// Learn remembers that a member has given its client this cookie.
func (b *Balancer) Learn(cookie string, m *Member) {
	cookie = cookie[:min(len(cookie), maxCookie)]
	b.memory.mu.Lock()
	defer b.memory.mu.Unlock()
	if !b.memory.cookies.has(cookie) {
		cookie = strings.Clone(cookie) // it is part of a message
	}
	b.memory.cookies.put(cookie, m.ID, time.Time{})
}

// take counts the pick.
func (m *Member) take() *Member {
	if m != nil {
		m.tally.active.Add(1)
	}
	return m
}

// Release gives back a picked member.
func (m *Member) Release() { m.tally.active.Add(-1) }

// Rest keeps the member from being picked for a second, as long as another one can be: it did not answer, and each
// client that came to it would wait for nothing. A member that refuses at once needs no rest; failover costs its clients
// nothing, and it is back in turn the moment it accepts.
func (m *Member) Rest() { m.tally.restUntil.Store(time.Now().Add(restTime).UnixNano()) }

func (m *Member) rests() bool {
	until := m.tally.restUntil.Load()
	if until == 0 {
		return false
	}
	if time.Now().UnixNano() < until {
		return true
	}
	m.tally.restUntil.CompareAndSwap(until, 0) // nobody needs to ask for the time again
	return false
}

// Active is the number of picks of this member, under any configuration, that were not released yet.
func (m *Member) Active() int64 { return m.tally.active.Load() }

// pick is the member that the client was given before, or else the algorithm's choice. The caller holds the memory's lock.
func (b *Balancer) pick(client netip.AddrPort, tried []*Member) *Member {
	p := b.pool.Persistence
	if p == nil || p.Type != dataplane.BySourceIP {
		return b.choose(client, tried)
	}
	var now, since time.Time
	if p.Timeout > 0 {
		now = time.Now()
		since = now.Add(-p.Timeout)
	}
	key := masked(client.Addr(), p.MaskBits)
	var m *Member
	if id, ok := b.memory.clients.get(key, since); ok {
		m = b.keep(id, tried)
	}
	if m == nil {
		m = b.choose(client, tried)
	}
	if m != nil {
		b.memory.clients.put(key, m.ID, now)
	}
	return m
}

// masked is the client that an address belongs to: the network of so many bits.
func masked(a netip.Addr, bits int) netip.Addr {
	a = a.Unmap()
	if bits <= 0 || bits >= a.BitLen() {
		return a
	}
	prefix, _ := a.Prefix(bits) // fails for impossible bits only
	return prefix.Addr()
}

// keep is the member of that id for a client which has it already, if it still may have it.
func (b *Balancer) keep(id string, tried []*Member) *Member {
	for _, m := range b.members {
		if m.ID == id && b.usable(m) && !m.rests() && !contains(tried, m) {
			return m
		}
	}
	return nil
}

// choose asks the algorithm.
func (b *Balancer) choose(client netip.AddrPort, tried []*Member) *Member {
	c := b.candidates(tried)
	if len(c.members) == 0 {
		return nil
	}
	return c.pick(b.pool.Algorithm, client)
}

// usable says whether the member may carry traffic at all.
func (b *Balancer) usable(m *Member) bool {
	return !m.Disabled && (b.pool.Monitor == nil || !m.tally.down.Load())
}

// contains compares ids: a member that has been tried under an older configuration is the same member.
func contains(tried []*Member, m *Member) bool {
	for _, t := range tried {
		if t.ID == m.ID {
			return true
		}
	}
	return false
}

// Package balance picks the member that gets a new connection.
//
// A [Balancer] stands for one pool under one configuration. A new configuration makes a new Balancer out of the one
// before, and what a member has collected so far (its turn, its open connections, its health) and which client belongs
// to which member goes over by member id. Both may be asked at the same time: a connection keeps the Balancer with
// which it started.
package balance

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"poise/internal/dataplane"
)

// Balancer picks members of one pool. It is safe for concurrent use.
type Balancer struct {
	pool    dataplane.Pool
	members []*Member
	memory  *memory
}

// memory is what the successive Balancers of one pool share.
type memory struct {
	mu       sync.Mutex // guards what follows and the turns of every tally
	affinity *affinity
	field    uint64 // which members, with which weights, took part in the last round robin pick
}

// Member is a member as one Balancer sees it.
type Member struct {
	dataplane.Member
	seed  uint64 // of the source hashes; derived from the id, so that every node comes to the same choice
	tally *tally
}

// tally is what a member takes along from one configuration to the next.
type tally struct {
	turn      int // smooth round robin: the member with the highest turn is next
	spareTurn int // the same for failover picks, which leave the turns alone
	active    atomic.Int64
	down      atomic.Bool
	restUntil atomic.Int64 // Unix time, ns; 0: never rested
}

// restTime is for how long a member rests that did not answer.
const restTime = time.Second

// New makes the Balancer of a pool. previous is the Balancer of the same pool under the configuration before; nil when
// there is none.
func New(pool dataplane.Pool, previous *Balancer) *Balancer {
	b := &Balancer{pool: pool, memory: &memory{affinity: newAffinity(maxAffinities)}}
	known := map[string]*tally{}
	if previous != nil {
		b.memory = previous.memory
		for _, m := range previous.members {
			known[m.ID] = m.tally
		}
	}
	for _, m := range pool.Members {
		t := known[m.ID]
		if t == nil {
			t = &tally{}
		}
		b.members = append(b.members, &Member{Member: m, seed: hashString(m.ID), tally: t})
	}
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
	m := b.affine(client.Addr(), tried)
	if m == nil {
		m = b.choose(client, tried)
	}
	if m == nil {
		return nil
	}
	if b.bySource() {
		b.memory.affinity.put(client.Addr(), m.ID)
	}
	m.tally.active.Add(1)
	return m
}

func (b *Balancer) bySource() bool {
	return b.pool.Persistence != nil && b.pool.Persistence.Type == dataplane.BySourceIP
}

// Release gives back a picked member.
func (m *Member) Release() { m.tally.active.Add(-1) }

// Rest keeps the member from being picked for a second, as long as another one can be: it did not answer, and each
// client that came to it would wait for nothing. A member that refuses at once needs no rest; failover costs its clients
// nothing, and it is back in turn the moment it accepts.
func (m *Member) Rest() { m.tally.restUntil.Store(time.Now().Add(restTime).UnixNano()) }

func (m *Member) rests() bool {
	until := m.tally.restUntil.Load()
	return until != 0 && time.Now().UnixNano() < until
}

// Active is the number of picks of this member, under any configuration, that were not released yet.
func (m *Member) Active() int64 { return m.tally.active.Load() }

// affine is the member that the client was given before, if it still may have it. A drained member (weight 0) keeps
// the clients it has.
func (b *Balancer) affine(client netip.Addr, tried []*Member) *Member {
	if !b.bySource() {
		return nil
	}
	id, ok := b.memory.affinity.get(client)
	if !ok {
		return nil
	}
	for _, m := range b.members {
		if m.ID == id && b.usable(m) && !m.rests() && !contains(tried, m) {
			return m
		}
	}
	return nil
}

// choose asks the algorithm, for the members of each rank until there is one.
func (b *Balancer) choose(client netip.AddrPort, tried []*Member) *Member {
	for _, r := range []rank{{}, {resting: true}, {backup: true}, {backup: true, resting: true}} {
		c := candidates{b: b, rank: r, tried: tried}
		if m := c.pick(client); m != nil {
			return m
		}
	}
	return nil
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

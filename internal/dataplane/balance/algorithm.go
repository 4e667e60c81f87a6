package balance

import (
	"math"
	"net/netip"

	"poise/internal/dataplane"
)

// candidates are the members among which an algorithm chooses: usable, of a weight, not tried yet, and of one rank. There is
// at least one.
type candidates struct {
	members []*Member
	turn    int // which of the members' turns this pick looks at and moves: those of first picks or of failover picks
	memory  *memory
}

// The turns of a tally. Failover picks leave those of first picks alone.
const (
	firstTurn = iota
	failoverTurn
)

// rank says who is asked before whom: primaries before backups, those who answer before those who rest.
func (m *Member) rank() (rank int) {
	if m.rests() {
		rank++
	}
	if m.Backup {
		rank += 2
	}
	return rank
}

// candidates are the members of the first rank that has any. The caller holds the memory's lock.
func (b *Balancer) candidates(tried []*Member) candidates {
	c := candidates{members: b.scratch[:0], memory: b.memory, turn: firstTurn}
	if len(tried) > 0 {
		c.turn = failoverTurn
	}
	best := 0
	for _, m := range b.eligible {
		if !b.usable(m) || contains(tried, m) {
			continue
		}
		switch rank := m.rank(); {
		case len(c.members) > 0 && rank > best:
			continue
		case rank < best:
			c.members = c.members[:0]
			fallthrough
		default:
			best = rank
			c.members = append(c.members, m)
		}
	}
	return c
}

// pick chooses by the algorithm.
func (c candidates) pick(algorithm dataplane.Algorithm, client netip.AddrPort) *Member {
	switch algorithm {
	case dataplane.LeastConnections:
		return c.leastConnections()
	case dataplane.SourceIP:
		return c.rendezvous(hashAddr(client.Addr()))
	case dataplane.SourceIPPort:
		return c.rendezvous(mix(hashAddr(client.Addr()) + uint64(client.Port())))
	default:
		return c.roundRobin()
	}
}

// roundRobin is smooth weighted round robin: everybody gains its weight, the highest is chosen and pays the sum. Over
// one cycle each member gets its weight's share, spread out rather than in bursts.
func (c candidates) roundRobin() *Member {
	if c.turn == firstTurn {
		c.restartOnChange()
	}
	var best *Member
	sum := 0
	for _, m := range c.members {
		turn := &m.tally.turns[c.turn]
		*turn += m.Weight
		sum += m.Weight
		if best == nil || *turn > best.tally.turns[c.turn] {
			best = m
		}
	}
	best.tally.turns[c.turn] -= sum
	return best
}

// restartOnChange begins a new cycle when other members or other weights take part than in the last pick. What a
// member owes from a cycle with a weight of 256 would keep it waiting for 256 picks in one with weights of 1.
func (c candidates) restartOnChange() {
	var field uint64
	for _, m := range c.members {
		field += m.share
	}
	if field == c.memory.field {
		return
	}
	c.memory.field = field
	for _, m := range c.members {
		m.tally.turns = [2]int{}
	}
}

// leastConnections takes the member with the fewest connections for its weight. Equal ones share by round robin:
// an idle pool would otherwise send everything to its first member.
func (c candidates) leastConnections() *Member {
	c.memory.field = 0 // turns mean something else here: round robin, if it follows, begins a new cycle
	var best *Member
	for _, m := range c.members {
		m.tally.turns[c.turn] += m.Weight
		if best == nil || c.lighter(m, best) {
			best = m
		}
	}
	best.tally.turns[c.turn] = 0
	return best
}

func (c candidates) lighter(a, b *Member) bool {
	loadA, loadB := a.Active()*int64(b.Weight), b.Active()*int64(a.Weight)
	if loadA != loadB {
		return loadA < loadB
	}
	return a.tally.turns[c.turn] > b.tally.turns[c.turn]
}

// rendezvous is weighted highest-random-weight hashing: each member draws a number for the client and the highest wins.
// A member that goes takes only its own clients along, one that comes takes only its share.
func (c candidates) rendezvous(client uint64) *Member {
	var best *Member
	var bestScore float64
	for _, m := range c.members {
		if score := draw(m.seed, client, m.Weight); best == nil || score > bestScore {
			best, bestScore = m, score
		}
	}
	return best
}

// draw is an exponentially distributed number with the weight as its mean's share: -weight / ln(u), u in (0,1).
func draw(seed, client uint64, weight int) float64 {
	u := (float64(mix(seed^client)>>11) + 0.5) / (1 << 53)
	return -float64(weight) / math.Log(u)
}

// mix is the finaliser of SplitMix64: every input bit moves every output bit.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// hashString is FNV-1a, 64 bits.
func hashString(s string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return mix(h)
}

func hashAddr(a netip.Addr) uint64 {
	var h uint64
	for _, b := range a.Unmap().As16() {
		h = (h ^ uint64(b)) * 0x100000001b3
	}
	return mix(h)
}

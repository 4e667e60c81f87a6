package proxy

import "time"

const (
	// turnNs is how long, in nanoseconds, a loop works for one load balancer in each round. A
	// request takes some five rounds: that is how often it waits for a busy neighbour.
	turnNs = 500_000
	// timersPerRound is how many timers fire in one round: connections that were opened together
	// time out together.
	timersPerRound = 256
)

// turn is what a load balancer has in one loop: what it has used of this round, and what waits for
// the next one.
type turn struct {
	round  uint64
	usedNs int64
	held   queue[later]      // has events
	unread queue[unfinished] // had more to do than one turn allows
	busy   bool              // is in the loop's list of those that have something waiting
	_      [64]byte          // loops run on different processors
}

// later names what has events.
type later struct {
	place      uint32
	generation int32
	kind       int
}

// unfinished had more to do than one turn allows.
type unfinished interface{ goOn() }

// queue is a list, first in, first out.
type queue[T any] struct {
	items []T
	head  int
}

func (q *queue[T]) len() int { return len(q.items) - q.head }

func (q *queue[T]) push(item T) {
	if len(q.items) == cap(q.items) && q.head >= len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, item)
}

func (q *queue[T]) pop() T {
	var none T
	item := q.items[q.head]
	q.items[q.head] = none
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return item
}

// hasHadTurn says that a load balancer has used its part of this round.
func (l *loop) hasHadTurn(s *Server) bool {
	t := &s.turns[l.index]
	return t.round == l.round && t.usedNs >= l.engine.turnNs
}

// charge counts the time since the last call, or since the round began, as used by a load balancer.
func (l *loop) charge(s *Server) {
	t := &s.turns[l.index]
	if t.round != l.round {
		t.round, t.usedNs = l.round, 0
	}
	t.usedNs += l.chargeNobody()
}

// chargeNobody returns the time since the last charge, so that the next one does not count it.
func (l *loop) chargeNobody() (ns int64) {
	last := l.chargedNs
	l.chargedNs = int64(time.Since(processStart))
	return l.chargedNs - last
}

// hold keeps events for the next round when their load balancer has had its turn. They are added to
// held.
func (l *loop) hold(s *Server, held *uint32, at later, events uint32) bool {
	if !l.hasHadTurn(s) {
		return false
	}
	if *held == 0 {
		l.turnOf(s).held.push(at)
	}
	*held |= events
	return true
}

// takeHeld takes out the events that were held.
func takeHeld(held *uint32) (events uint32) {
	events, *held = *held, 0
	return events
}

// goOnLater has the loop go on with u after all others.
func (l *loop) goOnLater(s *Server, u unfinished) { l.turnOf(s).unread.push(u) }

// turnOf is the turn of a load balancer that has something waiting.
func (l *loop) turnOf(s *Server) *turn {
	t := &s.turns[l.index]
	if !t.busy {
		t.busy = true
		l.busy = append(l.busy, s)
	}
	return t
}

// deliverHeld delivers what was held, as far as turns allow.
func (l *loop) deliverHeld() {
	for _, s := range l.busy {
		for t := &s.turns[l.index]; t.held.len() > 0 && !l.hasHadTurn(s); {
			at := t.held.pop()
			l.deliver(at.kind, at.place, at.generation, 0)
		}
	}
}

// goOn continues what had more to do than one turn allows. What has more to do again waits for the
// next round.
func (l *loop) goOn() {
	busy := l.busy
	l.busy = l.spareBusy[:0]
	for _, s := range busy {
		t := &s.turns[l.index]
		for n := t.unread.len(); n > 0 && !l.hasHadTurn(s); n-- {
			t.unread.pop().goOn()
			l.charge(s)
		}
		if t.busy = t.held.len()+t.unread.len() > 0; t.busy {
			l.busy = append(l.busy, s)
		}
	}
	clear(busy)
	l.spareBusy = busy
}

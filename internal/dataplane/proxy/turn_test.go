package proxy

import (
	"slices"
	"testing"
	"time"
)

// task is something that goes on once, and takes longer than a turn.
type task struct {
	name string
	done *[]string
}

func (t task) goOn() {
	*t.done = append(*t.done, t.name)
	for began := time.Now(); time.Since(began) < time.Microsecond; {
	}
}

// A load balancer that has used its part of a round waits for the next one, and the others do not wait for it.
func TestLoadBalancersTakeTurns(t *testing.T) {
	l := &loop{engine: &Engine{turnNs: 1}}
	busy, other := &Server{turns: make([]turn, 1)}, &Server{turns: make([]turn, 1)}
	nextRound := func() {
		l.round++
		l.chargedNs = int64(time.Since(processStart))
	}
	var done []string
	for _, name := range []string{"busy 1", "busy 2", "busy 3"} {
		l.goOnLater(busy, task{name, &done})
	}
	l.goOnLater(other, task{"other", &done})
	for len(l.busy) > 0 {
		nextRound()
		l.goOn()
	}
	if want := []string{"busy 1", "other", "busy 2", "busy 3"}; !slices.Equal(done, want) {
		t.Errorf("%q, want %q", done, want)
	}

	nextRound()
	l.charge(busy)
	var held uint32
	if !l.hold(busy, &held, later{}, 1) || !l.hold(busy, &held, later{}, 2) || l.hold(other, &held, later{}, 4) {
		t.Error("events are not held where the turn is over, or held where it is not")
	}
	if n := busy.turns[0].held.len(); n != 1 || takeHeld(&held) != 3 || held != 0 {
		t.Errorf("two events of one connection are held as %d", n)
	}
	nextRound()
	if l.hasHadTurn(busy) {
		t.Error("the next round is no new turn")
	}
}

func TestQueueStaysSmall(t *testing.T) {
	var q queue[int]
	q.push(0)
	for n := 1; n < 10_000; n++ {
		q.push(n)
		if got := q.pop(); got != n-1 {
			t.Fatalf("%d, want %d", got, n-1)
		}
	}
	if q.len() != 1 || cap(q.items) > 16 {
		t.Errorf("%d in it, room for %d", q.len(), cap(q.items))
	}
}

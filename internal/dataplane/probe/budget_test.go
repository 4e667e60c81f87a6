package probe

import (
	"fmt"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
)

// silent gives a prober members that never answer, and a monitor that waits long for each.
func (s *stage) silent(members int, timeout time.Duration) {
	s.block = true
	m := monitor(1, 1)
	m.Delay, m.Timeout = time.Second, timeout
	var all []dataplane.Member
	for i := range members {
		all = append(all, dataplane.Member{ID: fmt.Sprint(i), Address: at, Probe: at})
	}
	s.Apply(config(m, all...))
}

// noticing is how long it takes until the death of a member is reported, beside load balancers of silent members.
func noticing(t *testing.T, silent int, timeout time.Duration) (took time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(200)
		var others []*stage
		for range silent {
			s := newStageIn(budget)
			defer s.Close()
			s.silent(500, timeout)
			others = append(others, s)
			time.Sleep(time.Second)
		}
		s := newStageIn(budget)
		defer s.Close()
		m := monitor(2, 3)
		m.Delay, m.Timeout = 2*time.Second, time.Second
		s.Apply(config(m, one))
		s.next(time.Minute)
		s.answer(unix.ECONNREFUSED)
		died := time.Now()
		for len(s.next(100*time.Millisecond)) == 0 {
			if time.Since(died) > time.Hour {
				t.Fatal("not noticed within an hour")
			}
		}
		took = time.Since(died)
		sum := 0
		for _, other := range others {
			other.mu.Lock()
			if other.busy < 200/(silent+1) {
				t.Errorf("one of the silent has %d checks under way, which is less than its share", other.busy)
			}
			sum += other.busy
			other.mu.Unlock()
		}
		if sum > 200 {
			t.Errorf("%d checks under way, more than the budget", sum)
		}
	})
	return took
}

// TestSilentMembersOfOthers notices a dead member within three times the quiet time, whatever other load balancers wait for.
func TestSilentMembersOfOthers(t *testing.T) {
	quiet := noticing(t, 0, 0)
	for _, silent := range []int{3, 20} {
		for _, timeout := range []time.Duration{10 * time.Second, time.Hour} {
			if took := noticing(t, silent, timeout); took > 3*quiet {
				t.Errorf("beside %d load balancers of members that are silent for %s: noticed within %s, %s when all is quiet", silent, timeout, took, quiet)
			}
		}
	}
}

// TestSilentMembersAreFoundDead holds that load balancers above their share still find all of their members dead: what ends for
// others is made again.
func TestSilentMembersAreFoundDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(40)
		var all []*stage
		for range 4 {
			s := newStageIn(budget)
			defer s.Close()
			s.silent(100, 3*time.Second)
			all = append(all, s)
		}
		time.Sleep(5 * time.Minute)
		for i, s := range all {
			for _, h := range s.Snapshot() {
				if h.State != dataplane.HealthDown {
					t.Errorf("prober %d: member %s is %s", i, h.MemberID, h.State)
				}
			}
		}
	})
}

// TestBudgetLeavesNothing holds that a budget whose probers are gone is whole again.
func TestBudgetLeavesNothing(t *testing.T) {
	budget := NewBudget(10)
	synctest.Test(t, func(*testing.T) {
		var all []*stage
		for range 5 {
			s := newStageIn(budget)
			s.silent(20, time.Minute)
			all = append(all, s)
		}
		time.Sleep(10 * time.Second)
		for _, s := range all {
			s.Close()
		}
	})
	if budget.used != 0 || budget.active != 0 || len(budget.holders) != 0 || len(budget.waiting) != 0 {
		t.Errorf("%d used, %d active, %d hold, %d wait", budget.used, budget.active, len(budget.holders), len(budget.waiting))
	}
}

// countingNet counts the sockets that are being opened.
type countingNet struct {
	hostNet
	now, most, all *atomic.Int64
}

func (n countingNet) Socket(family, kind int) (int, error) {
	n.most.Store(max(n.most.Load(), n.now.Add(1)))
	defer n.now.Add(-1)
	n.all.Add(1)
	runtime.Gosched() // whoever may come in as well does
	return n.hostNet.Socket(family, kind)
}

// However many members are due at once, their sockets are opened one after the other, those of several load balancers too.
func TestSocketsAreOpenedOneByOne(t *testing.T) {
	at := serve(t, func(c net.Conn) { _ = c.Close() })
	counting := countingNet{now: new(atomic.Int64), most: new(atomic.Int64), all: new(atomic.Int64)}
	budget := NewBudget(1000)
	const members = 200
	for range 2 {
		var all []dataplane.Member
		for i := range members {
			all = append(all, dataplane.Member{ID: fmt.Sprint(i), Address: at, Probe: at})
		}
		m := monitor(1, 1)
		m.Delay, m.Timeout = time.Hour, time.Minute
		p := New(counting, budget, func(dataplane.Health) {})
		defer p.Close()
		p.Apply(config(m, all...))
	}
	for deadline := time.Now().Add(time.Minute); counting.all.Load() < 2*members; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d sockets were opened", counting.all.Load(), 2*members)
		}
	}
	if most := counting.most.Load(); most != 1 {
		t.Errorf("%d sockets were being opened at once", most)
	}
}

package probe

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// maxConcurrentChecks of one load balancer are under way, if the [Budget] lets it have them; further ones wait for their turn, the
// longest due first. Members that do not answer keep theirs until the timeout, and the more there are of them, the sooner it
// should be known.
const maxConcurrentChecks = 1024

// turn is a member's place in the schedule. Times are of the start of a check, so that slow checks are as frequent as
// others.
type turn struct {
	due     time.Time
	place   int // in the queue; or notQueued
	checked bool
	began   time.Time          // of the check under way
	stop    context.CancelFunc // of the check under way; nil: none
	over    bool               // nobody is interested in what the check under way finds
	cut     bool               // the check under way ends for those of other load balancers, and is made again
}

const notQueued = -1

// schedule has the member checked at that time. The caller holds mu.
func (p *Prober) schedule(m *member, due time.Time) {
	m.turn.due = due
	heap.Push(&p.queue, m)
	signal(p.stir)
}

// unschedule takes the member out, and ends the check that is under way. The caller holds mu.
func (p *Prober) unschedule(m *member) {
	m.turn.over = true
	if m.turn.place != notQueued {
		heap.Remove(&p.queue, m.turn.place)
	}
	if m.turn.stop != nil {
		m.turn.stop()
	}
}

// runSchedule starts checks when they are due, until the prober is closed.
func (p *Prober) runSchedule() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-p.stir:
		case <-p.ctx.Done():
			return
		}
		p.cutOwed()
		if wait, any := p.startDue(); any {
			timer.Reset(wait)
		}
	}
}

// startDue starts the checks that are due, and says when the next one will be, if any is waiting for its time.
func (p *Prober) startDue() (wait time.Duration, any bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for len(p.running) < maxConcurrentChecks && len(p.queue) > 0 && p.ctx.Err() == nil {
		m := p.queue[0]
		if wait := m.turn.due.Sub(now); wait > 0 {
			p.account.rest()
			return wait, true
		}
		if !p.account.take() {
			return 0, false
		}
		heap.Pop(&p.queue)
		p.start(m, now)
	}
	p.account.rest()
	return 0, false
}

// cutOwed ends as many checks as other load balancers have a right to: the youngest, which lose least.
func (p *Prober) cutOwed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	owed := p.account.owes() - p.cutting
	if owed <= 0 {
		return
	}
	var whole []*member
	for m := range p.running {
		if !m.turn.cut {
			whole = append(whole, m)
		}
	}
	slices.SortFunc(whole, func(x, y *member) int { return y.turn.began.Compare(x.turn.began) })
	for _, m := range whole[:min(owed, len(whole))] {
		m.turn.cut = true
		m.turn.stop()
		p.cutting++
	}
}

// start checks a member. The caller holds mu.
func (p *Prober) start(m *member, now time.Time) {
	var ctx context.Context
	ctx, m.turn.stop = context.WithDeadline(p.ctx, now.Add(m.way.monitor.Timeout))
	m.turn.began = now
	p.running[m] = true
	p.wg.Go(func() {
		err := m.way.check(ctx, p.net, m.way, m.probe)
		p.end(m, now, err)
	})
}

// end takes the result of a check that began at that time.
func (p *Prober) end(m *member, began time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.turn.stop()
	m.turn.stop = nil
	delete(p.running, m)
	p.account.give()
	signal(p.stir)
	cut := m.turn.cut
	if cut {
		m.turn.cut = false
		p.cutting--
	}
	switch {
	case m.turn.over || p.ctx.Err() != nil:
	case cut:
		p.schedule(m, m.turn.due)
	default:
		p.note(m, began, err)
		p.schedule(m, began.Add(m.pause()))
	}
}

// pause is the time from one check to the next. The second check comes early by a random part of the delay, so that
// members which were configured together are not checked together for ever.
func (m *member) pause() time.Duration {
	delay := m.way.monitor.Delay
	if !m.turn.checked {
		m.turn.checked = true
		return delay/2 + rand.N(delay/2)
	}
	return delay
}

// queue holds the members that wait, the next one first (container/heap).
type queue []*member

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].turn.due.Before(q[j].turn.due) }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].turn.place, q[j].turn.place = i, j
}

// Push is for container/heap.
func (q *queue) Push(x any) {
	m := x.(*member)
	m.turn.place = len(*q)
	*q = append(*q, m)
}

// Pop is for container/heap.
func (q *queue) Pop() any {
	last := len(*q) - 1
	m := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	m.turn.place = notQueued
	return m
}

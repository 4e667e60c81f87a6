// Package probe checks the health of the members of one load balancer.
//
// A [Prober] is given a configuration. Its schedule (schedule.go) knows when each member is due and has a bounded number
// of checks under way at once, so that a member costs a record of some hundred bytes and no goroutine. All probers share
// the checks that may be under way in the process (budget.go). What a check finds goes into the member's record (record.go: the rules of going up and down) and its history (history.go); every
// change of a record is reported. How the members of a pool are checked is the pool's way (way.go), and how to check is
// one function for each monitor type (check.go and the files after it).
package probe

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"poise/internal/dataplane"
)

// Prober checks the members of one load balancer.
type Prober struct {
	net    dataplane.Net
	checks map[dataplane.MonitorType]check
	wg     sync.WaitGroup
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	stir   chan struct{} // something is due earlier, or there is room for a check again
	wake   chan struct{} // there is something to report

	mu      sync.Mutex // guards what follows
	ways    map[string]*way
	members map[key]*member
	changed map[key]bool // to be reported
	queue   queue
	running map[*member]bool // whose checks are under way
	cutting int              // of them, those that end for other load balancers

	account *account // of the budget that all load balancers share
}

type key struct{ poolID, memberID string }

// target is what is checked and how. Two equal targets are checked alike.
type target struct {
	key
	probe netip.AddrPort
	way   *way // nil: not checked
}

// member is one target with what its checks have found.
type member struct {
	target
	record  record
	history history
	turn    turn
}

// New makes a prober with nothing to check yet. report gets every change of a member's state or reason, at once, one
// at a time and from a goroutine of the prober; of changes that come faster than it returns it gets the last. The
// budget is shared with other probers. The caller closes the prober.
func New(network dataplane.Net, budget *Budget, report func(dataplane.Health)) *Prober {
	return newProber(network, budget, report, checks)
}

func newProber(
	network dataplane.Net, budget *Budget, report func(dataplane.Health), checks map[dataplane.MonitorType]check,
) *Prober {
	p := &Prober{
		net: patientNet{network, budget.opening}, checks: checks, stir: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		members: map[key]*member{}, changed: map[key]bool{}, running: map[*member]bool{},
	}
	p.account = budget.newAccount(func() { signal(p.stir) })
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.wg.Go(p.runSchedule)
	p.wg.Go(func() { p.reportChanges(report) })
	return p
}

// Apply checks the members of cfg from now on, and no others. A member keeps its state as long as its id, the address
// that is probed and the type of the monitor stay the same.
func (p *Prober) Apply(cfg *dataplane.Config) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return
	}
	p.ways = p.newWays(cfg)
	wanted := map[key]bool{}
	for _, pool := range cfg.Pools {
		for _, m := range pool.Members {
			t := target{key: key{pool.ID, m.ID}, probe: m.Probe}
			if !m.Disabled {
				t.way = p.ways[pool.ID].to(m)
			}
			wanted[t.key] = true
			p.set(t)
		}
	}
	for k, m := range p.members {
		if !wanted[k] {
			p.unschedule(m)
			delete(p.members, k)
			delete(p.changed, k)
		}
	}
}

// set makes the member be checked as t says. The caller holds mu.
func (p *Prober) set(t target) {
	old := p.members[t.key]
	if old != nil && old.target == t {
		return
	}
	m := &member{target: t, turn: turn{place: notQueued}}
	if old != nil {
		p.unschedule(old)
	}
	if old != nil && old.probe == t.probe && old.way.monitorType() == t.way.monitorType() {
		m.record, m.history = old.record, old.history
	} else {
		m.record = newRecord(t.way != nil, time.Now())
		p.announce(t.key)
	}
	p.members[t.key] = m
	if t.way != nil {
		p.schedule(m, time.Now())
	}
}

// note takes what a check has found. The caller holds mu.
func (p *Prober) note(m *member, began time.Time, err error) {
	now := time.Now()
	if isShortage(err) {
		return
	}
	before := m.record
	if err != nil {
		m.record.reason = explain(err, m.way.subject(m.probe), m.way.monitor.Timeout)
	}
	var unmade unable
	if !errors.As(err, &unmade) {
		m.record.note(&m.way.monitor, err == nil, now)
	}
	if m.record.state != before.state || m.record.reason != before.reason {
		p.announce(m.key)
	}
	found := dataplane.Probe{
		Time: began, Count: 1, OK: err == nil, Duration: now.Sub(began), Changed: m.record.state != before.state,
	}
	if err != nil {
		found.Reason = m.record.reason
	}
	m.history.add(found)
}

// announce has the change reported. The caller holds mu.
func (p *Prober) announce(k key) {
	p.changed[k] = true
	signal(p.wake)
}

// signal leaves word for whoever reads from c, once is enough.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (p *Prober) reportChanges(report func(dataplane.Health)) {
	for {
		select {
		case <-p.wake:
		case <-p.ctx.Done():
			return
		}
		for _, h := range p.takeChanges() {
			report(h)
		}
	}
}

func (p *Prober) takeChanges() []dataplane.Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	var changes []dataplane.Health
	for k := range p.changed {
		changes = append(changes, p.members[k].health())
	}
	clear(p.changed)
	return changes
}

// Snapshot is the health of every configured member.
func (p *Prober) Snapshot() []dataplane.Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]dataplane.Health, 0, len(p.members))
	for _, m := range p.members {
		all = append(all, m.health())
	}
	return all
}

func (m *member) health() dataplane.Health {
	return dataplane.Health{
		PoolID: m.poolID, MemberID: m.memberID, State: m.record.state, Reason: m.record.reason, Since: m.record.since,
	}
}

// History is what the checks of a member have found, the oldest first; nil for a member that is not known.
func (p *Prober) History(poolID, memberID string) []dataplane.Probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.members[key{poolID, memberID}]
	if m == nil {
		return nil
	}
	return m.history.all()
}

// Close ends all checks and waits for them; nothing is reported afterwards. It must not be called from report.
func (p *Prober) Close() {
	p.mu.Lock() // a check that starts right now still adds to wg
	p.cancel()
	p.mu.Unlock()
	p.wg.Wait()
	p.account.rest()
}

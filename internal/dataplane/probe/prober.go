// Package probe checks the health of the members of one load balancer.
//
// A [Prober] is given a configuration and has one goroutine for each member that is to be checked. What the goroutine
// finds goes into the member's record (record.go: the rules of going up and down); every change of a record is
// reported. How to check is one function for each monitor type (check.go).
package probe

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"poise/internal/dataplane"
)

const (
	// maxConcurrentChecks of one load balancer are under way; further ones wait for their turn.
	maxConcurrentChecks = 128
	// shortestDelay and shortestTimeout stand in for 0, which Octavia accepts.
	shortestDelay   = time.Second
	shortestTimeout = time.Second
)

// Prober checks the members of one load balancer.
type Prober struct {
	net    dataplane.Net
	checks map[dataplane.MonitorType]check
	slots  chan struct{} // holds one token for each check under way
	wg     sync.WaitGroup
	cancel context.CancelFunc
	ctx    context.Context // ends with Close

	mu      sync.Mutex // guards what follows
	members map[key]*member
	changed map[key]bool // to be reported
	wake    chan struct{}
}

type key struct{ poolID, memberID string }

// member is one member's record and, if it is checked, what stops its goroutine.
type member struct {
	target target
	record record
	stop   context.CancelFunc
}

// target is what is checked and how. Two equal targets need no new goroutine.
type target struct {
	key
	member  dataplane.Member
	monitor dataplane.Monitor // the zero Monitor: not checked
}

// New makes a prober with nothing to check yet. report gets every change of a member's state or reason, at once, one
// at a time and from a goroutine of the prober; of changes that come faster than it returns it gets the last. The
// caller closes the prober.
func New(network dataplane.Net, report func(dataplane.Health)) *Prober {
	return newProber(network, report, checks)
}

func newProber(network dataplane.Net, report func(dataplane.Health), checks map[dataplane.MonitorType]check) *Prober {
	p := &Prober{
		net: network, checks: checks,
		slots:   make(chan struct{}, maxConcurrentChecks),
		members: map[key]*member{}, changed: map[key]bool{}, wake: make(chan struct{}, 1),
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
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
	wanted := map[key]bool{}
	for _, pool := range cfg.Pools {
		for _, m := range pool.Members {
			t := newTarget(pool, m)
			wanted[t.key] = true
			p.set(t)
		}
	}
	for k, m := range p.members {
		if !wanted[k] {
			m.stop()
			delete(p.members, k)
			delete(p.changed, k)
		}
	}
}

func newTarget(pool dataplane.Pool, m dataplane.Member) target {
	t := target{key: key{pool.ID, m.ID}, member: m}
	t.member.Weight, t.member.Backup = 0, false // of no interest to a check
	if pool.Monitor == nil || m.Disabled {
		return t
	}
	t.monitor = *pool.Monitor
	if t.monitor.Delay <= 0 {
		t.monitor.Delay = shortestDelay
	}
	if t.monitor.Timeout <= 0 {
		t.monitor.Timeout = shortestTimeout
	}
	return t
}

// set makes the member be checked as t says. The caller holds mu.
func (p *Prober) set(t target) {
	old := p.members[t.key]
	if old != nil && old.target == t {
		return
	}
	m := &member{target: t, stop: func() {}}
	if old != nil {
		old.stop()
	}
	if old != nil && old.target.member.Probe == t.member.Probe && old.target.monitor.Type == t.monitor.Type {
		m.record = old.record
	} else {
		m.record = newRecord(p.checks[t.monitor.Type] != nil, time.Now())
		p.announce(t.key)
	}
	p.members[t.key] = m
	if check := p.checks[t.monitor.Type]; check != nil {
		ctx, stop := context.WithCancel(p.ctx)
		m.stop = stop
		p.wg.Go(func() { p.watch(ctx, m, check) })
	}
}

// watch checks one member at once and then at its delay. The second check comes early by a random part of the delay,
// so that members which were configured together are not checked together for ever.
func (p *Prober) watch(ctx context.Context, m *member, check check) {
	delay := m.target.monitor.Delay
	wait := delay/2 + rand.N(delay/2)
	for {
		next := time.Now().Add(wait)
		if !p.checkOnce(ctx, m, check) {
			return
		}
		select {
		case <-time.After(time.Until(next)):
		case <-ctx.Done():
			return
		}
		wait = delay
	}
}

// checkOnce says false when the prober has lost interest meanwhile.
func (p *Prober) checkOnce(ctx context.Context, m *member, check check) bool {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	checkCtx, cancel := context.WithTimeout(ctx, m.target.monitor.Timeout)
	err := check(checkCtx, p.net, m.target.member.Probe)
	cancel()
	<-p.slots

	p.mu.Lock()
	defer p.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	if isOwnFault(err) {
		return true
	}
	if m.record.note(m.target, err, time.Now()) {
		p.announce(m.target.key)
	}
	return true
}

// announce has the change reported. The caller holds mu.
func (p *Prober) announce(k key) {
	p.changed[k] = true
	select {
	case p.wake <- struct{}{}:
	default: // is awake already
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
	var all []dataplane.Health
	for _, m := range slices.Collect(maps.Values(p.members)) {
		all = append(all, m.health())
	}
	return all
}

func (m *member) health() dataplane.Health {
	return dataplane.Health{
		PoolID: m.target.poolID, MemberID: m.target.memberID,
		State: m.record.state, Reason: m.record.reason, Since: m.record.since,
	}
}

// Close ends all checks and waits for them; nothing is reported afterwards. It must not be called from report.
func (p *Prober) Close() {
	p.mu.Lock() // an Apply under way still adds to wg
	p.cancel()
	p.mu.Unlock()
	p.wg.Wait()
}

package lb

import (
	"fmt"
	"time"
)

// Seen is what a node saw of the generation it serves.
type Seen struct {
	Listeners map[string]SeenListener // by id; one that is missing is not served
	Members   map[string]SeenMember   // by id
	// Uncarried are the listeners, pools and health monitors that the data plane cannot serve, by id, and why: a sentence for
	// people.
	Uncarried map[string]string
	// Doubtful are the listeners and pools that are served although something is wrong with them, by id, and what.
	Doubtful map[string]string
	// Unreachable are the members to which no way leads from the load balancer, by id, and why.
	Unreachable map[string]string
}

// SeenListener is the state of a served listener.
type SeenListener struct {
	Listening bool
	Full      bool   // its connection limit is reached
	Reason    string // why it is not listening
	Trouble   string // what is wrong although it is; "": nothing
}

// SeenMember is the result of a member's health checks.
type SeenMember struct {
	Checked bool
	Up      bool
	Reason  string // what the last failed check saw
}

// Rollup computes the operating status of every object of the tree (octavia-rules.md §12). before are the statuses so
// far: an object that is not served keeps the status that it had where the rules say so, and Since moves only when
// a status changes.
func Rollup(t *LoadBalancer, seen Seen, before map[string]Status, now time.Time) map[string]Status {
	r := rollup{seen: seen, before: before, now: now, after: make(map[string]Status, len(before))}
	root := Status{Operating: Online}
	failed, serving := 0, 0     // listeners
	served := map[string]bool{} // pools that an enabled listener uses
	for _, l := range t.Listeners {
		status := r.listener(t, l)
		if status.Operating == Degraded || status.Operating == InError {
			root = worse(root, Status{Operating: Degraded, Reason: fmt.Sprintf("listener %s: %s", label(&l.Object), status.Reason)})
		}
		if status.Operating == InError {
			failed++
		} else if status.Operating != Offline {
			serving++
		}
		r.set(l.ID, status)
		if t.AdminStateUp && l.AdminStateUp && !l.Deleted && seen.Uncarried[l.ID] == "" {
			for _, pool := range l.PoolIDs() {
				served[pool] = true
			}
		}
		r.policies(l)
	}
	if failed > 0 && serving == 0 {
		root.Operating = InError
	}
	for _, p := range t.Pools {
		status := r.pool(p, served[p.ID] && p.AdminStateUp)
		if status.Operating == Degraded || status.Operating == InError {
			root = worse(root, Status{Operating: status.Operating, Reason: fmt.Sprintf("pool %s: %s", label(&p.Object), status.Reason)})
		} else if root.Reason == "" && status.Reason != "" { // the load balancer stays as it is, but says it
			root.Reason = fmt.Sprintf("pool %s: %s", label(&p.Object), status.Reason)
		}
		r.set(p.ID, status)
		if p.Monitor != nil {
			r.set(p.Monitor.ID, r.monitor(p.Monitor))
		}
	}
	if !t.AdminStateUp {
		root = Status{Operating: Offline}
	}
	r.set(t.ID, root)
	return r.after
}

type rollup struct {
	seen          Seen
	before, after map[string]Status
	now           time.Time
}

// set records a status; it keeps the time of entry when the status is the one it was.
func (r *rollup) set(id string, s Status) {
	s.Since = r.now
	if old, ok := r.before[id]; ok && old.Operating == s.Operating {
		s.Since = old.Since
	}
	r.after[id] = s
}

func (r *rollup) listener(t *LoadBalancer, l *Listener) Status {
	state, served := r.seen.Listeners[l.ID]
	switch {
	case !t.AdminStateUp || !l.AdminStateUp:
		return Status{Operating: Offline}
	case r.seen.Uncarried[l.ID] != "":
		return Status{Operating: InError, Reason: r.seen.Uncarried[l.ID]}
	case !served:
		return Status{Operating: Offline}
	case !state.Listening:
		return Status{Operating: InError, Reason: state.Reason}
	case state.Full:
		return Status{Operating: Degraded, Reason: "the connection limit is reached"}
	case state.Trouble != "":
		return Status{Operating: Degraded, Reason: state.Trouble}
	case r.seen.Doubtful[l.ID] != "":
		return Status{Operating: Degraded, Reason: r.seen.Doubtful[l.ID]}
	default:
		return Status{Operating: Online}
	}
}

// policies sets the statuses of a listener's policies and rules: nobody observes these.
func (r *rollup) policies(l *Listener) {
	for _, p := range l.Policies {
		r.set(p.ID, Status{Operating: upOr(p.AdminStateUp, Offline)})
		for _, rule := range p.Rules {
			r.set(rule.ID, Status{Operating: upOr(rule.AdminStateUp, Offline)})
		}
	}
}

// monitor is ONLINE whenever it is enabled, as in Octavia; one that is not carried out says so in its reason, and
// shows in its members, which stay unchecked.
func (r *rollup) monitor(m *HealthMonitor) Status {
	return Status{Operating: upOr(m.AdminStateUp, Offline), Reason: r.seen.Uncarried[m.ID]}
}

// pool computes the pool's status and its members'. A pool that is not served is OFFLINE.
func (r *rollup) pool(p *Pool, served bool) Status {
	members, usable, down, reason := 0, 0, 0, ""
	for _, m := range p.Members {
		status := r.member(p, m)
		if !served || r.seen.Uncarried[p.ID] != "" {
			status = r.idleMember(p, m)
		}
		r.set(m.ID, status)
		if m.Deleted {
			continue
		}
		members++
		if m.Weight > 0 && (status.Operating == Online || status.Operating == NoMonitor) {
			usable++
		}
		if status.Operating == InError {
			down++
			reason = status.Reason
		}
	}
	switch {
	case !served:
		return Status{Operating: Offline}
	case r.seen.Uncarried[p.ID] != "":
		return Status{Operating: InError, Reason: r.seen.Uncarried[p.ID]}
	case members == 0:
		return Status{Operating: Online, Reason: "the pool has no members, so it serves nobody"}
	case usable == 0 && down == 0:
		return Status{Operating: InError, Reason: "every member is disabled or has weight 0"}
	case usable == 0:
		return Status{Operating: InError, Reason: "no member is usable: " + reason}
	case down > 0:
		return Status{Operating: Degraded, Reason: fmt.Sprintf("%d of %d members down: %s", down, members, reason)}
	case r.seen.Doubtful[p.ID] != "":
		return Status{Operating: Degraded, Reason: r.seen.Doubtful[p.ID]}
	default:
		return Status{Operating: Online}
	}
}

func (r *rollup) member(p *Pool, m *Member) Status {
	checked := p.Monitor != nil && p.Monitor.AdminStateUp && !p.Monitor.Deleted && r.seen.Uncarried[p.Monitor.ID] == ""
	probe := r.seen.Members[m.ID]
	switch {
	case !m.AdminStateUp:
		return Status{Operating: Offline}
	case r.seen.Unreachable[m.ID] != "":
		return Status{Operating: InError, Reason: r.seen.Unreachable[m.ID]}
	case checked && probe.Checked && !probe.Up:
		return Status{Operating: InError, Reason: probe.Reason}
	case m.Weight == 0:
		return Status{Operating: Draining}
	case checked && probe.Reason != "": // it has recovered; why it was down stays known until it fails again
		return Status{Operating: Online, Reason: "the last check that failed saw: " + probe.Reason}
	case checked:
		return Status{Operating: Online}
	default:
		return Status{Operating: NoMonitor}
	}
}

// idleMember is the status of a member whose pool is not served: what the last check found stays, and one that was never
// checked is OFFLINE. NO_MONITOR stays with no monitor: whether somebody has looked before the monitor came must not count.
func (r *rollup) idleMember(p *Pool, m *Member) Status {
	before, known := r.before[m.ID]
	switch {
	case !m.AdminStateUp:
		return Status{Operating: Offline}
	case p.Monitor == nil || p.Monitor.Deleted:
		return Status{Operating: NoMonitor}
	case known && before.Operating != NoMonitor:
		return before
	default:
		return Status{Operating: Offline}
	}
}

// worse is the more severe of two statuses of a load balancer: ERROR, then DEGRADED, then ONLINE.
func worse(a, b Status) Status {
	severity := map[OperatingStatus]int{Online: 0, Degraded: 1, InError: 2}
	if severity[b.Operating] > severity[a.Operating] {
		return b
	}
	return a
}

func upOr(up bool, otherwise OperatingStatus) OperatingStatus {
	if up {
		return Online
	}
	return otherwise
}

// label names an object for people: its name where it has one.
func label(o *Object) string {
	if o.Name != "" {
		return o.Name
	}
	return o.ID
}

package exposition

import (
	"cmp"
	"slices"

	"poise/internal/dataplane"
)

// view is a snapshot as the families look at it: a pool and its members stand below each listener that uses them.
type view struct {
	balancer  balancer
	listeners []listener
	pools     []pool
	members   []member
}

type balancer struct {
	listeners, limit int64
	sum              dataplane.Counters
}

func (balancer) labels() []label { return nil }

type listener struct {
	id       string
	isHTTP   bool
	limit    int64
	state    dataplane.ListenerState
	counters dataplane.Counters
}

func (l listener) labels() []label { return []label{{"listener", l.id}} }

type pool struct {
	listenerID, id string
	isHTTP         bool
	active, backup int64 // members that can be used
	sum            dataplane.MemberCounters
}

func (p pool) labels() []label                   { return []label{{"pool", p.id}, {"listener", p.listenerID}} }
func (p pool) traffic() dataplane.MemberCounters { return p.sum }

type member struct {
	key      dataplane.MemberKey
	isHTTP   bool
	isUp     bool
	weight   int64
	counters dataplane.MemberCounters
}

func (m member) labels() []label {
	return []label{{"member", m.key.MemberID}, {"pool", m.key.PoolID}, {"listener", m.key.ListenerID}}
}
func (m member) traffic() dataplane.MemberCounters { return m.counters }

func newView(s Snapshot) view {
	var v view
	for i := range s.Config.Listeners {
		if l := &s.Config.Listeners[i]; l.Protocol != dataplane.UDP {
			v.add(s, l)
		}
	}
	slices.SortFunc(v.listeners, func(a, b listener) int { return cmp.Compare(a.id, b.id) })
	slices.SortFunc(v.pools, func(a, b pool) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.listenerID, b.listenerID))
	})
	slices.SortFunc(v.members, func(a, b member) int {
		return cmp.Or(cmp.Compare(a.key.MemberID, b.key.MemberID), cmp.Compare(a.key.PoolID, b.key.PoolID), cmp.Compare(a.key.ListenerID, b.key.ListenerID))
	})
	return v
}

// add adds a listener with the pools that it uses.
func (v *view) add(s Snapshot, l *dataplane.Listener) {
	limit := l.ConnectionLimit
	if limit <= 0 {
		limit = dataplane.DefaultConnectionLimit
	}
	seen := listener{l.ID, l.Protocol == dataplane.HTTP, int64(limit), s.States[l.ID], s.Counters[l.ID]}
	v.listeners = append(v.listeners, seen)
	v.balancer.listeners++
	v.balancer.limit += seen.limit
	v.balancer.sum.Active += seen.counters.Active
	v.balancer.sum.Total += seen.counters.Total
	v.balancer.sum.Requests += seen.counters.Requests
	v.balancer.sum.Handshakes += seen.counters.Handshakes
	used := map[string]bool{l.PoolID: true}
	if l.HTTP != nil {
		for _, p := range l.HTTP.Policies {
			used[p.PoolID] = true
		}
	}
	for i := range s.Config.Pools {
		if p := &s.Config.Pools[i]; used[p.ID] {
			v.addPool(s, seen, p)
		}
	}
}

func (v *view) addPool(s Snapshot, l listener, p *dataplane.Pool) {
	sum := pool{listenerID: l.id, id: p.ID, isHTTP: l.isHTTP}
	for _, m := range p.Members {
		seen := member{
			key:    dataplane.MemberKey{ListenerID: l.id, PoolID: p.ID, MemberID: m.ID},
			isHTTP: l.isHTTP, isUp: !m.Disabled && !s.IsDown(p.ID, m.ID), weight: int64(m.Weight),
		}
		seen.counters = s.Members[seen.key]
		v.members = append(v.members, seen)
		sum.sum = plus(sum.sum, seen.counters)
		switch {
		case !seen.isUp || m.Weight == 0:
		case m.Backup:
			sum.backup++
		default:
			sum.active++
		}
	}
	v.pools = append(v.pools, sum)
}

func plus(a, b dataplane.MemberCounters) dataplane.MemberCounters {
	a.Active += b.Active
	a.Total += b.Total
	a.BytesIn += b.BytesIn
	a.BytesOut += b.BytesOut
	a.Requests += b.Requests
	for class := range a.Responses {
		a.Responses[class] += b.Responses[class]
	}
	a.ConnectErrors += b.ConnectErrors
	a.ResponseErrors += b.ResponseErrors
	a.Redispatches += b.Redispatches
	a.ClientAborts += b.ClientAborts
	a.MemberAborts += b.MemberAborts
	a.ConnectTime += b.ConnectTime
	a.ResponseTime += b.ResponseTime
	a.TotalTime += b.TotalTime
	return a
}

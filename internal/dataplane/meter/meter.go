// Package meter counts what happens on a data plane. Whoever carries a connection or a request adds to the meters of its
// listener and of its member, without a lock; whoever reports reads them at any time.
package meter

import (
	"sync"
	"sync/atomic"
	"time"

	"poise/internal/dataplane"
)

// Listener counts for one listener (see [dataplane.Counters]).
type Listener struct {
	Active    atomic.Int64
	Total     atomic.Uint64
	BytesIn   atomic.Uint64
	BytesOut  atomic.Uint64
	Errors    atomic.Uint64
	Requests  atomic.Uint64
	Responses [6]atomic.Uint64
	Denied    atomic.Uint64

	Handshakes       atomic.Uint64
	Resumptions      atomic.Uint64
	FailedHandshakes atomic.Uint64
}

// Read is what was counted so far.
func (l *Listener) Read() dataplane.Counters {
	return dataplane.Counters{
		Active: l.Active.Load(), Total: l.Total.Load(), BytesIn: l.BytesIn.Load(), BytesOut: l.BytesOut.Load(),
		Errors: l.Errors.Load(), Requests: l.Requests.Load(), Responses: read(&l.Responses), Denied: l.Denied.Load(),
		Handshakes: l.Handshakes.Load(), Resumptions: l.Resumptions.Load(), FailedHandshakes: l.FailedHandshakes.Load(),
	}
}

// Member counts for one member of one listener (see [dataplane.MemberCounters]).
type Member struct {
	Active    atomic.Int64
	Total     atomic.Uint64
	BytesIn   atomic.Uint64
	BytesOut  atomic.Uint64
	Requests  atomic.Uint64
	Responses [6]atomic.Uint64

	ConnectErrors  atomic.Uint64
	ResponseErrors atomic.Uint64
	Redispatches   atomic.Uint64
	ClientAborts   atomic.Uint64
	MemberAborts   atomic.Uint64

	ConnectNs  atomic.Int64
	ResponseNs atomic.Int64
	TotalNs    atomic.Int64
}

// Read is what was counted so far.
func (m *Member) Read() dataplane.MemberCounters {
	return dataplane.MemberCounters{
		Active: m.Active.Load(), Total: m.Total.Load(), BytesIn: m.BytesIn.Load(), BytesOut: m.BytesOut.Load(),
		Requests: m.Requests.Load(), Responses: read(&m.Responses), ConnectErrors: m.ConnectErrors.Load(),
		ResponseErrors: m.ResponseErrors.Load(), Redispatches: m.Redispatches.Load(), ClientAborts: m.ClientAborts.Load(),
		MemberAborts: m.MemberAborts.Load(), ConnectTime: time.Duration(m.ConnectNs.Load()),
		ResponseTime: time.Duration(m.ResponseNs.Load()), TotalTime: time.Duration(m.TotalNs.Load()),
	}
}

func read(classes *[6]atomic.Uint64) (counts [6]uint64) {
	for i := range classes {
		counts[i] = classes[i].Load()
	}
	return counts
}

// Class is the place of a status in Responses.
func Class(status int) int {
	if class := status / 100; class >= 1 && class <= 5 {
		return class
	}
	return 0
}

// Members are the meters of the members that one load balancer has, or had a moment ago. It is safe for concurrent use.
type Members struct {
	mu     sync.Mutex // guards meters
	meters map[dataplane.MemberKey]*Member
}

// Get is the meter of a member, made at its first use. Look it up once for a configuration, not for each request.
func (m *Members) Get(key dataplane.MemberKey) *Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.meters == nil {
		m.meters = map[dataplane.MemberKey]*Member{}
	}
	meter := m.meters[key]
	if meter == nil {
		meter = &Member{}
		m.meters[key] = meter
	}
	return meter
}

// Keep forgets the members for which wanted says no and that are not in use.
func (m *Members) Keep(wanted func(dataplane.MemberKey) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, meter := range m.meters {
		if !wanted(key) && meter.Active.Load() == 0 {
			delete(m.meters, key)
		}
	}
}

// Read is what was counted so far.
func (m *Members) Read() map[dataplane.MemberKey]dataplane.MemberCounters {
	m.mu.Lock()
	defer m.mu.Unlock()
	counters := make(map[dataplane.MemberKey]dataplane.MemberCounters, len(m.meters))
	for key, meter := range m.meters {
		counters[key] = meter.Read()
	}
	return counters
}

package telemetry

import (
	"fmt"
	"strings"
	"time"

	"poise/internal/lb"
)

// maxEvents of one load balancer are remembered; the oldest go first.
const maxEvents = 200

// What an event tells.
const (
	StatusChanged = "status"  // the operating status of an object is another one
	Applied       = "applied" // the data plane serves a newer generation of the load balancer
	Failed        = "failed"  // a generation could not be applied; poise goes on trying
)

// Event is something that happened to a load balancer or to an object of it.
type Event struct {
	Time       time.Time          `json:"time"`
	Type       string             `json:"type"`
	ObjectType string             `json:"object_type"` // loadbalancer, listener, pool, member, healthmonitor, l7policy, l7rule
	ObjectID   string             `json:"object_id"`
	ObjectName string             `json:"object_name"`
	From       lb.OperatingStatus `json:"from,omitempty"` // of StatusChanged; "": the object is new
	To         lb.OperatingStatus `json:"to,omitempty"`
	Reason     string             `json:"reason,omitempty"` // a sentence for people
}

type eventRing struct {
	all  [maxEvents]Event
	next int // where the next one goes
	full bool
}

// Note remembers what has happened between two observations of a load balancer's tree.
func (m *Memory) Note(tree *lb.LoadBalancer, before, after lb.Observation, now time.Time) {
	events := compare(tree, before, after, now)
	if len(events) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	ring := m.events[tree.ID]
	if ring == nil {
		ring = &eventRing{}
		m.events[tree.ID] = ring
	}
	for _, e := range events {
		ring.all[ring.next] = e
		ring.next = (ring.next + 1) % maxEvents
		ring.full = ring.full || ring.next == 0
	}
}

func compare(tree *lb.LoadBalancer, before, after lb.Observation, now time.Time) (events []Event) {
	root := Event{Time: now, ObjectType: typeOf(lb.KindLoadBalancer), ObjectID: tree.ID, ObjectName: tree.Name}
	if after.Applied > before.Applied {
		root.Type, root.Reason = Applied, fmt.Sprintf("generation %d is served", after.Applied)
		events = append(events, root)
	}
	if after.Failure != "" && after.Failure != before.Failure {
		root.Type, root.Reason = Failed, after.Failure
		events = append(events, root)
	}
	tree.Walk(func(kind lb.Kind, _ string, o *lb.Object, _ any) {
		was, is := before.Status[o.ID], after.Status[o.ID]
		if is.Operating == was.Operating || is.Operating == "" {
			return
		}
		events = append(events, Event{
			Time: now, Type: StatusChanged, ObjectType: typeOf(kind), ObjectID: o.ID, ObjectName: o.Name,
			From: was.Operating, To: is.Operating, Reason: is.Reason,
		})
	})
	return events
}

// typeOf is the API's name for a kind.
func typeOf(kind lb.Kind) string { return strings.ToLower(strings.ReplaceAll(string(kind), " ", "")) }

// Events are what is remembered of a load balancer, the newest first.
func (m *Memory) Events(loadBalancerID string) []Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	events := []Event{}
	ring := m.events[loadBalancerID]
	if ring == nil {
		return events
	}
	count := ring.next
	if ring.full {
		count = maxEvents
	}
	for i := range count {
		events = append(events, ring.all[(ring.next-1-i+maxEvents)%maxEvents])
	}
	return events
}

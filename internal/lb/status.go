package lb

import (
	"maps"
	"time"
)

// ProvisioningStatus says how far the intent has come.
type ProvisioningStatus string

// The provisioning statuses of Octavia. DELETED is never shown: what is deleted is gone.
const (
	Active        ProvisioningStatus = "ACTIVE"
	Failed        ProvisioningStatus = "ERROR"
	PendingCreate ProvisioningStatus = "PENDING_CREATE"
	PendingUpdate ProvisioningStatus = "PENDING_UPDATE"
	PendingDelete ProvisioningStatus = "PENDING_DELETE"
)

// OperatingStatus says how an object does.
type OperatingStatus string

// The operating statuses of Octavia.
const (
	Online    OperatingStatus = "ONLINE"
	Offline   OperatingStatus = "OFFLINE"
	Degraded  OperatingStatus = "DEGRADED"
	InError   OperatingStatus = "ERROR"
	Draining  OperatingStatus = "DRAINING"
	NoMonitor OperatingStatus = "NO_MONITOR"
)

// Status is how one object does, and why.
type Status struct {
	Operating OperatingStatus `json:"operating"`
	// Reason is a sentence for people; "" when there is nothing to explain.
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"` // when Operating was entered
}

// Equal tells whether two statuses are the same.
func (s Status) Equal(other Status) bool {
	return s.Operating == other.Operating && s.Reason == other.Reason && s.Since.Equal(other.Since)
}

// Observation is what became of a load balancer's intent, as its node told it.
type Observation struct {
	// Applied is the highest generation that a node has acknowledged; 0 before the first.
	Applied int64 `json:"applied"`
	// FailedIn is the generation that a node failed to apply when it last tried, and Failure why; 0 when it succeeded.
	// It is Applied when the node had it already, and could not apply it again: after a restart, or at another place.
	FailedIn int64  `json:"failed_in,omitempty"`
	Failure  string `json:"failure,omitempty"`
	// Status holds the operating status of each object by its id; objects without one are new.
	Status map[string]Status `json:"status,omitempty"`
}

// Equal tells whether two observations say the same.
func (o Observation) Equal(other Observation) bool {
	return o.Applied == other.Applied && o.FailedIn == other.FailedIn && o.Failure == other.Failure &&
		maps.EqualFunc(o.Status, other.Status, Status.Equal)
}

// Snapshot is one load balancer as readers see it. It is immutable.
type Snapshot struct {
	Tree     *LoadBalancer
	Observed Observation
}

// Provisioning derives an object's provisioning status. It is PENDING only while a node has not acknowledged the
// object's last change, so it cannot be stuck: who drives the node tries again until it has.
func (s Snapshot) Provisioning(o *Object) ProvisioningStatus {
	failed := s.Observed.FailedIn > 0 && s.Observed.FailedIn >= s.Observed.Applied
	isWhole := o == &s.Tree.Object // what could not be applied again shows at the load balancer alone
	switch {
	case !o.Deleted && o.ChangedIn <= s.Observed.Applied && !(failed && isWhole):
		return Active
	case failed && o.ChangedIn <= s.Observed.FailedIn:
		return Failed
	case o.Deleted:
		return PendingDelete
	case o.CreatedIn > s.Observed.Applied:
		return PendingCreate
	default:
		return PendingUpdate
	}
}

// Operating is an object's operating status; a new object is OFFLINE.
func (s Snapshot) Operating(o *Object) OperatingStatus {
	if status, ok := s.Observed.Status[o.ID]; ok {
		return status.Operating
	}
	return Offline
}

// OperatingMember is a member's operating status; a new member of a pool without health monitor is NO_MONITOR.
func (s Snapshot) OperatingMember(p *Pool, m *Member) OperatingStatus {
	if _, known := s.Observed.Status[m.ID]; !known && (p.Monitor == nil || p.Monitor.Deleted) {
		return NoMonitor
	}
	return s.Operating(&m.Object)
}

// UpdatedAt is when an object last changed, a change of its status included; zero while it is being created
// (octavia-api.md §7).
func (s Snapshot) UpdatedAt(o *Object) time.Time {
	status := s.Observed.Status[o.ID]
	if s.Provisioning(o) == PendingCreate || status.Since.Before(o.UpdatedAt) {
		return o.UpdatedAt
	}
	return status.Since.Truncate(time.Second)
}

// Reason is the sentence that explains an object's status, "" when there is nothing to explain.
func (s Snapshot) Reason(o *Object) string {
	if s.Provisioning(o) == Failed {
		return s.Observed.Failure
	}
	return s.Observed.Status[o.ID].Reason
}

// Counters are a listener's statistics over its whole life.
type Counters struct {
	ActiveConnections int64  `json:"active_connections"`
	TotalConnections  uint64 `json:"total_connections"`
	BytesIn           uint64 `json:"bytes_in"`  // from clients
	BytesOut          uint64 `json:"bytes_out"` // to clients
	RequestErrors     uint64 `json:"request_errors"`
}

// Plus adds two counters up.
func (c Counters) Plus(d Counters) Counters {
	return Counters{
		ActiveConnections: c.ActiveConnections + d.ActiveConnections,
		TotalConnections:  c.TotalConnections + d.TotalConnections,
		BytesIn:           c.BytesIn + d.BytesIn,
		BytesOut:          c.BytesOut + d.BytesOut,
		RequestErrors:     c.RequestErrors + d.RequestErrors,
	}
}

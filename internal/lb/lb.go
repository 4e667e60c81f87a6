// Package lb is the domain: the load balancer with its listeners, pools, members and health monitors, every rule that
// holds within it, and its statuses. It is pure: no I/O, no clock, no randomness. Everyone may import it; it imports
// nobody.
//
// The load balancer is the aggregate. A change takes a tree, makes its [LoadBalancer.Next] generation, calls one
// method on that (CreateListener, UpdateMember, …), and hands the result to the store. A method that refuses returns an
// [*Error] with Octavia's words; the half-changed copy is then thrown away.
//
// Intent and observation never mix: a [LoadBalancer] says what the users want, an [Observation] what became of it,
// and a [Snapshot] joins the two for readers.
//
// Values arrive here with their types and ranges checked (that is the wire's part, with the limits named here);
// every rule that relates one attribute or object to another stands here and nowhere else.
package lb

import (
	"net/netip"
	"slices"
	"time"
)

// Limits of single attributes (octavia-resources.md).
const (
	MaxName          = 255 // characters; also of a description and a tag
	MaxProjectID     = 36
	MaxWeight        = 256
	MaxTimeoutMs     = 2_073_600_000
	MaxMonitorTries  = 10 // max_retries and max_retries_down
	MaxProviderName  = 64
	MaxZoneName      = 255
	MaxCookieName    = 255
	MaxAllowedCIDRs  = 1_000  // poise's own: entries of one listener
	MaxMembers       = 20_000 // poise's own: members of one pool
	MaxAnyInt        = 2_147_483_647
	defaultTimeoutMs = 50_000
	defaultConnectMs = 5_000
)

// Object is what all objects of a tree have in common.
type Object struct {
	ID           string    `json:"id"`
	ProjectID    string    `json:"project_id"`
	Name         string    `json:"name"`
	AdminStateUp bool      `json:"admin_state_up"`
	Tags         []string  `json:"tags,omitempty"`
	CreatedAt    time.Time `json:"created_at"`
	UpdatedAt    time.Time `json:"updated_at,omitzero"` // zero until the first change

	// CreatedIn is the generation that made the object, ChangedIn the last one that concerned it: a change of
	// its own, or of something below it.
	CreatedIn int64 `json:"created_in"`
	ChangedIn int64 `json:"changed_in"`
	// Deleted objects wait for a node to acknowledge ChangedIn, and are then gone.
	Deleted bool `json:"deleted,omitempty"`
}

// Base gives access to the common part of any object.
func (o *Object) Base() *Object { return o }

// LoadBalancer is the root of a tree.
type LoadBalancer struct {
	Object
	Description      string `json:"description"`
	Provider         string `json:"provider"` // as its creator named it: poise or an alias
	FlavorID         string `json:"flavor_id,omitempty"`
	AvailabilityZone string `json:"availability_zone,omitempty"`
	VIP              VIP    `json:"vip"`

	// Generation counts the changes of the whole tree.
	Generation int64 `json:"generation"`

	Listeners []*Listener `json:"-"`
	Pools     []*Pool     `json:"-"`

	now time.Time // of the change under way
}

// Protocol is what a listener or a pool speaks.
type Protocol string

// The protocols that poise serves; Octavia's others are refused as not supported.
const (
	TCP Protocol = "TCP"
)

// Protocols that Octavia knows, in the order of its messages.
var (
	ListenerProtocols = []string{"TCP", "HTTP", "HTTPS", "TERMINATED_HTTPS", "UDP", "SCTP", "PROMETHEUS"}
	PoolProtocols     = []string{"TCP", "HTTP", "HTTPS", "PROXY", "PROXYV2", "UDP", "SCTP"}
)

// Listener is a port on which a load balancer takes connections.
type Listener struct {
	Object
	Description            string         `json:"description"`
	Protocol               Protocol       `json:"protocol"`
	ProtocolPort           int            `json:"protocol_port"`
	ConnectionLimit        int            `json:"connection_limit"` // -1: unlimited
	DefaultPoolID          string         `json:"default_pool_id,omitempty"`
	TimeoutClientDataMs    int            `json:"timeout_client_data"`
	TimeoutMemberConnectMs int            `json:"timeout_member_connect"`
	TimeoutMemberDataMs    int            `json:"timeout_member_data"`
	TimeoutTCPInspectMs    int            `json:"timeout_tcp_inspect"`
	AllowedCIDRs           []netip.Prefix `json:"allowed_cidrs,omitempty"`
}

// Algorithm is how a pool picks a member.
type Algorithm string

// Algorithms are Octavia's four; poise serves them all.
var Algorithms = []string{"ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP", "SOURCE_IP_PORT"}

// PersistenceTypes are Octavia's kinds of session persistence.
var PersistenceTypes = []string{"SOURCE_IP", "HTTP_COOKIE", "APP_COOKIE"}

// SessionPersistence keeps a client at one member.
type SessionPersistence struct {
	Type string `json:"type"`
}

// Pool is a set of members.
type Pool struct {
	Object
	Description string              `json:"description"`
	Protocol    Protocol            `json:"protocol"`
	Algorithm   Algorithm           `json:"lb_algorithm"`
	Persistence *SessionPersistence `json:"session_persistence,omitempty"`

	Members []*Member      `json:"-"`
	Monitor *HealthMonitor `json:"-"`
}

// Member is one server of a pool.
type Member struct {
	Object
	Address        netip.Addr `json:"address"`
	ProtocolPort   int        `json:"protocol_port"`
	SubnetID       string     `json:"subnet_id,omitempty"`
	Weight         int        `json:"weight"`
	Backup         bool       `json:"backup"`
	MonitorAddress netip.Addr `json:"monitor_address,omitzero"`
	MonitorPort    int        `json:"monitor_port,omitempty"`
}

// MonitorTypes are Octavia's kinds of health check, in the order of its messages.
var MonitorTypes = []string{"PING", "TCP", "HTTP", "TLS-HELLO", "UDP-CONNECT", "HTTPS", "SCTP"}

// MonitorTCP is the health check that poise makes.
const MonitorTCP = "TCP"

// HealthMonitor says how the members of a pool are checked.
type HealthMonitor struct {
	Object
	Type           string `json:"type"`
	DelaySec       int    `json:"delay"`
	TimeoutSec     int    `json:"timeout"`
	MaxRetries     int    `json:"max_retries"`      // successes that bring a member up
	MaxRetriesDown int    `json:"max_retries_down"` // failures that take a member down
}

// Listener finds a listener by id.
func (t *LoadBalancer) Listener(id string) (*Listener, error) {
	return find(t.Listeners, KindListener, id)
}

// Pool finds a pool by id.
func (t *LoadBalancer) Pool(id string) (*Pool, error) {
	return find(t.Pools, KindPool, id)
}

// Member finds a member of the pool by id.
func (p *Pool) Member(id string) (*Member, error) {
	return find(p.Members, KindMember, id)
}

// PoolOfMonitor finds the pool that the health monitor with this id belongs to.
func (t *LoadBalancer) PoolOfMonitor(id string) (*Pool, error) {
	for _, p := range t.Pools {
		if p.Monitor != nil && p.Monitor.ID == id {
			return p, nil
		}
	}
	return nil, ErrNotFound(KindHealthMonitor, id)
}

// ListenersOf are the listeners that send traffic to the pool.
func (t *LoadBalancer) ListenersOf(poolID string) []*Listener {
	var using []*Listener
	for _, l := range t.Listeners {
		if l.DefaultPoolID == poolID {
			using = append(using, l)
		}
	}
	return using
}

// Walk visits every object of the tree: its common part and, as whole, the object itself (a *Listener, a *Member, …).
// Parents come before their children. parentID is "" for the load balancer, the load balancer's id for listeners and
// pools, and the pool's for members and health monitors.
func (t *LoadBalancer) Walk(visit func(kind Kind, parentID string, o *Object, whole any)) {
	visit(KindLoadBalancer, "", &t.Object, t)
	for _, l := range t.Listeners {
		visit(KindListener, t.ID, &l.Object, l)
	}
	for _, p := range t.Pools {
		visit(KindPool, t.ID, &p.Object, p)
		if p.Monitor != nil {
			visit(KindHealthMonitor, p.ID, &p.Monitor.Object, p.Monitor)
		}
		for _, m := range p.Members {
			visit(KindMember, p.ID, &m.Object, m)
		}
	}
}

type object interface{ Base() *Object }

func find[T object](all []T, kind Kind, id string) (T, error) {
	for _, o := range all {
		if o.Base().ID == id {
			return o, nil
		}
	}
	var none T
	return none, ErrNotFound(kind, id)
}

// clone copies a slice of objects and the objects themselves, one level deep.
func clone[T any](all []*T) []*T {
	values := make([]T, len(all)) // one allocation for all of them: pools can be large
	copies := make([]*T, len(all))
	for i, o := range all {
		values[i] = *o
		copies[i] = &values[i]
	}
	return copies
}

// normalTags are tags as they are stored: sorted, each once.
func normalTags(tags []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(tags)))
}

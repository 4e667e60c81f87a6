// Package lb is the domain: the load balancer with its listeners, pools, members, health monitors and L7 policies,
// every rule that holds within it, and its statuses. It is pure: no I/O, no clock, no randomness. Everyone may import
// it; it imports nobody.
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
	MaxCiphers       = 2_048  // characters of a list of ciphers
	MaxL7Rules       = 50     // of one policy
	MaxAllowedCIDRs  = 1_000  // poise's own: entries of one listener
	MaxMembers       = 20_000 // poise's own: members of one pool
	MaxL7Policies    = 1_000  // poise's own: policies of one listener
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
	// FailedOver is the generation of the last failover; 0 without one.
	FailedOver int64 `json:"failed_over,omitempty"`

	Listeners []*Listener `json:"-"`
	Pools     []*Pool     `json:"-"`

	now    time.Time          // of the change under way
	locked ProvisioningStatus // see [LoadBalancer.Lock]
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

// Policy finds an L7 policy by id, with the listener that it belongs to.
func (t *LoadBalancer) Policy(id string) (*Listener, *L7Policy, error) {
	for _, l := range t.Listeners {
		for _, p := range l.Policies {
			if p.ID == id {
				return l, p, nil
			}
		}
	}
	return nil, nil, ErrNotFound(KindL7Policy, id)
}

// ListenersOf are the listeners that send traffic to the pool: those whose default pool it is, and those with a policy
// that redirects to it.
func (t *LoadBalancer) ListenersOf(poolID string) []*Listener {
	var using []*Listener
	for _, l := range t.Listeners {
		if slices.Contains(l.PoolIDs(), poolID) {
			using = append(using, l)
		}
	}
	return using
}

// PoolIDs are the pools that the listener sends traffic to, each once: its default pool, and those of its enabled policies
// that have a rule.
func (l *Listener) PoolIDs() []string {
	var ids []string
	if l.DefaultPoolID != "" {
		ids = append(ids, l.DefaultPoolID)
	}
	for _, p := range l.Policies {
		if p.redirects() && !slices.Contains(ids, p.RedirectPoolID) {
			ids = append(ids, p.RedirectPoolID)
		}
	}
	return ids
}

// Walk visits every object of the tree: its common part and, as whole, the object itself (a *Listener, a *Member, …).
// Parents come before their children. parentID is "" for the load balancer, the load balancer's id for listeners and
// pools, the pool's for members and health monitors, the listener's for policies, and the policy's for rules.
func (t *LoadBalancer) Walk(visit func(kind Kind, parentID string, o *Object, whole any)) {
	visit(KindLoadBalancer, "", &t.Object, t)
	for _, l := range t.Listeners {
		visit(KindListener, t.ID, &l.Object, l)
		for _, p := range l.Policies {
			visit(KindL7Policy, l.ID, &p.Object, p)
			for _, r := range p.Rules {
				visit(KindL7Rule, p.ID, &r.Object, r)
			}
		}
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
	if len(all) == 0 {
		return nil
	}
	values := make([]T, len(all)) // one allocation for all of them: pools can be large
	copies := make([]*T, len(all))
	for i, o := range all {
		values[i] = *o
		copies[i] = &values[i]
	}
	return copies
}

// unique returns the list without repetitions, in the order given: clients such as Terraform compare what they read with
// what they wrote.
func unique[T comparable](list []T) []T {
	seen := make(map[T]bool, len(list))
	return slices.DeleteFunc(slices.Clone(list), func(v T) bool {
		repeated := seen[v]
		seen[v] = true
		return repeated
	})
}

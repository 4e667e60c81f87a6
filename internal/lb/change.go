package lb

import (
	"slices"
	"time"
)

// Next returns a copy of the tree, one generation on, that may be changed; t stays as it is. at is the time that
// the change's objects get as created_at and updated_at.
//
// Attributes that are slices, maps or pointers (tags, CIDRs, session persistence) are shared between the copies: changes
// replace them and never write into them.
func (t *LoadBalancer) Next(at time.Time) *LoadBalancer {
	next := *t
	next.Generation++
	next.now = at.UTC().Truncate(time.Microsecond)
	next.locked = ""
	next.Listeners = clone(t.Listeners)
	for _, l := range next.Listeners {
		l.Policies = clone(l.Policies)
		for _, p := range l.Policies {
			p.Rules = clone(p.Rules)
		}
	}
	next.Pools = clone(t.Pools)
	for _, p := range next.Pools {
		p.Members = clone(p.Members)
		if p.Monitor != nil {
			monitor := *p.Monitor
			p.Monitor = &monitor
		}
	}
	return &next
}

// Purge returns the tree without what was deleted in the generation applied or before it, or nil when the load balancer
// itself is gone. The trees share their objects.
func (t *LoadBalancer) Purge(applied int64) *LoadBalancer {
	if t.gone(applied) {
		return nil
	}
	kept := *t
	kept.Listeners = remaining(t.Listeners, applied)
	for i, l := range kept.Listeners {
		kept.Listeners[i] = l.purge(applied)
	}
	kept.Pools = remaining(t.Pools, applied)
	for i, p := range kept.Pools {
		pool := *p
		pool.Members = remaining(p.Members, applied)
		if p.Monitor != nil && p.Monitor.gone(applied) {
			pool.Monitor = nil
		}
		kept.Pools[i] = &pool
	}
	return &kept
}

func (l *Listener) purge(applied int64) *Listener {
	kept := *l
	kept.Policies = remaining(l.Policies, applied)
	for i, p := range kept.Policies {
		policy := *p
		policy.Rules = remaining(p.Rules, applied)
		kept.Policies[i] = &policy
	}
	return &kept
}

func (o *Object) gone(applied int64) bool { return o.Deleted && o.ChangedIn <= applied }

func remaining[T object](all []T, applied int64) []T {
	var kept []T
	for _, o := range all {
		if !o.Base().gone(applied) {
			kept = append(kept, o)
		}
	}
	return kept
}

// Common are the attributes that every object takes at create and update.
type Common struct {
	Name         Opt[string]
	AdminStateUp Opt[bool]
	Tags         Opt[[]string]
}

// newObject is the common part of an object that this change creates.
func (t *LoadBalancer) newObject(id string, in Common) Object {
	o := Object{ID: id, ProjectID: t.ProjectID, AdminStateUp: true, CreatedAt: t.now, CreatedIn: t.Generation, ChangedIn: t.Generation}
	in.apply(&o)
	return o
}

// apply writes the attributes; a null name is empty, a null admin_state_up is false, null tags change nothing
// (octavia-resources.md §0). Tags are a set: Octavia reads them sorted, and tests of the Terraform provider expect the first of
// them after they wrote them in any order.
func (in Common) apply(o *Object) {
	in.Name.Into(&o.Name, "")
	in.AdminStateUp.Into(&o.AdminStateUp, false)
	if in.Tags.Set && !in.Tags.Null {
		o.Tags = unique(in.Tags.Value)
		slices.Sort(o.Tags)
	}
}

// touch marks objects as concerned by this change. What is being deleted stays as it is, and what was made
// just now has not changed since.
func (t *LoadBalancer) touch(objects ...*Object) {
	for _, o := range objects {
		if o.Deleted || o.CreatedIn == t.Generation {
			continue
		}
		o.ChangedIn = t.Generation
		o.UpdatedAt = t.now
	}
}

// touchUsers marks the load balancer, the pool and the listeners that use it as concerned.
func (t *LoadBalancer) touchUsers(p *Pool) {
	t.touch(&t.Object, &p.Object)
	for _, l := range t.ListenersOf(p.ID) {
		t.touch(&l.Object)
	}
}

// remove marks an object as deleted by this change.
func (t *LoadBalancer) remove(o *Object) {
	if !o.Deleted {
		t.touch(o)
		o.Deleted = true
	}
}

// mutable refuses changes below a load balancer, and of an object, that is being deleted.
func (t *LoadBalancer) mutable(kind Kind, o *Object) error {
	if t.Deleted || t.locked != "" {
		return errImmutable(KindLoadBalancer, t.ID)
	}
	if o.Deleted {
		return errImmutable(kind, o.ID)
	}
	return nil
}

func errImmutable(kind Kind, id string) error {
	return &Error{Code: Immutable, Message: string(kind) + " " + id + " is immutable and cannot be updated."}
}

package lb

import (
	"fmt"
	"slices"
	"time"
)

// Providers are the names under which a load balancer can be asked for; all of them are poise.
var Providers = []string{Provider, "amphora", "amphorav2", "octavia"}

// LoadBalancerAttrs are the attributes of a load balancer that can be changed.
type LoadBalancerAttrs struct {
	Common
	Description Opt[string]
	VIPOptions  VIPOptionAttrs // heeded by updates; at creation they are part of the VIP
}

// LoadBalancerCreate makes a load balancer; its VIP has been allocated already.
type LoadBalancerCreate struct {
	LoadBalancerAttrs
	ID        string
	ProjectID string
	Provider  string // "" means [Provider]
	Placement Placement
	VIP       VIP

	// What is to be below it.
	Listeners []ListenerCreate
	Pools     []PoolCreate
}

// CheckProvider refuses a provider that is not one of [Providers].
func CheckProvider(name string) error {
	if name == "" || slices.Contains(Providers, name) {
		return nil
	}
	return &Error{Code: Invalid, Field: "provider", Message: fmt.Sprintf("Provider '%s' is not enabled.", name)}
}

// NewLoadBalancer makes the first generation of a load balancer, with all that is below it. One whose VIP has not been
// allocated yet serves to ask the rules.
func NewLoadBalancer(in LoadBalancerCreate, at time.Time) (*LoadBalancer, error) {
	if err := CheckProvider(in.Provider); err != nil {
		return nil, err
	}
	if err := in.Placement.checkNetwork(in.VIP.NetworkID); err != nil {
		return nil, err
	}
	t := &LoadBalancer{Generation: 1, now: at.UTC().Truncate(time.Microsecond)}
	t.ProjectID = in.ProjectID
	t.Object = t.newObject(in.ID, in.Common)
	t.Description = in.Description.Or("")
	t.VIP = in.VIP
	t.FlavorID, t.AvailabilityZone = in.Placement.FlavorID, in.Placement.AvailabilityZone
	t.Provider = in.Provider
	if t.Provider == "" {
		t.Provider = Provider
	}
	if err := t.populate(in); err != nil {
		return nil, err
	}
	return t, nil
}

// Update changes the load balancer itself.
func (t *LoadBalancer) Update(in LoadBalancerAttrs) error {
	if t.Deleted || t.locked != "" {
		return t.errState()
	}
	if err := t.setVIPOptions(in.VIPOptions); err != nil {
		return err
	}
	in.apply(&t.Object)
	in.Description.Into(&t.Description, "")
	t.touch(&t.Object)
	return nil
}

// Failover changes nothing of what is served: a node then takes the load balancer as if it were new.
func (t *LoadBalancer) Failover() error {
	if t.Deleted || t.pending() {
		return t.errState()
	}
	t.FailedOver = t.Generation
	t.touch(&t.Object)
	return nil
}

// Delete deletes the load balancer; with cascade, everything below it as well. Without it, children are a reason to refuse.
func (t *LoadBalancer) Delete(cascade bool) error {
	if t.Deleted || t.pending() {
		return t.errState()
	}
	if !cascade && slices.ContainsFunc(t.children(), func(o *Object) bool { return !o.Deleted }) {
		return ErrValidation("", "Cannot delete Load Balancer %s - it has children", t.ID)
	}
	t.Walk(func(_ Kind, _ string, o *Object, _ any) { t.remove(o) })
	return nil
}

func (t *LoadBalancer) children() []*Object {
	var children []*Object
	for _, l := range t.Listeners {
		children = append(children, &l.Object)
	}
	for _, p := range t.Pools {
		children = append(children, &p.Object)
	}
	return children
}

// Lock refuses this change where Octavia does: status is the load balancer's before it, and one that is not ACTIVE takes
// no change but, in ERROR, a failover or its deletion. Whoever calls it chooses Octavia's way (strict_immutable).
func (t *LoadBalancer) Lock(status ProvisioningStatus) {
	if status != Active {
		t.locked = status
	}
}

func (t *LoadBalancer) pending() bool { return t.locked != "" && t.locked != Failed }

// errState refuses a change of a load balancer that is being deleted, or that is locked.
func (t *LoadBalancer) errState() error {
	status := t.locked
	if t.Deleted {
		status = PendingDelete
	}
	return &Error{Code: Immutable, Message: fmt.Sprintf("Invalid state %s of loadbalancer resource %s", status, t.ID)}
}

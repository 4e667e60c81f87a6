package octavia

import (
	"context"

	"poise/internal/lb"
	"poise/internal/rest"
)

// Control is what this room needs of the control plane. Errors that are the user's are [*lb.Error]s.
type Control interface {
	// Snapshot reads one load balancer.
	Snapshot(ctx context.Context, loadBalancerID string) (lb.Snapshot, error)
	// Holder reads the load balancer that holds the object of this kind and id.
	Holder(ctx context.Context, kind lb.Kind, id string) (lb.Snapshot, error)
	// List reads the load balancers of a project, of all projects when projectID is "", ordered by creation.
	List(ctx context.Context, projectID string) ([]lb.Snapshot, error)
	// Create allocates the VIP and makes the load balancer.
	Create(ctx context.Context, caller rest.Caller, in lb.LoadBalancerCreate, vip lb.VIPRequest) (lb.Snapshot, error)
	// Change applies one change to a load balancer's tree. change is called again when it lost a race, so it must not
	// have effects beyond the tree; objects that it returned earlier are then void.
	Change(ctx context.Context, loadBalancerID string, change func(*lb.LoadBalancer) error) (lb.Snapshot, error)
	// Failover applies a load balancer from scratch, as a change of its own.
	Failover(ctx context.Context, loadBalancerID string) (lb.Snapshot, error)
	// Reapply applies a load balancer as it is once more.
	Reapply(loadBalancerID string)
	// Counters reads the statistics of a load balancer's listeners by their ids.
	Counters(ctx context.Context, loadBalancerID string) (map[string]lb.Counters, error)
	// SubnetVisible refuses a subnet that the caller cannot see.
	SubnetVisible(ctx context.Context, caller rest.Caller, subnetID string) error
	// VIPOptionsVisible refuses a QoS policy or a security group that the caller cannot see.
	VIPOptionsVisible(ctx context.Context, caller rest.Caller, options lb.VIPOptions) error
}

// Certificates looks at what objects with TLS refer to in the key manager.
type Certificates interface {
	// Check refuses, with an [*lb.Error], references that lead to nothing that the caller can read, or that a load balancer of
	// the project could not use.
	Check(ctx context.Context, caller rest.Caller, projectID string, refs lb.References) error
}

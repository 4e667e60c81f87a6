// Package link is what passes between the control plane and a traffic node: assignments one way, reports the other.
//
// In one process both sides hold the same values and call each other directly. The types carry no pointers into
// either side, so that a stream between machines can take their place without a change in control or node.
package link

import (
	"context"

	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
	"poise/internal/fabric"
)

// Assignment is all that a node needs to serve one load balancer.
type Assignment struct {
	LoadBalancerID string
	Generation     int64
	Ports          []fabric.Port // the VIP's port, which has the addresses of additional VIPs as well
	Replug         bool          // make sure of the ports even where they are as they were
	Config         dataplane.Config
}

// Node is a traffic node as the control plane sees it. All methods are idempotent.
type Node interface {
	// Apply serves the assignment; when it returns nil, new connections see it. A listener that cannot be opened is not
	// an error of Apply but a ListenerState of the next report.
	Apply(ctx context.Context, a Assignment) error
	// Remove stops serving the load balancer and takes its ports away; unknown ids are fine.
	Remove(ctx context.Context, loadBalancerID string) error
	// Prune removes every load balancer that is not listed.
	Prune(ctx context.Context, keep []string) error
	// Counters reads the load balancer's live statistics by listener id; nil for an unknown id.
	Counters(loadBalancerID string) map[string]dataplane.Counters
	// Members reads the live statistics of the load balancer's members; nil for an unknown id.
	Members(loadBalancerID string) map[dataplane.MemberKey]dataplane.MemberCounters
	// History is what the last checks of a member have found, the oldest first; nil for an unknown member.
	History(loadBalancerID, poolID, memberID string) []dataplane.Probe
	// FollowLog follows the access log of a listener until ctx ends; nil for an unknown one.
	FollowLog(ctx context.Context, loadBalancerID, listenerID string) *accesslog.Follower
}

// Report is what a node says about one load balancer: always the whole state, never a change, so that a lost
// report costs nothing once the next arrives.
type Report struct {
	LoadBalancerID string
	Generation     int64                              // the assignment that it is about
	Listeners      map[string]dataplane.ListenerState // by listener id
	Health         []dataplane.Health
}

// Reporter takes reports. It never blocks on I/O of its own: a node calls it from its health checks.
type Reporter interface {
	Report(r Report)
}

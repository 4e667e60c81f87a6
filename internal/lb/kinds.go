package lb

// Kind is a kind of object, in the word that Octavia's messages use for it.
type Kind string

// The kinds of a load balancer's tree.
const (
	KindLoadBalancer  Kind = "Load Balancer"
	KindListener      Kind = "Listener"
	KindPool          Kind = "Pool"
	KindMember        Kind = "Member"
	KindHealthMonitor Kind = "Health Monitor"
	KindL7Policy      Kind = "L7 Policy"
	KindL7Rule        Kind = "L7 Rule"
)

// Provider is the name under which poise appears as an Octavia provider.
const Provider = "poise"

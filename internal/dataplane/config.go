// Package dataplane serves one load balancer: it accepts connections on the load balancer's addresses, picks a
// member for each and relays the bytes, and it probes the members' health.
//
// This file is the contract of the room. A [Config] is one immutable value that says everything there is to
// serve; whoever holds one may read it from any goroutine and nobody may change it. The rooms below it do the work:
// balance picks members, probe checks them, proxy carries the traffic in userspace.
package dataplane

import (
	"net/netip"
	"time"
)

// Config describes what to serve for one load balancer. It is complete: applying it replaces whatever was
// served before, and applying the same value twice changes nothing. Disabled objects are left out by whoever makes
// the Config, with one exception: a disabled member stays (see [Member.Disabled]) so that its state is kept.
type Config struct {
	LoadBalancerID string
	Generation     int64 // the generation of the intent that this was compiled from
	Listeners      []Listener
	Pools          []Pool
}

// Protocol is what the data plane does with a listener's bytes.
type Protocol string

// The protocols that the data plane carries.
const (
	TCP Protocol = "TCP" // bytes are relayed unseen (Octavia's TCP and HTTPS listeners)
)

// Listener accepts connections on one port of every address of the load balancer.
type Listener struct {
	ID       string
	Protocol Protocol
	Port     uint16

	// ConnectionLimit is the highest number of concurrent connections; at the limit accepting pauses and further
	// clients wait in the kernel's backlog. 0 means [DefaultConnectionLimit].
	ConnectionLimit int

	// AllowedCIDRs are the client networks that may connect; empty admits everybody. Others are closed
	// at once, before a member is picked.
	AllowedCIDRs []netip.Prefix

	ClientTimeout  time.Duration // silence of the client that ends a connection
	MemberTimeout  time.Duration // silence of the member that ends a connection
	ConnectTimeout time.Duration // one attempt to reach one member

	PoolID string // "" when there is no default pool: connections are accepted and closed
}

// DefaultConnectionLimit is what an unlimited listener gets (octavia-dataplane.md §2).
const DefaultConnectionLimit = 50_000

// Algorithm says how a pool picks a member for a new connection.
type Algorithm string

// The algorithms of Octavia's lb_algorithm.
const (
	RoundRobin       Algorithm = "ROUND_ROBIN"       // weighted, smooth
	LeastConnections Algorithm = "LEAST_CONNECTIONS" // weighted
	SourceIP         Algorithm = "SOURCE_IP"         // hash of the client's address, weighted
	SourceIPPort     Algorithm = "SOURCE_IP_PORT"    // hash of the client's address and port, weighted
)

// Pool is a set of members that serve the same thing.
type Pool struct {
	ID        string
	Algorithm Algorithm
	// SourceIPAffinity keeps a client (by address) at the member it was first given (session persistence SOURCE_IP).
	SourceIPAffinity bool
	Members          []Member
	Monitor          *Monitor // nil: members are not checked and count as usable
}

// Member is one server of a pool.
type Member struct {
	ID      string
	Address netip.AddrPort
	Weight  int // 0 to 256; 0 takes no new connections (drain)
	// Backup members are used only while no other member is usable; then all usable backups share the load.
	Backup bool
	// Disabled members take no new connections and are not checked; connections that they have go on.
	Disabled bool
	// Probe is where the health check goes: Octavia's monitor_address and monitor_port, or Address.
	Probe netip.AddrPort
}

// MonitorType is what a health check does.
type MonitorType string

// The checks that the data plane can make.
const (
	MonitorTCP MonitorType = "TCP" // a TCP connection can be opened
)

// Monitor is how the members of a pool are checked (octavia-dataplane.md §5).
type Monitor struct {
	ID      string
	Type    MonitorType
	Delay   time.Duration // between two checks of one member
	Timeout time.Duration // for one whole check
	Rise    int           // consecutive successes that bring a member up (max_retries)
	Fall    int           // consecutive failures that take a member down (max_retries_down)
}

// Net is the network in which a load balancer lives, and what a data plane needs of it. A socket belongs
// to the network namespace in which it was created; after its creation it is used from anywhere.
type Net interface {
	// Socket creates a socket (non-blocking, close-on-exec) in the load balancer's network; the caller closes it.
	// family is unix.AF_INET or AF_INET6, kind unix.SOCK_STREAM or SOCK_DGRAM; errors are of type syscall.Errno, wrapped.
	Socket(family, kind int) (fd int, err error)
}

// Health is what the checks last said about one member.
type Health struct {
	PoolID   string
	MemberID string
	State    HealthState
	// Reason is a sentence for people about the last failed check ("connection refused by 10.0.0.5:80"),
	// kept after recovery until the next failure; "" when none has failed yet.
	Reason string
	Since  time.Time // when State was entered
}

// HealthState is a member's place in the life of a checked server.
type HealthState string

// A new member starts as HealthUp, but fragile: it takes traffic at once and its first failed check takes it down.
const (
	HealthUnchecked HealthState = "unchecked" // no monitor, or the member is disabled
	HealthUp        HealthState = "up"
	HealthDown      HealthState = "down"
)

// Counters are a listener's statistics since its data plane started; all only ever grow except Active.
type Counters struct {
	Active  int64  // connections open now
	Total   uint64 // connections accepted since the start, including those that found no member
	BytesIn uint64 // from clients
	// BytesOut is to clients.
	BytesOut uint64
	// Errors counts accepted connections that found no member (Octavia's request_errors).
	Errors uint64
}

// ListenerState is what a data plane says about one listener of its Config.
type ListenerState struct {
	Listening bool
	// Reason says why Listening is false ("address already in use").
	Reason string
	// Full is true while the connection limit is reached.
	Full bool
}

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
	ProjectID      string // whose share of what the node has it uses
	Generation     int64  // the generation of the intent that this was compiled from
	Listeners      []Listener
	Pools          []Pool
}

// Protocol is what the data plane does with a listener's bytes.
type Protocol string

// The protocols that the data plane carries.
const (
	TCP        Protocol = "TCP"        // bytes are relayed unseen (Octavia's TCP and HTTPS listeners)
	HTTP       Protocol = "HTTP"       // requests are read, routed and changed (HTTP, and with TLS TERMINATED_HTTPS)
	UDP        Protocol = "UDP"        // datagrams are relayed, each client's to one member
	Prometheus Protocol = "PROMETHEUS" // GET /metrics is answered with the load balancer's own metrics
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

	// PoolID is the default pool; "" when there is none: connections are accepted and closed, requests get a 503.
	PoolID string

	TLS  *ServerTLS // nil: clients speak plaintext
	HTTP *Requests  // of HTTP listeners, nil otherwise

	// AccessLog has each connection, or each request, written to the log file of the listener.
	AccessLog bool
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
	// HTTP says that the members speak HTTP (Octavia's pool protocol HTTP): only they get inserted X-Forwarded headers.
	HTTP        bool
	Proxy       ProxyVersion // of the header that tells members who the client is
	TLS         *ClientTLS   // nil: members are spoken to in plaintext
	Persistence *Persistence // nil: each connection, or request, is balanced anew
	Members     []Member
	Monitor     *Monitor // nil: members are not checked and count as usable
}

// ProxyVersion is a version of the PROXY protocol (https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt).
type ProxyVersion int

// The versions of the PROXY protocol.
const (
	NoProxy ProxyVersion = 0
	ProxyV1 ProxyVersion = 1 // a line of text
	ProxyV2 ProxyVersion = 2 // binary; with the client certificate's name where the listener terminates TLS
)

// PersistenceType says by what a client is recognised.
type PersistenceType string

// The types of session persistence (octavia-dataplane.md §4.1).
const (
	BySourceIP   PersistenceType = "SOURCE_IP"   // its address
	ByHTTPCookie PersistenceType = "HTTP_COOKIE" // a cookie that the data plane sets
	ByAppCookie  PersistenceType = "APP_COOKIE"  // a cookie that the members set
)

// Persistence keeps a client at the member that it was first given, as long as that one is usable.
type Persistence struct {
	Type   PersistenceType
	Cookie string // name, of ByAppCookie
	// Timeout and MaskBits are for UDP: how long a silent client is remembered, and how many bits of an address
	// make a client. 0 means for ever, and all of them.
	Timeout  time.Duration
	MaskBits int
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

package dataplane

import "time"

// MonitorType is what a health check does.
type MonitorType string

// The checks that the data plane can make.
const (
	MonitorTCP        MonitorType = "TCP"         // a TCP connection can be opened
	MonitorHTTP       MonitorType = "HTTP"        // a request is answered with one of the expected codes
	MonitorHTTPS      MonitorType = "HTTPS"       // the same over TLS; the certificate is not verified
	MonitorTLSHello   MonitorType = "TLS-HELLO"   // a TLS handshake succeeds
	MonitorPing       MonitorType = "PING"        // an ICMP echo is answered
	MonitorUDPConnect MonitorType = "UDP-CONNECT" // a datagram is not answered with "port unreachable"
)

// Monitor is how the members of a pool are checked (octavia-dataplane.md §5).
type Monitor struct {
	ID      string
	Type    MonitorType
	Delay   time.Duration // between two checks of one member
	Timeout time.Duration // for one whole check
	Rise    int           // consecutive successes that bring a member up (max_retries)
	Fall    int           // consecutive failures that take a member down (max_retries_down)

	// Of HTTP and HTTPS.
	Method      string
	Path        string // with the query
	Codes       string // the expected ones: "200", "200,202" or "200-204"
	HTTPVersion string // "1.0", "1.1", or "": 1.0 without a Host header
	Host        string // of the Host header with 1.1; "": the address
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

// Probe is what a check of a member has found, or what several did one after the other that found the same.
type Probe struct {
	Time     time.Time // of the first of them
	Count    int
	OK       bool
	Reason   string        // as in Health; "" when OK
	Duration time.Duration // of the last of them
	Changed  bool          // the first of them has changed the member's state
}

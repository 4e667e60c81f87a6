package lb

import "slices"

// Protocol is what a listener or a pool speaks.
type Protocol string

// The protocols of listeners and pools. SCTP is known and not served.
const (
	TCP             Protocol = "TCP"
	HTTP            Protocol = "HTTP"
	HTTPS           Protocol = "HTTPS" // passed through unseen
	TerminatedHTTPS Protocol = "TERMINATED_HTTPS"
	UDP             Protocol = "UDP"
	SCTP            Protocol = "SCTP"
	Prometheus      Protocol = "PROMETHEUS" // of listeners: shows metrics
	Proxy           Protocol = "PROXY"      // of pools: TCP with a PROXY protocol header
	ProxyV2         Protocol = "PROXYV2"
)

// Protocols that Octavia knows, in the order of its messages.
var (
	ListenerProtocols = []string{"TCP", "HTTP", "HTTPS", "TERMINATED_HTTPS", "UDP", "SCTP", "PROMETHEUS"}
	PoolProtocols     = []string{"TCP", "HTTP", "HTTPS", "PROXY", "PROXYV2", "UDP", "SCTP"}
)

// listenerKind is what follows from a listener's protocol (octavia-rules.md §1).
type listenerKind struct {
	transport    Protocol // TCP, UDP or SCTP; two listeners share a port when they differ in it
	pools        []Protocol
	http         bool // it sees requests: L7 policies, inserted headers
	certificates bool // it may hold certificates
}

var listenerKinds = map[Protocol]listenerKind{
	TCP:             {transport: TCP, pools: []Protocol{HTTP, HTTPS, Proxy, ProxyV2, TCP}},
	HTTP:            {transport: TCP, pools: []Protocol{HTTP, Proxy, ProxyV2}, http: true},
	HTTPS:           {transport: TCP, pools: []Protocol{HTTPS, Proxy, ProxyV2, TCP}},
	TerminatedHTTPS: {transport: TCP, pools: []Protocol{HTTP, Proxy, ProxyV2}, http: true, certificates: true},
	UDP:             {transport: UDP, pools: []Protocol{UDP}},
	SCTP:            {transport: SCTP, pools: []Protocol{SCTP}},
	Prometheus:      {transport: TCP, certificates: true},
}

func (l *Listener) kind() listenerKind { return listenerKinds[l.Protocol] }

// datagrams tells whether a pool or a listener of this protocol has no connections to see into: UDP and SCTP.
func (p Protocol) datagrams() bool { return p == UDP || p == SCTP }

// checkPairing refuses a pool that a listener of this protocol cannot use.
func checkPairing(listener, pool Protocol) error {
	if listener == Prometheus {
		return errNoChildren()
	}
	if !slices.Contains(listenerKinds[listener].pools, pool) {
		return ErrValidation("protocol", "The pool protocol '%s' is invalid while the listener protocol is '%s'.", pool, listener)
	}
	return nil
}

func errNoChildren() error {
	return &Error{Code: Invalid, Message: "Protocol PROMETHEUS listeners cannot have child objects."}
}

// checkServed refuses what the data plane will never carry.
func checkServed(protocol Protocol, of string) error {
	if protocol == SCTP {
		return ErrUnsupported("protocol", "%s protocol %s are not supported.", protocol, of)
	}
	return nil
}

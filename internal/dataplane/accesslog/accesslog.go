// Package accesslog tells who asked what of a listener, and how it ended: to whoever follows a listener's log right now, and
// to its file where the configuration wants one. While neither is there, a log costs one load of a flag.
package accesslog

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Record is one line of a listener's log: a connection of a TCP or UDP listener, or a request of an HTTP one. Fields that do
// not apply are left out of its JSON.
type Record struct {
	Time       time.Time `json:"time"` // of the accept, or of the request's first byte
	ListenerID string    `json:"listener_id"`
	Client     string    `json:"client"` // address:port

	Method  string `json:"method,omitempty"`
	Host    string `json:"host,omitempty"`
	Target  string `json:"target,omitempty"`  // path and query
	Version string `json:"version,omitempty"` // HTTP/1.1, HTTP/2.0
	Status  int    `json:"status,omitempty"`

	TLSVersion string `json:"tls_version,omitempty"`
	TLSCipher  string `json:"tls_cipher,omitempty"`
	ClientDN   string `json:"client_dn,omitempty"` // of the client's certificate

	PolicyID string `json:"l7policy_id,omitempty"` // the policy that decided
	PoolID   string `json:"pool_id,omitempty"`
	MemberID string `json:"member_id,omitempty"`

	BytesIn    uint64  `json:"bytes_in"`  // from the client
	BytesOut   uint64  `json:"bytes_out"` // to the client
	ConnectMs  float64 `json:"connect_ms,omitempty"`
	ResponseMs float64 `json:"response_ms,omitempty"` // until the answer began
	TotalMs    float64 `json:"total_ms"`

	End End `json:"end"`
}

// End says why a connection or a request ended.
type End string

// The reasons, with the side that caused them.
const (
	Complete       End = "complete"
	ClientClosed   End = "client closed"        // before the end
	ClientTimeout  End = "client timeout"       // timeout_client_data
	ClientInvalid  End = "client sent nonsense" // a malformed request
	HandshakeError End = "TLS handshake failed" // with the client
	MemberClosed   End = "member closed"        // before the end
	MemberTimeout  End = "member timeout"       // timeout_member_data
	MemberInvalid  End = "member sent nonsense" // a malformed response
	MemberRefused  End = "no member could be reached"
	NoMember       End = "no member is usable"
	NoPool         End = "no pool"
	Denied         End = "denied by policy"
	RulesExceeded  End = "takes too long to compare with the rules"
	Redirected     End = "redirected by policy"
	NotAllowed     End = "client is not in allowed_cidrs"
	Stopped        End = "load balancer stopped"
	Circle         End = "passed too many load balancers" // of this node, one behind the other

	// Of UDP.
	Silence    End = "silence"              // of both sides
	Evicted    End = "made room for others" // at a limit, after the longest silence; also of TCP and HTTP
	MemberGone End = "member is down or was taken out"
)

// maxWaiting records of one follower wait until it has taken them; further ones are dropped and counted.
const maxWaiting = 1024

// Log is the log of one listener. The zero value has no followers and no file.
type Log struct {
	wanted atomic.Bool

	mu        sync.Mutex // guards what follows
	followers map[*Follower]struct{}
	sink      *Sink  // nil: the log has no file
	projectID string // whose share of the sink it uses
}

// Follower gets the records of a log from the moment it begins to follow.
type Follower struct {
	Records chan Record
	Dropped atomic.Uint64 // records that the follower was too slow for
}

// Wanted says whether anybody wants records. Ask before making one.
func (l *Log) Wanted() bool { return l.wanted.Load() }

// Write gives a record to every follower and to the file. It never blocks.
func (l *Log) Write(r Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sink != nil {
		l.sink.take(l.projectID, r)
	}
	for f := range l.followers {
		select {
		case f.Records <- r:
		default:
			f.Dropped.Add(1)
		}
	}
}

// Follow returns a follower that gets records until ctx ends; its channel is never closed.
func (l *Log) Follow(ctx context.Context) *Follower {
	f := &Follower{Records: make(chan Record, maxWaiting)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.followers == nil {
		l.followers = map[*Follower]struct{}{}
	}
	l.followers[f] = struct{}{}
	l.look()
	context.AfterFunc(ctx, func() { l.leave(f) })
	return f
}

func (l *Log) leave(f *Follower) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.followers, f)
	l.look()
}

// Keep has the records written to the listener's file from now on, within the project's share of what the sink has; with nil
// they are not.
func (l *Log) Keep(sink *Sink, projectID string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sink, l.projectID = sink, projectID
	l.look()
}

// look notes whether anybody wants records. The caller holds mu.
func (l *Log) look() { l.wanted.Store(len(l.followers) > 0 || l.sink != nil) }

package dataplane

import "time"

// ListenerState is what a data plane says about one listener of its Config.
type ListenerState struct {
	Listening bool
	// Reason says why Listening is false ("address already in use").
	Reason string
	// Full is true while the connection limit is reached.
	Full bool
	// Trouble says what is wrong although Listening is true ("new clients wait: …"); "": nothing.
	Trouble string
}

// Counters are a listener's statistics since its data plane started; all only ever grow except Active.
type Counters struct {
	Active  int64  // connections open now
	Total   uint64 // connections accepted since the start, including those that found no member
	BytesIn uint64 // from clients
	// BytesOut is to clients.
	BytesOut uint64
	// Errors counts what went wrong on the client's side or for want of a member: malformed or aborted requests, connections that
	// found no member (Octavia's request_errors).
	Errors uint64

	// Of HTTP listeners.
	Requests  uint64
	Responses [6]uint64 // sent to clients, by the first digit of the status; at 0 those of no known class
	Denied    uint64    // requests that a policy rejected

	// Of listeners with TLS.
	Handshakes       uint64 // completed
	Resumptions      uint64 // of them with a session ticket
	FailedHandshakes uint64
}

// MemberKey names a member as one listener uses it.
type MemberKey struct{ ListenerID, PoolID, MemberID string }

// MemberCounters are the statistics of one member under one listener since the data plane started; all only ever grow
// except Active.
type MemberCounters struct {
	Active    int64     // connections, or requests, that the member has now
	Total     uint64    // of them since the start
	BytesIn   uint64    // sent to the member
	BytesOut  uint64    // received from it
	Requests  uint64    // of HTTP listeners
	Responses [6]uint64 // likewise, by the first digit of the status

	ConnectErrors  uint64 // attempts to connect that failed
	ResponseErrors uint64 // answers that broke off, were malformed or came too late
	Redispatches   uint64 // connections, or requests, that went on to another member
	ClientAborts   uint64 // ended by the client before the answer was complete
	MemberAborts   uint64 // ended by the member before its answer was complete

	ConnectTime  time.Duration // sums over what was counted in Total: until connected,
	ResponseTime time.Duration // until the answer began,
	TotalTime    time.Duration // and until its end
}

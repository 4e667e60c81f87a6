package exposition

import (
	"time"

	"poise/internal/dataplane"
)

// count makes the value of a family out of something that was counted.
func count[T any](of func(T) uint64) func(T) (float64, bool) {
	return func(t T) (float64, bool) { return float64(of(t)), true }
}

// number makes the value of a family out of something that is there now.
func number[T any](of func(T) int64) func(T) (float64, bool) {
	return func(t T) (float64, bool) { return float64(of(t)), true }
}

// truth makes a value of 1 or 0.
func truth[T any](of func(T) bool) func(T) (float64, bool) {
	return func(t T) (float64, bool) {
		if of(t) {
			return 1, true
		}
		return 0, true
	}
}

// average makes the value of a family out of a sum of times: their mean since the start.
func average[T traffic](of func(T) time.Duration) func(T) (float64, bool) {
	return func(t T) (float64, bool) {
		if total := t.traffic().Total; total > 0 {
			return of(t).Seconds() / float64(total), true
		}
		return 0, true
	}
}

var balancerFamilies = []family[balancer]{
	{name: "listeners", kind: gauge, help: "Listeners that are configured.", value: number(func(b balancer) int64 { return b.listeners })},
	{name: "max_connections", kind: gauge, help: "Connections that all listeners together take at the same time.", value: number(func(b balancer) int64 { return b.limit })},
	{name: "current_connections", kind: gauge, help: "Connections of clients that are open.", value: number(func(b balancer) int64 { return b.sum.Active })},
	{name: "connections_total", kind: counter, help: "Connections of clients.", value: count(func(b balancer) uint64 { return b.sum.Total })},
	{name: "requests_total", kind: counter, help: "HTTP requests.", value: count(func(b balancer) uint64 { return b.sum.Requests })},
	{name: "ssl_connections_total", kind: counter, help: "TLS handshakes with clients that were completed.", value: count(func(b balancer) uint64 { return b.sum.Handshakes })},
}

var listenerFamilies = []family[listener]{
	{name: "status", kind: gauge, help: "Whether the listener takes connections: 1 or 0.", value: truth(func(l listener) bool { return l.state.Listening })},
	{name: "current_sessions", kind: gauge, help: "Connections that are open.", value: number(func(l listener) int64 { return l.counters.Active })},
	{name: "limit_sessions", kind: gauge, help: "Connections that the listener takes at the same time.", value: number(func(l listener) int64 { return l.limit })},
	{name: "sessions_total", kind: counter, help: "Connections.", value: count(func(l listener) uint64 { return l.counters.Total })},
	{name: "connections_total", kind: counter, help: "Connections.", value: count(func(l listener) uint64 { return l.counters.Total })},
	{name: "bytes_in_total", kind: counter, help: "Bytes from clients.", value: count(func(l listener) uint64 { return l.counters.BytesIn })},
	{name: "bytes_out_total", kind: counter, help: "Bytes to clients.", value: count(func(l listener) uint64 { return l.counters.BytesOut })},
	{name: "request_errors_total", kind: counter, help: "Connections or requests that failed on the client's side, or for want of a member.", value: count(func(l listener) uint64 { return l.counters.Errors })},
	{name: "requests_denied_total", kind: counter, help: "HTTP requests that a policy rejected.", value: ofHTTP(func(l listener) uint64 { return l.counters.Denied })},
	{name: "http_requests_total", kind: counter, help: "HTTP requests.", value: ofHTTP(func(l listener) uint64 { return l.counters.Requests })},
	{name: "http_responses_total", kind: counter, help: "HTTP responses to clients, by the class of their status.", classes: func(l listener) ([6]uint64, bool) { return l.counters.Responses, l.isHTTP }},
}

// ofHTTP makes the value of a family that only HTTP listeners have.
func ofHTTP(of func(listener) uint64) func(listener) (float64, bool) {
	return func(l listener) (float64, bool) { return float64(of(l)), l.isHTTP }
}

// traffic is what a pool and a member have in common.
type traffic interface {
	traffic() dataplane.MemberCounters
}

// trafficFamilies are the families that pools and members have in common.
func trafficFamilies[T traffic](isHTTP func(T) bool) []family[T] {
	return []family[T]{
		{name: "current_sessions", kind: gauge, help: "Connections or requests that are under way.", value: number(func(t T) int64 { return t.traffic().Active })},
		{name: "sessions_total", kind: counter, help: "Connections or requests.", value: count(func(t T) uint64 { return t.traffic().Total })},
		{name: "bytes_in_total", kind: counter, help: "Bytes sent to members.", value: count(func(t T) uint64 { return t.traffic().BytesIn })},
		{name: "bytes_out_total", kind: counter, help: "Bytes received from members.", value: count(func(t T) uint64 { return t.traffic().BytesOut })},
		{name: "connection_errors_total", kind: counter, help: "Attempts to connect that failed.", value: count(func(t T) uint64 { return t.traffic().ConnectErrors })},
		{name: "response_errors_total", kind: counter, help: "Answers that broke off, were malformed or came too late.", value: count(func(t T) uint64 { return t.traffic().ResponseErrors })},
		{name: "redispatch_warnings_total", kind: counter, help: "Connections or requests that went on to another member.", value: count(func(t T) uint64 { return t.traffic().Redispatches })},
		{name: "client_aborts_total", kind: counter, help: "Transfers that the client ended before the answer was complete.", value: count(func(t T) uint64 { return t.traffic().ClientAborts })},
		{name: "member_aborts_total", kind: counter, help: "Transfers that the member ended before its answer was complete.", value: count(func(t T) uint64 { return t.traffic().MemberAborts })},
		{name: "connect_time_average_seconds", kind: gauge, help: "Mean time until a member was connected, since the start.", value: average(func(t T) time.Duration { return t.traffic().ConnectTime })},
		{name: "response_time_average_seconds", kind: gauge, help: "Mean time until an answer began, since the start.", value: average(func(t T) time.Duration { return t.traffic().ResponseTime })},
		{name: "total_time_average_seconds", kind: gauge, help: "Mean time until the end, since the start.", value: average(func(t T) time.Duration { return t.traffic().TotalTime })},
		{name: "http_responses_total", kind: counter, help: "HTTP responses of members, by the class of their status.", classes: func(t T) ([6]uint64, bool) { return t.traffic().Responses, isHTTP(t) }},
	}
}

var poolFamilies = append([]family[pool]{
	{name: "status", kind: gauge, help: "Whether some member can be used: 1 or 0.", value: truth(func(p pool) bool { return p.active+p.backup > 0 })},
	{name: "active_members", kind: gauge, help: "Members that can be used, backup members apart.", value: number(func(p pool) int64 { return p.active })},
	{name: "backup_members", kind: gauge, help: "Backup members that can be used.", value: number(func(p pool) int64 { return p.backup })},
}, trafficFamilies(func(p pool) bool { return p.isHTTP })...)

var memberFamilies = append([]family[member]{
	{name: "status", kind: gauge, help: "Whether the member can be used: 1 or 0.", value: truth(func(m member) bool { return m.isUp })},
	{name: "weight", kind: gauge, help: "The member's weight.", value: number(func(m member) int64 { return m.weight })},
}, trafficFamilies(func(m member) bool { return m.isHTTP })...)

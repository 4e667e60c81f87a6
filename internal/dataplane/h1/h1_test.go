package h1

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// summary is what a test looks at of a head that was accepted: its start line and what follows from its fields.
func summary(h *Head) string {
	s := fmt.Sprintf("%s host=%s path=%s", h.Method, h.Host(), h.Path())
	if h.Status != 0 {
		s = fmt.Sprintf("%d %q", h.Status, h.Reason)
	}
	s += []string{" none", fmt.Sprintf(" length=%d", h.ContentLength), " chunked", " until-close"}[h.Framing]
	if !h.KeepAlive {
		s += " close"
	}
	if h.Expects {
		s += " expects"
	}
	if h.Upgrade {
		s += " upgrade"
	}
	return s
}

func TestAcceptedRequests(t *testing.T) {
	for _, test := range []struct{ name, head, want string }{
		{"simple", "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n", "GET host=x path=/a?b=c none"},
		{"after an empty line", "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET host=x path=/ none"},
		{"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", "GET host= path=/ none close"},
		{"HTTP/1.0 that stays", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET host= path=/ none"},
		{"close", "GET / HTTP/1.1\r\nHost: x\r\nConnection: foo, CLOSE\r\n\r\n", "GET host=x path=/ none close"},
		{"length", "POST / HTTP/1.1\r\nHost: x\r\ncontent-LENGTH: 5\r\n\r\n", "POST host=x path=/ length=5"},
		{"length of 0", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "POST host=x path=/ length=0"},
		{"longest length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 922337203685477580\r\n\r\n", "POST host=x path=/ length=922337203685477580"},
		{"chunked", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n", "POST host=x path=/ chunked"},
		{"body of a GET", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n", "GET host=x path=/ length=1"},
		{"expects", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n", "PUT host=x path=/ length=5 expects"},
		{"expects for nothing", "PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n", "PUT host=x path=/ none"},
		{"expects more than that", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: x, 100-continue\r\n\r\n", "PUT host=x path=/ length=5 expects"},
		{"expects something else", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 200-ok\r\n\r\n", "PUT host=x path=/ length=5"},
		{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: x\r\n\r\n", "GET host=x path=/ none"},
		{"percent signs", "GET /100%?%zz HTTP/1.1\r\nHost: x\r\n\r\n", "GET host=x path=/100%?%zz none"},
		{"websocket", "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n", "GET host=x path=/ none upgrade"},
		{"h2c is ignored", "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n\r\n", "GET host=x path=/ none"},
		{"upgrade with a body is ignored", "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\n", "GET host=x path=/ length=5"},
		{"default port", "GET / HTTP/1.1\r\nHost: x:\r\n\r\n", "GET host=x: path=/ none"},
		{"absolute", "GET http://x:80/a HTTP/1.1\r\nHost: X:80\r\n\r\n", "GET host=x:80 path=/a none"},
		{"absolute without path", "GET https://x HTTP/1.1\r\nHost: x\r\n\r\n", "GET host=x path=/ none"},
		{"absolute with query only", "GET http://x?q HTTP/1.1\r\nHost: x\r\n\r\n", "GET host=x path=/?q none"},
		{"absolute of the server", "OPTIONS http://x HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS host=x path=* none"},
		{"asterisk", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS host=x path=* none"},
		{"two slashes", "GET //y/a HTTP/1.1\r\nHost: x\r\n\r\n", "GET host=x path=//y/a none"},
		{"IPv6", "GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n", "GET host=[2001:db8::1]:8080 path=/ none"},
		{"odd but a token", "get / HTTP/1.1\r\nHost: x\r\n\r\n", "get host=x path=/ none"},
		{"blanks around a value, tabs and Latin-1 in it", "GET / HTTP/1.1\r\nHost:\t x \r\nA: a\tb\xe9\r\nB:\r\n\r\n", "GET host=x path=/ none"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, h := range parseBothWays(t, test.head, (*Head).ParseRequest) {
				if diff := cmp.Diff(test.want, summary(h)); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// parseBothWays parses a head that must be accepted at once, and byte by byte in a buffer that moves.
func parseBothWays(t *testing.T, head string, parse func(*Head, []byte) (int, error)) [2]*Head {
	t.Helper()
	var whole, pieces Head
	n, err := parse(&whole, []byte(head+"next"))
	if n != len(head) || err != nil {
		t.Fatalf("whole: %d of %d bytes, %v", n, len(head), err)
	}
	for i := range len(head) + 1 {
		n, err = parse(&pieces, []byte(head[:i]))
		if err != nil || n != 0 && n != i {
			t.Fatalf("after %d bytes: %d, %v", i, n, err)
		}
	}
	if n != len(head) {
		t.Fatalf("in pieces: %d of %d bytes", n, len(head))
	}
	return [2]*Head{&whole, &pieces}
}

// TestOptions reads requests as an operator may choose.
func TestOptions(t *testing.T) {
	const rest = " HTTP/1.1\r\nHost: x\r\n"
	target := func(n int) string { return "GET /" + strings.Repeat("a", n-1) + rest }
	for _, test := range []struct {
		name    string
		options Options
		head    string
		status  int // 0: accepted
	}{
		{"strict paths", Options{StrictPaths: true}, "GET /100%" + rest + "\r\n", 400},
		{"strict paths, query", Options{StrictPaths: true}, "GET /?100%" + rest + "\r\n", 0},
		{"longest target", Options{MaxTarget: LongestTarget}, target(LongestTarget) + "\r\n", 0},
		{"target too long", Options{MaxTarget: LongestTarget}, target(LongestTarget+1) + "\r\n", 414},
		{"beyond the longest", Options{MaxTarget: 1 << 20}, target(LongestTarget+1) + "\r\n", 414},
		{"short targets", Options{MaxTarget: 100}, target(101) + "\r\n", 414},
		{"long target and fields", Options{MaxTarget: LongestTarget}, target(LongestTarget) + "A: " + strings.Repeat("a", 8000) + "\r\n\r\n", 0},
		{"longest head", Options{MaxTarget: LongestTarget}, "GET /" + rest + "A: " + strings.Repeat("a", LongestHead) + "\r\n\r\n", 431},
		{"short targets, and fields", Options{MaxTarget: 100}, "GET /" + rest + "A: " + strings.Repeat("a", MaxHead-100) + "\r\n\r\n", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := &Head{Options: test.options}
			h.Reset()
			_, err := h.ParseRequest([]byte(test.head))
			var refused *Error
			if errors.As(err, &refused); (refused != nil || test.status != 0) && (refused == nil || refused.Status != test.status) {
				t.Errorf("got %v, want %d", err, test.status)
			}
		})
	}
}

func TestRefusedRequests(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: x\r\n"
	for _, test := range []struct {
		head   string
		status int
		reason string
	}{
		{"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "empty start line"},
		{"\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid method"},
		{"\x16\x03\x01", 400, "invalid method"},
		{" GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid method"},
		{"G(T / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid method"},
		{"GET / HTTP/1.1\nHost: x\r\n\r\n", 400, "bare LF"},
		{"GET / HTTP/1.1\r\nHost: x\n\n", 400, "bare LF"},
		{"GET / HTTP/1.1\r\nHost: x\r\n\n", 400, "bare LF"},
		{"GET / HTTP/1.1\rHost: x\r\n\r\n", 400, "invalid version"},
		{"GET /\r\n\r\n", 400, "request line without version"},
		{"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid version"},
		{"GET /  HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid version"},
		{"GET / HTTP/1.1 \r\nHost: x\r\n\r\n", 400, "invalid version"},
		{"GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid method"},
		{"GET / http/1.1\r\nHost: x\r\n\r\n", 400, "invalid version"},
		{"GET / HTTP/1.10\r\nHost: x\r\n\r\n", 400, "invalid version"},
		{"GET / HTTP/0.9\r\nHost: x\r\n\r\n", 505, "version of HTTP not supported"},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "version of HTTP not supported"},
		{"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", 501, "CONNECT"},
		{"GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid target"},
		{"GET x HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid target"},
		{"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid target"},
		{"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid target"},
		{"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid target"},
		{"GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid target"},
		{"GET http:/x HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid target"},
		{"GET http:///a HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid target"},
		{"GET http://u@x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid target"},
		{"GET http://x/ HTTP/1.1\r\nHost: y\r\n\r\n", 400, "Host differs from the target"},
		{"GET / HTTP/1.1\r\n\r\n", 400, "Host missing"},
		{"GET http://x/ HTTP/1.1\r\n\r\n", 400, "Host missing"},
		{get + "Host: x\r\n\r\n", 400, "repeated Host"},
		{"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "invalid Host"},
		{"GET / HTTP/1.1\r\nHost: x y\r\n\r\n", 400, "invalid Host"},
		{"GET / HTTP/1.1\r\nHost: x\r\nHost: z\r\n\r\n", 400, "repeated Host"},
		{"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", 400, "invalid Host"},
		{"GET / HTTP/1.1\r\nHost: u@x\r\n\r\n", 400, "invalid Host"},
		{"GET / HTTP/1.1\r\nHost: x,y\r\n\r\n", 400, "invalid Host"},
		{"GET / HTTP/1.1\r\nHost: x:65536\r\n\r\n", 400, "invalid Host"},
		{"GET / HTTP/1.1\r\nHost: x:80a\r\n\r\n", 400, "invalid Host"},
		{"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400, "invalid Host"},
		{"GET / HTTP/1.1\r\nHost: [1.2.3.4]\r\n\r\n", 400, "invalid Host"},
		{"GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400, "folded field"},
		{get + "A: b\r\n c\r\n\r\n", 400, "folded field"},
		{get + "A: b\r\n\tc\r\n\r\n", 400, "folded field"},
		{get + "A : b\r\n\r\n", 400, "blank in a field's name"},
		{get + "A\t: b\r\n\r\n", 400, "blank in a field's name"},
		{get + "A b: c\r\n\r\n", 400, "blank in a field's name"},
		{get + "A\r\n\r\n", 400, "field without colon"},
		{get + ": b\r\n\r\n", 400, "invalid name of a field"},
		{get + "A\x00: b\r\n\r\n", 400, "invalid name of a field"},
		{get + "\xc3: b\r\n\r\n", 400, "invalid name of a field"},
		{get + "(A): b\r\n\r\n", 400, "invalid name of a field"},
		{get + "A: b\x00c\r\n\r\n", 400, "control character in a field's value"},
		{get + "A: 0123456789\x00bcdefghij\r\n\r\n", 400, "control character in a field's value"},
		{get + "A: 0123456789\x7fbcdefghij\r\n\r\n", 400, "control character in a field's value"},
		{get + "A: b\rc\r\n\r\n", 400, "control character in a field's value"},
		{get + "A: b\r\r\n\r\n", 400, "control character in a field's value"},
		{get + "A: b\x0b\r\n\r\n", 400, "control character in a field's value"},
		{get + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400, "repeated Content-Length"},
		{get + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400, "repeated Content-Length"},
		{get + "Content-Length: 5, 5\r\n\r\n", 400, "invalid Content-Length"},
		{get + "Content-Length: +5\r\n\r\n", 400, "invalid Content-Length"},
		{get + "Content-Length: -5\r\n\r\n", 400, "invalid Content-Length"},
		{get + "Content-Length: 0x5\r\n\r\n", 400, "invalid Content-Length"},
		{get + "Content-Length: 5 5\r\n\r\n", 400, "invalid Content-Length"},
		{get + "Content-Length:\r\n\r\n", 400, "invalid Content-Length"},
		{get + "Content-Length: 9223372036854775808\r\n\r\n", 400, "invalid Content-Length"},
		{get + "Content-Length: 18446744073709551617\r\n\r\n", 400, "invalid Content-Length"},
		{get + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "Transfer-Encoding together with Content-Length"},
		{get + "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", 400, "Transfer-Encoding together with Content-Length"},
		{get + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "repeated Transfer-Encoding"},
		{"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "Transfer-Encoding in HTTP/1.0"},
		{get + "Transfer-Encoding: xchunked\r\n\r\n", 501, "transfer coding not supported"},
		{get + "Transfer-Encoding: chunked, identity\r\n\r\n", 501, "transfer coding not supported"},
		{get + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "transfer coding not supported"},
		{get + "Transfer-Encoding: chunked,\r\n\r\n", 501, "transfer coding not supported"},
		{get + "Transfer-Encoding: chunked;a=b\r\n\r\n", 501, "transfer coding not supported"},
		{get + "Transfer-Encoding: \"chunked\"\r\n\r\n", 501, "transfer coding not supported"},
		{get + "Transfer-Encoding: identity\r\n\r\n", 501, "transfer coding not supported"},
		{get + "Transfer-Encoding:\r\n\r\n", 501, "transfer coding not supported"},
		{get + "Transfer-Encoding: chun\x0bked\r\n\r\n", 400, "control character in a field's value"},
		{get + "Transfer-Encoding : chunked\r\n\r\n", 400, "blank in a field's name"},
		{get + "Transfer-Encoding: chunked\x00\r\n\r\n", 400, "control character in a field's value"},
		{get + "Connection: Host\r\n\r\n", 400, "Connection names a field that is for all"},
		{get + "Connection: close, Content-Length\r\n\r\n", 400, "Connection names a field that is for all"},
		{get + "Connection: a b\r\n\r\n", 400, "invalid Connection"},
		{get + "Trailer: X, Content-Length\r\n\r\n", 400, "Trailer names a field that must be in the header"},
		{"GET /" + strings.Repeat("a", MaxTarget) + " HTTP/1.1\r\nHost: x\r\n\r\n", 414, "target too long"},
		{"GET /" + strings.Repeat("a", MaxTarget+100) + " HTTP/1.1\r\nHost: x\r\n\r\n", 414, "request line too long"},
		{get + "A: " + strings.Repeat("a", MaxHead) + "\r\n\r\n", 431, "head too long"},
		{get + strings.Repeat("A: b\r\n", MaxFields) + "\r\n", 431, "too many fields"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			expectRefusal(t, test.head, (*Head).ParseRequest, &Error{test.status, test.reason})
		})
	}
}

// expectRefusal parses a head at once and byte by byte.
func expectRefusal(t *testing.T, head string, parse func(*Head, []byte) (int, error), want *Error) {
	t.Helper()
	var whole, pieces Head
	_, err := parse(&whole, []byte(head))
	expectError(t, "whole", err, want)
	for i := range len(head) + 1 {
		if _, err = parse(&pieces, []byte(head[:i])); err != nil {
			break
		}
	}
	expectError(t, "in pieces", err, want)
}

func expectError(t *testing.T, what string, err error, want *Error) {
	t.Helper()
	var got *Error
	if !errors.As(err, &got) {
		t.Fatalf("%s: not refused (%v), want %d %s", what, err, want.Status, want.Reason)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: %s", what, diff)
	}
}

func parseResponseTo(method string) func(*Head, []byte) (int, error) {
	return func(h *Head, p []byte) (int, error) { return h.ParseResponse(p, method) }
}

func TestAcceptedResponses(t *testing.T) {
	for _, test := range []struct{ name, method, head, want string }{
		{"length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", `200 "OK" length=5`},
		{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", `200 "OK" chunked`},
		{"until close", "GET", "HTTP/1.1 200 OK\r\n\r\n", `200 "OK" until-close close`},
		{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", `200 "OK" length=5 close`},
		{"HTTP/1.0 that stays", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n", `200 "OK" length=5`},
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", `200 "OK" none`},
		{"HEAD, chunked", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", `200 "OK" none`},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", `304 "Not Modified" none`},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", `204 "No Content" none`},
		{"204 with a length of 0", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", `204 "No Content" none`},
		{"204 with a length", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", `204 "No Content" none close`},
		{"204, chunked", "GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", `204 "No Content" none close`},
		{"100 with a length", "GET", "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n", `100 "Continue" none close`},
		{"100", "GET", "HTTP/1.1 100 Continue\r\n\r\n", `100 "Continue" none`},
		{"101", "GET", "HTTP/1.1 101 \r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", `101 "" none upgrade`},
		{"two equal lengths", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", `200 "OK" length=5`},
		{"a list of equal lengths", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5 , 5\r\nContent-Length: 5\r\n\r\n", `200 "OK" length=5`},
		{"length and chunked", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", `200 "OK" chunked close`},
		{"LF for CRLF", "GET", "HTTP/1.1 200 OK\nContent-Length: 5\nA: b\n\n", `200 "OK" length=5`},
		{"LF and CRLF", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\n\r\n", `200 "OK" length=5`},
		{"999", "GET", "HTTP/1.1 999 No\r\nContent-Length: 0\r\n\r\n", `999 "No" length=0`},
		{"HTTP/1.2", "GET", "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n", `200 "OK" length=0`},
		{"no reason", "GET", "HTTP/1.1 599\r\nContent-Length: 0\r\n\r\n", `599 "" length=0`},
		{"close", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", `200 "OK" length=0 close`},
		{"Connection names Transfer-Encoding", "GET", "HTTP/1.1 200 OK\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n", `200 "OK" chunked`},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, h := range parseBothWays(t, test.head, parseResponseTo(test.method)) {
				if diff := cmp.Diff(test.want, summary(h)); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestRefusedResponses(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, test := range []struct{ head, reason string }{
		{"\r\nHTTP/1.1 200 OK\r\n\r\n", "empty start line"},
		{"\nHTTP/1.1 200 OK\n\n", "empty start line"},
		{"HTTP/1.1 200 OK\nA: b\rc\n\n", "control character in a field's value"},
		{"HTTP/1.1 200 OK\nA: b\n c\n\n", "folded field"},
		{"HTTP/1.1  200 OK\r\n\r\n", "invalid status line"},
		{"HTTP/1.1 20 OK\r\n\r\n", "invalid status line"},
		{"HTTP/1.1 2000 OK\r\n\r\n", "invalid status line"},
		{"HTTP/1.1 099 OK\r\n\r\n", "invalid status"},
		{"HTTP/1.1 +20 OK\r\n\r\n", "invalid status"},
		{"HTTP/2.0 200 OK\r\n\r\n", "version of HTTP not supported"},
		{"ICY 200 OK\r\n\r\n", "invalid status line"},
		{"HTTP/1.1 200 O\x00K\r\n\r\n", "invalid reason phrase"},
		{"HTTP/1.1 200 O\rK\r\n\r\n", "invalid reason phrase"},
		{ok + "A: b\r\n c\r\n\r\n", "folded field"},
		{ok + "A : b\r\n\r\n", "blank in a field's name"},
		{ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "different values of Content-Length"},
		{ok + "Content-Length: 5\r\nContent-Length: 5, 6\r\n\r\n", "different values of Content-Length"},
		{ok + "Content-Length: 5,6\r\n\r\n", "different values of Content-Length"},
		{ok + "Content-Length: 5\r\nContent-Length:\r\n\r\n", "different values of Content-Length"},
		{ok + "Content-Length: ,\r\n\r\n", "invalid Content-Length"},
		{ok + "Content-Length: +5\r\nTransfer-Encoding: chunked\r\n\r\n", "invalid Content-Length"},
		{ok + "Transfer-Encoding: gzip, chunked\r\n\r\n", "transfer coding not supported"},
		{"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding in HTTP/1.0"},
		{"HTTP/1.1 101 OK\r\n\r\n", "101 without Upgrade"},
		{ok + "A: " + strings.Repeat("a", MaxHead) + "\r\n\r\n", "head too long"},
		{ok + strings.Repeat("A: b\r\n", MaxFields+1) + "\r\n", "too many fields"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			expectRefusal(t, test.head, parseResponseTo("GET"), &Error{502, test.reason})
		})
	}
}

func TestPassedOnFields(t *testing.T) {
	for _, test := range []struct {
		name, head string
		drop       Set
		want       string
	}{
		{"as they are", "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n", 0, "Host: x\r\nA: b\r\n"},
		{"blanks are made one", "GET / HTTP/1.1\r\nHost:x \r\nA: b\r\nC:\t d\r\nE:\r\n\r\n", 0, "Host: x\r\nA: b\r\nC: d\r\nE: \r\n"},
		{"dropped", "GET / HTTP/1.1\r\nHost: x\r\nx-forwarded-FOR: b\r\nCookie: c\r\nA: b\r\n\r\n", SetOf(XForwardedFor, Cookie), "Host: x\r\nA: b\r\n"},
		{"hop by hop", "GET / HTTP/1.1\r\nConnection: close\r\nHost: x\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Connection: a\r\nA: b\r\nUpgrade: websocket\r\n\r\n", 0, "Host: x\r\nA: b\r\n"},
		{"named by Connection", "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\nC: d\r\nConnection: c, close\r\n\r\n", 0, "Host: x\r\nA: b\r\n"},
		{"upgrade", "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade, A\r\nA: b\r\n\r\n", 0, "Connection: Upgrade\r\nHost: x\r\nUpgrade: websocket\r\n"},
		{"upgrade, dropped", "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", SetOf(Upgrade), "Host: x\r\n"},
		{"framing", "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: ChunkeD\r\n\r\n", 0, "Host: x\r\nTransfer-Encoding: chunked\r\n"},
		{"host of the target", "GET http://x/ HTTP/1.0\r\nA: b\r\n\r\n", 0, "Host: x\r\nA: b\r\n"},
		{"no fields", "GET / HTTP/1.0\r\n\r\n", 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, h := range parseBothWays(t, test.head, (*Head).ParseRequest) {
				if diff := cmp.Diff(test.want, string(h.AppendFields(nil, test.drop))); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
	for _, test := range []struct{ name, head, want string }{
		{"length of a 204", "HTTP/1.1 204 \r\nContent-Length: 0\r\nA: b\r\n\r\n", "A: b\r\n"},
		{"length and chunks of a 204", "HTTP/1.1 204 \r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n", "A: b\r\n"},
		{"lines that end with LF", "HTTP/1.1 200 \nA: b\nC: d\r\nE: f\n\n", "A: b\r\nC: d\r\nE: f\r\n"},
		{"equal lengths", "HTTP/1.1 200 \r\nContent-Length: 5\r\nA: b\r\ncontent-length: 5\r\n\r\n", "Content-Length: 5\r\nA: b\r\n"},
		{"list of lengths", "HTTP/1.1 200 \r\nContent-Length: 5, 5\r\nA: b\r\n\r\n", "Content-Length: 5\r\nA: b\r\n"},
		{"length and chunks", "HTTP/1.1 200 \r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding: chunked\r\n"},
		{"framing named by Connection", "HTTP/1.1 200 \r\nConnection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding: chunked\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, h := range parseBothWays(t, test.head, parseResponseTo("GET")) {
				if diff := cmp.Diff(test.want, string(h.AppendFields(nil, 0))); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestEveryKnownNameIsFound(t *testing.T) {
	for k := Host; k < knownFields; k++ {
		for _, name := range []string{knownNames[k], strings.ToUpper(knownNames[k])} {
			if got := Lookup(name); got != k {
				t.Errorf("%s is %d, want %d", name, got, k)
			}
		}
		if len(knownNames[k]) > maxKnownName {
			t.Errorf("%s is longer than maxKnownName", knownNames[k])
		}
	}
	for name, want := range map[string]Known{"X_Real_IP": XRealIP, "x-ssl_client-dn": XSSLClientDN, "X_Forwarded-For": XForwardedForAlike} {
		if got := Lookup(name); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	for _, name := range []string{"", "a", "hosu", "x-forwarded-fox", "accept", "h\xf3st", "content_length", "transfer_encoding", "x_y"} {
		if got := Lookup(name); got != Unknown {
			t.Errorf("%q is %d", name, got)
		}
	}
}

func TestHeadIsReusable(t *testing.T) {
	var h Head
	for _, head := range []string{
		"POST http://y/ HTTP/1.0\r\nHost: y\r\nConnection: keep-alive, a\r\nContent-Length: 5\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		h.Reset()
		if n, err := h.ParseRequest([]byte(head)); n != len(head) || err != nil {
			t.Fatal(n, err)
		}
	}
	if got, want := summary(&h), "GET host=x path=/ none"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if h.Present != SetOf(Host) || h.Named("a") {
		t.Error("the fields of the message before are still there")
	}
}

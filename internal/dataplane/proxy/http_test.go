package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/dataplane"
)

// newHTTPBench is a bench whose listener speaks HTTP.
func newHTTPBench(t *testing.T, members ...dataplane.Member) *bench {
	t.Helper()
	b := newBench(t, members...)
	b.config.Listeners[0].Protocol = dataplane.HTTP
	b.config.Listeners[0].HTTP = &dataplane.Requests{Insert: []dataplane.Insertion{dataplane.XForwardedFor}}
	b.config.Pools[0].HTTP = true
	b.apply()
	return b
}

// script is a member that, on each connection, waits for each of these requests in turn, byte for byte, and gives the answer that
// follows it. Then it closes.
func script(t *testing.T, name string, turns ...string) dataplane.Member {
	return serve(t, name, func(c *net.TCPConn) {
		for i := 0; i+1 < len(turns); i += 2 {
			got := make([]byte, len(turns[i]))
			n, err := io.ReadFull(c, got)
			if err != nil && n == 0 && i == 0 {
				return
			}
			if diff := cmp.Diff(turns[i], string(got[:n])); diff != "" {
				t.Errorf("member %s, request %d: %s", name, i/2, diff)
				return
			}
			if _, err := io.WriteString(c, turns[i+1]); err != nil {
				return
			}
		}
	})
}

// helper lines of messages
const (
	get      = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	gotten   = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n"
	okay     = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	okayLast = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
)

// say sends what a client says on a new connection, ends it, and returns all that it gets.
func (b *bench) say(text string) string {
	b.t.Helper()
	conn := b.dial()
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		b.t.Errorf("request: %v", err)
	}
	_ = conn.CloseWrite()
	got, err := io.ReadAll(conn)
	if err != nil {
		b.t.Errorf("answer: %v after %q", err, got)
	}
	return string(got)
}

// page is what comes before the body of an answer of our own.
func firstLine(answer string) string { line, _, _ := strings.Cut(answer, "\r\n"); return line }

// TestConversations has a client and a member say these things to each other through a listener.
func TestConversations(t *testing.T) {
	for _, test := range []struct {
		name   string
		client string
		member []string // requests and answers, in turns
		want   string   // what the client gets
	}{
		{"a small answer", get, []string{gotten, okay}, okay},
		{"keep-alive", get + get, []string{gotten, okay, gotten, okay}, okay + okay},
		{"the client closes", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", []string{gotten, okay}, okayLast},
		{"the member closes", get, []string{gotten, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"}, okay},
		{
			"until the member closes", get,
			[]string{gotten, "HTTP/1.1 200 OK\r\n\r\nuntil the end"},
			"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end",
		},
		{
			"chunks both ways",
			"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
			[]string{
				"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
				"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nwxyz\r\n0\r\nX-Sum: 1\r\n\r\n",
			},
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nwxyz\r\n0\r\nX-Sum: 1\r\n\r\n",
		},
		{
			"a body, and another request",
			"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" + get,
			[]string{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX-Forwarded-For: 127.0.0.1\r\n\r\nabc", okay, gotten, okay},
			okay + okay,
		},
		{
			"HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + get,
			[]string{strings.Replace(gotten, "GET", "HEAD", 1), "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", gotten, okay},
			"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" + okay,
		},
		{
			"204 and 304", get + get + get,
			[]string{gotten, "HTTP/1.1 204 No Content\r\n\r\n", gotten, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", gotten, okay},
			"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n" + okay,
		},
		{
			"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n",
			[]string{"GET / HTTP/1.0\r\nConnection: keep-alive\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"},
			okayLast,
		},
		{
			"HTTP/1.0 with keep-alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
			[]string{"GET / HTTP/1.0\r\nConnection: keep-alive\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"},
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
		},
		{
			"interim answers",
			"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
			[]string{
				"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n",
				"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", "abc", okay,
			},
			"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + okay,
		},
		{
			"hop-by-hop fields",
			"GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nX-End: 2\r\n\r\n",
			[]string{
				"GET / HTTP/1.1\r\nHost: a\r\nX-End: 2\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n",
				"HTTP/1.1 200 OK\r\nConnection: x-hop\r\nX-Hop: 1\r\nContent-Length: 2\r\n\r\nok",
			},
			okay,
		},
		{
			"lines that end with LF", get, []string{gotten, "HTTP/1.1 200 OK\nContent-Length: 2\n\nok"}, okay,
		},
		{
			"the same length twice", get, []string{gotten, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"}, okay,
		},
		{
			"a length and chunks", get,
			[]string{gotten, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"},
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		},
		{
			"a body where there cannot be one", get,
			[]string{gotten, "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok"},
			"HTTP/1.1 204 No Content\r\n\r\n",
		},
		{
			"statuses of no class", get + get,
			[]string{gotten, "HTTP/1.1 600 A\r\nContent-Length: 0\r\n\r\n", gotten, "HTTP/1.1 999 B\r\nContent-Length: 0\r\n\r\n"},
			"HTTP/1.1 600 A\r\nContent-Length: 0\r\n\r\nHTTP/1.1 999 B\r\nContent-Length: 0\r\n\r\n",
		},
		{"a later version", "GET / HTTP/1.9\r\nHost: a\r\n\r\n", []string{gotten, "HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok"}, okay},
		{
			"a percent sign in the path", "GET /100%?%zz HTTP/1.1\r\nHost: a\r\n\r\n",
			[]string{strings.Replace(gotten, "/", "/100%?%zz", 1), okay},
			okay,
		},
		{
			"another expectation", "POST / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\nContent-Length: 1\r\n\r\nx",
			[]string{"POST / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\nContent-Length: 1\r\nX-Forwarded-For: 127.0.0.1\r\n\r\nx", okay},
			okay,
		},
		{
			"names that look like inserted ones", "GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded-FOR: 1.2.3.4\r\nX_Y: z\r\nX-Forwarded-For: 5.6.7.8\r\n\r\n",
			[]string{"GET / HTTP/1.1\r\nHost: a\r\nX_Y: z\r\nX-Forwarded-For: 5.6.7.8\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n", okay},
			okay,
		},
		{
			"an absolute target", "GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n",
			[]string{"GET /b?c HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n", okay},
			okay,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			bench := newHTTPBench(t, script(t, "a", test.member...))
			if diff := cmp.Diff(test.want, bench.say(test.client)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestOwnAnswers has clients and members that do not keep to the rules, and no member at all.
func TestOwnAnswers(t *testing.T) {
	for _, test := range []struct {
		name   string
		client string
		member []string // nil: no member at all; one empty string: it closes
		want   string   // the first line of the last answer
	}{
		{"no member", get, nil, "HTTP/1.1 503 Service Unavailable"},
		{"nonsense", "\x16\x03\x01", nil, "HTTP/1.1 400 Bad Request"},
		{"two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", nil, "HTTP/1.1 400 Bad Request"},
		{"a long head", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 20_000) + "\r\n\r\n", nil, "HTTP/1.1 431 Request Header Fields Too Large"},
		{"CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", nil, "HTTP/1.1 501 Not Implemented"},
		{"version", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", nil, "HTTP/1.1 505 HTTP Version Not Supported"},
		{
			"a bad chunk", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", nil,
			"HTTP/1.1 400 Bad Request",
		},
		{"the member speaks nonsense", get, []string{gotten, "SSH-2.0-x\r\n"}, "HTTP/1.1 502 Bad Gateway"},
		{"the member ends in its head", get, []string{gotten, "HTTP/1.1 200 OK\r\nContent-"}, "HTTP/1.1 502 Bad Gateway"},
		{"the member ends without a word", get, []string{gotten, ""}, "HTTP/1.1 502 Bad Gateway"},
		{"the member's chunk is bad", get, []string{gotten, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345xx"}, "HTTP/1.1 502 Bad Gateway"},
		{"chunks for HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", []string{
			"GET / HTTP/1.0\r\nConnection: keep-alive\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		}, "HTTP/1.1 502 Bad Gateway"},
	} {
		t.Run(test.name, func(t *testing.T) {
			bench := newHTTPBench(t)
			if test.member != nil {
				bench.config.Pools[0].Members = []dataplane.Member{script(t, "a", test.member...)}
				bench.apply()
			}
			got := bench.say(test.client)
			if diff := cmp.Diff(test.want, firstLine(got)); diff != "" {
				t.Error(diff)
			}
			answer, err := http.ReadResponse(bufio.NewReader(strings.NewReader(got)), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, answer.Body); err != nil {
				t.Error(err)
			}
			eventually(t, "the connection ends", func() bool { return bench.counters().Active == 0 })
			if n := bench.counters().Responses[answer.StatusCode/100]; n != 1 {
				t.Errorf("%d responses were counted", n)
			}
		})
	}
}

// httpMember is a member that is a server of net/http.
func httpMember(t *testing.T, name string, handler http.HandlerFunc) dataplane.Member {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.20.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: patience}
	done := make(chan struct{})
	go func() { _ = server.Serve(l); close(done) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return member(name, l.Addr().String())
}

// client is a client of net/http, with connections of its own.
func client(t *testing.T) *http.Client {
	transport := &http.Transport{ExpectContinueTimeout: patience, MaxIdleConnsPerHost: 100}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 3 * patience, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}

// TestLargeBodies sends bodies both ways, with both framings, and compares them.
func TestLargeBodies(t *testing.T) {
	bench := newHTTPBench(t, httpMember(t, "a", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if r.ContentLength >= 0 {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		}
		_, _ = w.Write(body)
	}))
	client := client(t)
	for _, size := range []int{0, 1, 100, 16 << 10, 16<<10 - 200, 100_000, 5 << 20} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprint(size, chunked), func(t *testing.T) {
				body := bytes.Repeat([]byte("0123456789abcdefg"), size/17+1)[:size]
				request, _ := http.NewRequest("POST", "http://"+bench.addr()+"/", bytes.NewReader(body))
				if chunked {
					request.ContentLength = -1
				}
				answer, err := client.Do(request)
				if err != nil {
					t.Fatal(err)
				}
				defer answer.Body.Close()
				got, err := io.ReadAll(answer.Body)
				if err != nil || !bytes.Equal(got, body) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			})
		}
	}
	if n := bench.counters().Total; n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestUpstreamsAreReused(t *testing.T) {
	m := httpMember(t, "a", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) })
	bench := newHTTPBench(t, m)
	seen := map[string]bool{}
	client := client(t)
	for range 20 {
		answer, err := client.Get("http://" + bench.addr() + "/")
		if err != nil {
			t.Fatal(err)
		}
		from, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		seen[string(from)] = true
	}
	if len(seen) != 1 {
		t.Errorf("%d connections to the member", len(seen))
	}
}

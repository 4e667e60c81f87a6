package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
	"poise/internal/testpki"
)

// TestLimitsThatAnOperatorChose has a listener take longer targets, and stricter paths, than by default.
func TestLimitsThatAnOperatorChose(t *testing.T) {
	path := "/" + strings.Repeat("a", 16<<10-1)
	long := "GET " + path + " HTTP/1.1\r\nHost: a\r\n"
	bench := newHTTPBench(t, script(t, "a", long+"X-Forwarded-For: 127.0.0.1\r\n\r\n", okay))
	if got := bench.say(long + "\r\n"); firstLine(got) != "HTTP/1.1 414 URI Too Long" {
		t.Errorf("by default: %q", got)
	}
	bench.config.Listeners[0].HTTP = &dataplane.Requests{
		Insert: []dataplane.Insertion{dataplane.XForwardedFor}, Limits: dataplane.Limits{MaxTarget: 16 << 10, StrictPaths: true},
	}
	bench.apply()
	if got := bench.say(long + "\r\n"); got != okay {
		t.Errorf("a target of 16 KiB: %q", got)
	}
	if got := bench.say("GET /100% HTTP/1.1\r\nHost: a\r\n\r\n"); firstLine(got) != "HTTP/1.1 400 Bad Request" {
		t.Errorf("a path that is malformed: %q", got)
	}
}

// TestSlowBody has clients send a part of a body, and another byte when the time is over that they have at the least rate.
func TestSlowBody(t *testing.T) {
	for _, test := range []struct {
		name string
		rate int
		want string
	}{
		{"below the rate", 1_000_000, "HTTP/1.1 408 Request Timeout"},
		{"without a rate", 0, firstLine(okay)},
	} {
		t.Run(test.name, func(t *testing.T) {
			bench := newHTTPBench(t, httpMember(t, "a", func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
			bench.config.Listeners[0].HTTP = &dataplane.Requests{Limits: dataplane.Limits{MinBodyRate: test.rate}}
			bench.apply()
			follower := bench.server.Log("listener").Follow(t.Context())
			conn := bench.dial()
			tell(t, conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\nx")
			eventually(t, "the member has the request", func() bool { return bench.server.MemberCounters()[memberA].Active == 1 })
			bench.engine.onEachLoop(func(l *loop) { // half a minute passes
				for s := range l.sessions.all() {
					if s.x != nil && s.x.bodyFromMs != 0 {
						s.x.bodyFromMs -= bodyGraceMs
					}
				}
			})
			tell(t, conn, "x")
			if test.rate == 0 {
				tell(t, conn, strings.Repeat("x", 18))
			}
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || answer.Proto+" "+answer.Status != test.want {
				t.Errorf("got %+v, %v", answer, err)
			}
			if r := <-follower.Records; test.rate > 0 && r.End != accesslog.ClientTimeout {
				t.Errorf("record %+v", r)
			}
		})
	}
}

// TestPlainHTTPAtTLSPort has clients say something else than a handshake; they are told, or let go without a reset.
func TestPlainHTTPAtTLSPort(t *testing.T) {
	pair := testpki.NewAuthority(t, "test").Issue(t, "site.example")
	bench := newHTTPBench(t)
	bench.config.Listeners[0].TLS = &dataplane.ServerTLS{Certificates: []dataplane.Certificate{certificate(t, pair)}}
	bench.apply()
	for says, want := range map[string]string{
		get: "HTTP/1.1 400 Bad Request", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n": "HTTP/1.1 400 Bad Request",
		"\x00\x01\x02\x03\x04\x05\x06": "", "hello, is anybody there?": "",
	} {
		conn, err := net.Dial("tcp", bench.addr())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		tell(t, conn, says)
		got, err := io.ReadAll(conn)
		_ = conn.Close()
		if err != nil || firstLine(string(got)) != want {
			t.Errorf("%q is answered with %q, %v", says, got, err)
		}
	}
	eventually(t, "they have gone", func() bool { return bench.counters().Active == 0 })
}

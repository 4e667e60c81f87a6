package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
)

// expect reads exactly want from a connection.
func expect(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(c, got)
	if diff := cmp.Diff(want, string(got[:n])); diff != "" {
		t.Fatalf("%s(%v)", diff, err)
	}
}

// expectEnd reads the end of a connection.
func expectEnd(t *testing.T, c net.Conn) {
	t.Helper()
	if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
		t.Errorf("instead of the end: %q, %v", rest, err)
	}
}

func tell(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// TestUpgrade changes the protocol: bytes sent together with request and answer arrive as well, and either side may end first.
func TestUpgrade(t *testing.T) {
	const request = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	const switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	bench := newHTTPBench(t, serve(t, "a", func(c *net.TCPConn) {
		if _, err := http.ReadRequest(bufio.NewReader(io.LimitReader(c, int64(len(request)+len("X-Forwarded-For: 127.0.0.1\r\n"))))); err != nil {
			t.Errorf("request: %v", err)
			return
		}
		_, _ = io.WriteString(c, switched+"hello")
		_, _ = io.Copy(c, c)
		_ = c.CloseWrite()
	}))
	conn := bench.dial()
	tell(t, conn, request+"early")
	expect(t, conn, switched+"hello"+"early")
	big := strings.Repeat("x", 1<<20)
	go func() { _, _ = io.WriteString(conn, big); _ = conn.CloseWrite() }()
	expect(t, conn, big)
	expectEnd(t, conn)
	eventually(t, "the tunnel ends", func() bool { return bench.counters().Active == 0 })
	if c := bench.counters(); c.Responses[1] != 1 || c.Requests != 1 || c.BytesOut < 1<<20 {
		t.Errorf("counters: %+v", c)
	}
}

// TestUpgradeIsRefused has a member that goes on with HTTP, and one that switches without having been asked.
func TestUpgradeIsRefused(t *testing.T) {
	asks := "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
	bench := newHTTPBench(t, httpMember(t, "a", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("Upgrade"))
	}))
	got := bench.say(asks + get)
	if !strings.Contains(got, "\r\n\r\nxHTTP/1.1 200 OK") {
		t.Errorf("%q", got)
	}
	bench.config.Pools[0].Members[0] = script(t, "b", gotten, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	bench.apply()
	if got := firstLine(bench.say(get)); got != "HTTP/1.1 502 Bad Gateway" {
		t.Error(got)
	}
}

// TestSilentSides lets each side be silent where something is expected of it.
func TestSilentSides(t *testing.T) {
	const post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
	for _, test := range []struct {
		name           string
		client, member time.Duration
		says           string
		answers        string
		want           string // the first line that the client gets
		end            accesslog.End
	}{
		{"no request", 60 * time.Millisecond, time.Minute, "", "", "", ""},
		{"part of a head", 60 * time.Millisecond, time.Minute, "GET / HT", "", "HTTP/1.1 408 Request Timeout", accesslog.ClientTimeout},
		{"part of a body", 60 * time.Millisecond, time.Minute, post + "12345", "", "HTTP/1.1 408 Request Timeout", accesslog.ClientTimeout},
		{"after an answer", 60 * time.Millisecond, time.Minute, get, okay, "HTTP/1.1 200 OK", accesslog.Complete},
		{"no answer", time.Minute, 60 * time.Millisecond, get, "", "HTTP/1.1 504 Gateway Timeout", accesslog.MemberTimeout},
		{"part of an answer's head", time.Minute, 60 * time.Millisecond, get, "HTTP/1.1 200 OK\r\nX", "HTTP/1.1 504 Gateway Timeout", accesslog.MemberTimeout},
		{
			"nobody continues", time.Minute, 60 * time.Millisecond, strings.Replace(post, "\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n", 1),
			"", "HTTP/1.1 504 Gateway Timeout", accesslog.MemberTimeout,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			bench := newHTTPBench(t, serve(t, "a", func(c *net.TCPConn) {
				if test.answers != "" {
					_, _ = c.Read(make([]byte, 1024))
				}
				_, _ = io.WriteString(c, test.answers)
				_, _ = io.Copy(io.Discard, c)
			}))
			bench.config.Listeners[0].ClientTimeout, bench.config.Listeners[0].MemberTimeout = test.client, test.member
			bench.apply()
			follower := bench.server.Log("listener").Follow(t.Context())
			conn := bench.dial()
			tell(t, conn, test.says)
			got, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil && err != io.EOF {
				t.Error(err)
			}
			if diff := cmp.Diff(test.want, firstLine(got)); diff != "" {
				t.Error(diff)
			}
			if test.end == "" {
				return
			}
			select {
			case r := <-follower.Records:
				if r.End != test.end || r.ListenerID != "listener" {
					t.Errorf("record: %+v", r)
				}
			case <-time.After(patience):
				t.Error("no record")
			}
		})
	}
}

// TestAnswerThatBreaksOff must not look complete. The client gets what there is of it, and then the end.
func TestAnswerThatBreaksOff(t *testing.T) {
	for name, answer := range map[string]string{
		"length":        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
		"chunks":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345",
		"a large piece": "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 900_000),
	} {
		t.Run(name, func(t *testing.T) {
			bench := newHTTPBench(t, script(t, "a", gotten, answer))
			conn := bench.dial()
			tell(t, conn, get)
			read, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(read.Body)
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%d bytes look complete: %v", len(body), err)
			}
			if !strings.HasSuffix(answer, string(body)) || len(body) < 5 {
				t.Errorf("%d bytes of it arrive", len(body))
			}
			eventually(t, "the connection ends", func() bool { return bench.counters().Active == 0 })
			counters := bench.server.MemberCounters()[dataplane.MemberKey{ListenerID: "listener", PoolID: "pool", MemberID: "a"}]
			if counters.ResponseErrors != 1 || counters.Active != 0 {
				t.Errorf("%+v", counters)
			}
		})
	}
}

// TestEarlyAnswer comes while the client still sends a body that nobody reads; the client gets all of it.
func TestEarlyAnswer(t *testing.T) {
	answer := "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno!"
	for _, test := range []struct {
		name  string
		after string // what the member does then
	}{{"the member closes", "close"}, {"the member goes on", "wait"}} {
		t.Run(test.name, func(t *testing.T) {
			bench := newHTTPBench(t, serve(t, "a", func(c *net.TCPConn) {
				_, _ = c.Read(make([]byte, 1024))
				_, _ = io.WriteString(c, answer)
				if test.after == "wait" {
					_, _ = io.Copy(io.Discard, c)
				}
			}))
			conn := bench.dial()
			tell(t, conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n")
			expect(t, conn, strings.Replace(answer, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))
			_, _ = io.WriteString(conn, strings.Repeat("x", 500_000)) // may fail
			eventually(t, "the connection ends", func() bool {
				_, _ = io.WriteString(conn, strings.Repeat("x", 300_000))
				return bench.counters().Active == 0
			})
		})
	}
}

// TestAnswersSurviveUnreadInput has clients that send much more than is read before they get their last answer.
func TestAnswersSurviveUnreadInput(t *testing.T) {
	for range 20 {
		bench := newHTTPBench(t)
		conn := bench.dial()
		go func() {
			_, _ = io.WriteString(conn, "nonsense \r\n"+strings.Repeat("x", 200_000))
			_ = conn.CloseWrite()
		}()
		got, err := io.ReadAll(conn)
		if err != nil || firstLine(string(got)) != "HTTP/1.1 400 Bad Request" {
			t.Fatalf("%q, %v", got, err)
		}
	}
}

// TestMembersThatCannotBeReached has requests go on to others, and tells the client when there is none.
func TestMembersThatCannotBeReached(t *testing.T) {
	a := httpMember(t, "a", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a") })
	last := "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	t.Run("refused", func(t *testing.T) {
		bench := newHTTPBench(t, refusing(t, "x"), refusing(t, "y"), a)
		for range 6 {
			if got := bench.say(last); !strings.HasSuffix(got, "\r\n\r\na") {
				t.Errorf("%q", got)
			}
		}
		x := bench.server.MemberCounters()[dataplane.MemberKey{ListenerID: "listener", PoolID: "pool", MemberID: "x"}]
		if x.ConnectErrors == 0 || x.ConnectErrors != x.Redispatches || x.Total != 0 {
			t.Errorf("%+v", x)
		}
	})
	t.Run("silent", func(t *testing.T) {
		bench := newHTTPBench(t, silentMember(t, "x"), a)
		bench.config.Listeners[0].ConnectTimeout = 200 * time.Millisecond
		bench.apply()
		for range 6 {
			if got := bench.say(last); !strings.HasSuffix(got, "\r\n\r\na") {
				t.Errorf("%q", got)
			}
		}
	})
	t.Run("all", func(t *testing.T) {
		bench := newHTTPBench(t, refusing(t, "x"), refusing(t, "y"), refusing(t, "z"), refusing(t, "u"), refusing(t, "v"))
		follower := bench.server.Log("listener").Follow(t.Context())
		if got := firstLine(bench.say(get)); got != "HTTP/1.1 503 Service Unavailable" {
			t.Error(got)
		}
		if r := <-follower.Records; r.End != accesslog.MemberRefused || r.Status != 503 {
			t.Errorf("%+v", r)
		}
	})
}

// TestMemberClosesWaitingConnection has a member close a connection at the moment in which the next request is sent on it. As its
// end says that it has seen nothing of that, the request is sent once more.
func TestMemberClosesWaitingConnection(t *testing.T) {
	closing, closed := make(chan struct{}), make(chan struct{})
	bench := newHTTPBench(t, serve(t, "a", func(c *net.TCPConn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, okay)
			<-closing
			_ = c.Close()
			closed <- struct{}{}
		}
	}))
	conn := bench.dial()
	for range 50 {
		tell(t, conn, get)
		expect(t, conn, okay)
		resume := bench.halt()
		tell(t, conn, get) // the loop hears of this first
		closing <- struct{}{}
		<-closed
		resume()
		expect(t, conn, okay)
		closing <- struct{}{}
		<-closed
	}
	a := bench.server.MemberCounters()[dataplane.MemberKey{ListenerID: "listener", PoolID: "pool", MemberID: "a"}]
	if a.ResponseErrors != 0 {
		t.Errorf("%+v", a)
	}
}

// TestMemberSaysMoreThanItsAnswer has answers that are followed by what nobody has asked for. It must not be taken for the
// answer to somebody else's request, however much was read at once.
func TestMemberSaysMoreThanItsAnswer(t *testing.T) {
	for _, size := range []int{10, bufferSize - len(fmt.Sprintf(lengthHead, bufferSize)), 200_000, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			answer := fmt.Sprintf(lengthHead, size) + strings.Repeat("x", size)
			bench := newHTTPBench(t, serve(t, "a", func(c *net.TCPConn) {
				reader := bufio.NewReader(c)
				for {
					if _, err := http.ReadRequest(reader); err != nil {
						return
					}
					_, _ = io.WriteString(c, answer+"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
				}
			}))
			conn := bench.dial()
			for range 5 {
				tell(t, conn, get)
				expect(t, conn, answer)
			}
		})
	}
}

const lengthHead = "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"

// halt stops the loops until resume is called.
func (b *bench) halt() (resume func()) {
	halted, over := make(chan struct{}), make(chan struct{})
	for _, l := range b.engine.loops {
		l.post(func() { halted <- struct{}{}; <-over })
		<-halted
	}
	return func() { close(over) }
}

// TestRemovedListener has clients of a listener that is removed: who waits is dismissed, who is served gets the answer.
func TestRemovedListener(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	bench := newHTTPBench(t, serve(t, "a", func(c *net.TCPConn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			asked <- struct{}{}
			<-answer
			_, _ = io.WriteString(c, okay)
		}
	}))
	idle, busy := bench.dial(), bench.dial()
	eventually(t, "both are there", func() bool { return bench.counters().Active == 2 })
	tell(t, busy, get)
	<-asked
	bench.config.Listeners = nil
	bench.apply()
	expectEnd(t, idle)
	close(answer)
	expect(t, busy, okayLast)
	expectEnd(t, busy)
}

package proxy

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
)

var memberA = dataplane.MemberKey{ListenerID: "listener", PoolID: "pool", MemberID: "a"}

// TestRecordsAndCounters says what one good request leaves behind.
func TestRecordsAndCounters(t *testing.T) {
	const request, answer = "POST /p?q HTTP/1.1\r\nHost: site:80\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone"
	got := strings.Replace(request, "\r\n\r\n", "\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n", 1)
	bench := newHTTPBench(t, script(t, "a", got, answer))
	follower := bench.server.Log("listener").Follow(t.Context())
	conn := bench.dial()
	tell(t, conn, request)
	expect(t, conn, answer)
	_ = conn.Close()
	record := <-follower.Records
	want := accesslog.Record{
		ListenerID: "listener", Client: conn.LocalAddr().String(), Method: "POST", Host: "site:80", Target: "/p?q", Version: "HTTP/1.1",
		Status: 404, PoolID: "pool", MemberID: "a", BytesIn: uint64(len(request)), BytesOut: uint64(len(answer)), End: accesslog.Complete,
	}
	if diff := cmp.Diff(want, record, cmpopts.IgnoreFields(accesslog.Record{}, "Time", "ConnectMs", "ResponseMs", "TotalMs")); diff != "" {
		t.Error(diff)
	}
	if age := time.Since(record.Time); age < 0 || age > patience || record.TotalMs < record.ResponseMs {
		t.Errorf("%+v", record)
	}
	eventually(t, "the connection ends", func() bool { return bench.counters().Active == 0 })
	counters := dataplane.Counters{Total: 1, BytesIn: uint64(len(request)), BytesOut: uint64(len(answer)), Requests: 1, Responses: [6]uint64{4: 1}}
	if diff := cmp.Diff(counters, bench.counters()); diff != "" {
		t.Error(diff)
	}
	member := dataplane.MemberCounters{
		Total: 1, BytesIn: uint64(len(got)), BytesOut: uint64(len(answer)), Requests: 1, Responses: [6]uint64{4: 1},
	}
	ignored := cmpopts.IgnoreFields(dataplane.MemberCounters{}, "ConnectTime", "ResponseTime", "TotalTime")
	if diff := cmp.Diff(member, bench.server.MemberCounters()[memberA], ignored); diff != "" {
		t.Error(diff)
	}
}

// TestRecordsOfConnections says how TCP connections ended.
func TestRecordsOfConnections(t *testing.T) {
	for _, test := range []struct {
		name   string
		member func(*testing.T) dataplane.Member
		client func(*net.TCPConn)
		want   accesslog.End
	}{
		{"complete", func(t *testing.T) dataplane.Member { return named(t, "a") }, func(c *net.TCPConn) { _ = c.CloseWrite() }, accesslog.Complete},
		{"refused", func(t *testing.T) dataplane.Member { return refusing(t, "a") }, func(*net.TCPConn) {}, accesslog.MemberRefused},
		{
			"the client resets", func(t *testing.T) dataplane.Member { return echo(t, "a") },
			func(c *net.TCPConn) {
				_, _ = io.WriteString(c, "x")
				_, _ = c.Read(make([]byte, 1))
				_ = c.SetLinger(0)
				_ = c.Close()
			}, accesslog.ClientClosed,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			bench := newBench(t, test.member(t))
			follower := bench.server.Log("listener").Follow(t.Context())
			test.client(bench.dial())
			if record := <-follower.Records; record.End != test.want {
				t.Errorf("%+v", record)
			}
		})
	}
}

// TestPipelining sends many requests at once; the answers come in order.
func TestPipelining(t *testing.T) {
	const requests = 500
	bench := newHTTPBench(t, httpMember(t, "a", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) }))
	conn := bench.dial()
	go func() {
		for i := range requests {
			_, _ = fmt.Fprintf(conn, "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", i)
		}
	}()
	reader := bufio.NewReader(conn)
	for i := range requests {
		answer, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(answer.Body); string(body) != fmt.Sprintf("/%d", i) {
			t.Fatalf("answer %d is %q", i, body)
		}
	}
}

// TestByteByByte has both sides send one byte at a time.
func TestByteByByte(t *testing.T) {
	slow := func(c net.Conn, text string) {
		for i := range text {
			_, _ = io.WriteString(c, text[i:i+1])
			runtime.Gosched()
		}
	}
	answer := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n"
	bench := newHTTPBench(t, serve(t, "a", func(c *net.TCPConn) {
		reader := bufio.NewReader(c)
		for {
			request, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			if body, err := io.ReadAll(request.Body); err != nil || string(body) != "abc" {
				t.Errorf("%q, %v", body, err)
			}
			slow(c, answer)
		}
	}))
	conn := bench.dial()
	for range 3 {
		slow(conn, "\r\nPOST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n")
		expect(t, conn, answer)
	}
}

// TestNeverReadingClient asks for much and reads nothing: the member is held back, and nobody else is.
func TestNeverReadingClient(t *testing.T) {
	written := make(chan int, 1)
	bench := newHTTPBench(t, serve(t, "a", func(c *net.TCPConn) {
		request, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil || request.URL.Path == "/small" {
			_, _ = io.WriteString(c, okay)
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
		_ = c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		n, _ := c.Write(make([]byte, 100<<20))
		written <- n
	}))
	conn := dialSmall(t, bench.addr())
	tell(t, conn, get)
	if n := <-written; n > 50<<20 {
		t.Errorf("%d bytes were taken off the member", n)
	}
	if got := firstLine(bench.say("GET /small HTTP/1.1\r\nHost: a\r\n\r\n")); got != "HTTP/1.1 200 OK" {
		t.Error(got)
	}
}

// TestIdleUpstreamsMakeRoom has few descriptors: what waits for a next request is given up for new clients.
func TestIdleUpstreamsMakeRoom(t *testing.T) {
	a := httpMember(t, "a", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a") })
	const places = 4
	descriptors := newDescriptors(socketDescriptors + places*connDescriptors)
	bench := newBenchOn(t, descriptors, a)
	bench.config.Listeners[0].Protocol = dataplane.HTTP
	bench.apply()
	for range 3 {
		var conns []*net.TCPConn
		for range places {
			conn := bench.dial()
			tell(t, conn, get)
			if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
		}
		for _, conn := range conns {
			_ = conn.Close()
		}
	}
}

// TestWaitingClientsLendDescriptors has room for fewer connections to members than there are clients: those that wait for their next
// request need none, and are served one after the other when they come back.
func TestWaitingClientsLendDescriptors(t *testing.T) {
	a := httpMember(t, "a", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a") })
	const clients = 20
	bench := newBenchOn(t, newDescriptors(socketDescriptors+clients+2), a)
	bench.config.Listeners[0].Protocol = dataplane.HTTP
	bench.apply()
	var conns []*net.TCPConn
	for range clients {
		conns = append(conns, bench.dial())
		tell(t, conns[len(conns)-1], get)
		expectStatus(t, conns[len(conns)-1], http.StatusOK)
	}
	for _, conn := range conns {
		tell(t, conn, get)
		expectStatus(t, conn, http.StatusOK)
	}
}

func expectStatus(t *testing.T, conn net.Conn, want int) {
	t.Helper()
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || answer.StatusCode != want {
		t.Fatalf("%v, %v, want %d", answer, err, want)
	}
}

// TestNoDescriptorForTheRequest has the kernel refuse a socket: the one request gets a 503, the next is served.
func TestNoDescriptorForTheRequest(t *testing.T) {
	bench := newHTTPBench(t, serve(t, "a", func(c *net.TCPConn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, okayLast)
		}
	}))
	bench.server.Close()
	scarce := &scarceNet{}
	scarce.left.Store(2) // the first is the listener's
	bench.server = New(scarce, slog.New(slog.DiscardHandler), bench.engine, bench.engine.NewAccount())
	bench.apply()
	for _, want := range []string{"HTTP/1.1 200 OK", "HTTP/1.1 503 Service Unavailable"} {
		if got := firstLine(bench.say(get)); got != want {
			t.Errorf("%s instead of %s", got, want)
		}
	}
	scarce.left.Store(1)
	if got := firstLine(bench.say(get)); got != "HTTP/1.1 200 OK" {
		t.Errorf("afterwards: %s", got)
	}
}

// TestManySlowHeads is about memory: clients that have sent a few bytes of a head hold little.
func TestManySlowHeads(t *testing.T) {
	const clients = 1000
	bench := newHTTPBench(t)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range clients {
		tell(t, bench.dial(), "GET / HTTP/1.1\r\nHost:")
	}
	eventually(t, "all are read", func() bool {
		read := make(chan int, 1)
		n := 0
		for _, l := range bench.engine.loops {
			l.post(func() {
				count := 0
				for s := range l.sessions.all() {
					count += len(s.in)
				}
				read <- count
			})
			n += <-read
		}
		return n == clients*21
	})
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := int64(after.HeapAlloc-before.HeapAlloc) / clients; each > 8<<10 { // with the test's own side
		t.Errorf("%d bytes for each client", each)
	} else {
		t.Logf("%d bytes for each client", each)
	}
}

// TestLeastConnectionsCountsRequests rather than the connections that wait.
func TestLeastConnectionsCountsRequests(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	busy := httpMember(t, "busy", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			asked <- struct{}{}
			<-release
		}
		fmt.Fprint(w, "busy")
	})
	bench := newHTTPBench(t, busy)
	bench.config.Pools[0].Algorithm = dataplane.LeastConnections
	bench.apply()
	waiting := bench.dial()
	tell(t, waiting, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
	<-asked
	bench.config.Pools[0].Members = []dataplane.Member{busy, httpMember(t, "free", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "free") })}
	bench.apply()
	conn := bench.dial()
	reader := bufio.NewReader(conn)
	for range 6 {
		tell(t, conn, get)
		answer, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(answer.Body); string(body) != "free" {
			t.Errorf("a request went to %s", body)
		}
	}
	close(release)
}

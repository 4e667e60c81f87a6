package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
)

// refusing is the address of a port on which nobody listens.
func refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.30.3:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// answering is a member that answers every request with these bytes, and closes if they are none.
func answering(t *testing.T, answer string) string {
	return rawMember(t, func(conn net.Conn) {
		requests := bufio.NewReader(conn)
		for {
			r, err := http.ReadRequest(requests)
			if err != nil || answer == "" {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(conn, answer)
		}
	})
}

func TestMemberFailures(t *testing.T) {
	silent := rawMember(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	for _, test := range []struct {
		name   string
		member string
		status int // 0: the response breaks off
		end    accesslog.End
	}{
		{"refuses", refusing(t), 503, accesslog.MemberRefused},
		{"closes", answering(t, ""), 502, accesslog.MemberClosed},
		{"sends nonsense", answering(t, "SSH-2.0\r\n\r\n"), 502, accesslog.MemberInvalid},
		{"sends two lengths", answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na"), 502, accesslog.MemberInvalid},
		{"switches protocols unasked", answering(t, "HTTP/1.1 101 OK\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), 502, accesslog.MemberInvalid},
		{"is silent", silent, 504, accesslog.MemberTimeout},
		{"stops in the middle", answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nhello"), 0, accesslog.MemberTimeout},
		{"sends a bad chunk", answering(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n-5\r\n"), 0, accesslog.MemberInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, version := range []int{1, 2} {
				set := setting{listener: dataplane.Listener{MemberTimeout: 300 * time.Millisecond}}
				b := newBench(t, set, test.member)
				follower := b.log.Follow(t.Context())
				response, err := b.client(version).Get(b.url("/"))
				if err == nil {
					_, err = io.ReadAll(response.Body)
					_ = response.Body.Close()
				}
				if test.status == 0 && err == nil || test.status != 0 && (err != nil || response.StatusCode != test.status) {
					t.Errorf("HTTP/%d: %+v, %v", version, response, err)
				}
				if r := <-follower.Records; r.End != test.end {
					t.Errorf("HTTP/%d: ended as %q", version, r.End)
				}
			}
		})
	}
}

func TestAnotherMemberIsTried(t *testing.T) {
	good := member(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, "took ", string(body))
	})
	b := newBench(t, setting{}, refusing(t), refusing(t), good)
	for range 4 {
		request, _ := http.NewRequest("POST", b.url("/"), strings.NewReader("hello"))
		if response, body := b.do(b.client(2), request); body != "took hello" {
			t.Errorf("%d %q", response.StatusCode, body)
		}
	}
	if b.members[2].Read().Redispatches == 0 || b.members[0].Read().ConnectErrors == 0 {
		t.Error("not counted")
	}
}

// A request that a member may have begun with is not sent again, not even to the same member.
func TestTakenRequestsAreNotRepeated(t *testing.T) {
	var requests atomic.Int64
	die := rawMember(t, func(conn net.Conn) {
		reader := bufio.NewReader(conn)
		for first := true; ; first = false {
			if _, err := http.ReadRequest(reader); err != nil {
				return
			}
			requests.Add(1)
			if !first {
				return // without an answer
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	b := newBench(t, setting{}, die)
	client := b.client(2)
	b.get(client, "/")
	if response, _ := b.get(client, "/"); response.StatusCode != 502 || requests.Load() != 2 {
		t.Errorf("%d after %d requests", response.StatusCode, requests.Load())
	}
}

// A connection that its member closes while it is idle costs nobody a request.
func TestIdleConnectionsMayClose(t *testing.T) {
	closed := make(chan struct{}, 100)
	hasty := rawMember(t, func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
		_ = conn.Close()
		closed <- struct{}{}
	})
	b := newBench(t, setting{}, hasty)
	client := b.client(2)
	for range 100 {
		request, _ := http.NewRequest("POST", b.url("/"), strings.NewReader("x"))
		if response, _ := b.do(client, request); response.StatusCode != 200 {
			t.Fatal(response.StatusCode)
		}
		<-closed
	}
}

func TestConnectionsToMembersAreReused(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		var connections atomic.Int64
		b := newBench(t, setting{}, rawMember(t, func(conn net.Conn) {
			connections.Add(1)
			reader := bufio.NewReader(conn)
			for {
				if _, err := http.ReadRequest(reader); err != nil {
					return
				}
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
		}))
		if http2 {
			b = newBench(t, setting{membersTLS: http2ToMembers}, memberTLS(t, true, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, "ok")
			}))
		}
		client := b.client(2)
		for range 50 {
			b.get(client, "/")
		}
		if used := b.purse.used.Load(); used != 1 {
			t.Errorf("%d connections are open", used)
		}
	}
}

// A member that is asked for HTTP/2 and does not speak it gets HTTP/1.1.
func TestMembersWithoutHTTP2(t *testing.T) {
	b := newBench(t, setting{membersTLS: http2ToMembers}, memberTLS(t, false, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	}))
	for range 3 {
		if _, body := b.get(b.client(2), "/"); body != "HTTP/1.1" {
			t.Errorf("%q", body)
		}
	}
}

func TestClientsThatGoAway(t *testing.T) {
	came, left := make(chan struct{}, 10), make(chan struct{}, 10)
	onEachWay(t, setting{}, func(_ http.ResponseWriter, r *http.Request) {
		came <- struct{}{}
		<-r.Context().Done()
		left <- struct{}{}
	}, func(t *testing.T, b *bench, client *http.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		request, _ := http.NewRequestWithContext(ctx, "GET", b.url("/"), nil)
		done := make(chan error)
		go func() {
			_, err := client.Do(request)
			done <- err
		}()
		<-came
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		<-left
		eventually(t, "the abort is counted", func() bool { return b.members[0].Read().ClientAborts == 1 })
	})
}

func TestSlowUpload(t *testing.T) {
	set := setting{listener: dataplane.Listener{ClientTimeout: 300 * time.Millisecond}}
	onEachWay(t, set, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }, func(t *testing.T, b *bench, client *http.Client) {
		for _, length := range []int64{10, -1, 1 << 20} {
			body, end := io.Pipe()
			request, _ := http.NewRequest("POST", b.url("/"), body)
			request.ContentLength = length
			if response, _ := b.do(client, request); response.StatusCode != http.StatusRequestTimeout {
				t.Errorf("%d bytes: %d", length, response.StatusCode)
			}
			_ = end.Close()
		}
	})
}

// A client that does not take what it has asked for holds neither its member nor memory for ever.
func TestClientThatDoesNotRead(t *testing.T) {
	left := make(chan struct{}, 10)
	set := setting{listener: dataplane.Listener{ClientTimeout: 300 * time.Millisecond}}
	onEachWay(t, set, func(w http.ResponseWriter, _ *http.Request) {
		piece := make([]byte, 64<<10)
		for range 1 << 10 {
			if _, err := w.Write(piece); err != nil {
				break
			}
		}
		left <- struct{}{}
	}, func(t *testing.T, b *bench, client *http.Client) {
		response, err := client.Get(b.url("/"))
		if err != nil {
			t.Fatal(err)
		}
		<-left
		if n, err := io.Copy(io.Discard, response.Body); err == nil {
			t.Errorf("got all %d bytes", n)
		}
		_ = response.Body.Close()
	})
}

func TestWithoutDescriptors(t *testing.T) {
	b := newBench(t, setting{}, member(t, func(http.ResponseWriter, *http.Request) {}))
	b.purse.limit.Store(0)
	if response, _ := b.get(b.client(2), "/"); response.StatusCode != 503 {
		t.Error(response.StatusCode)
	}
	b.purse.limit.Store(10)
	if response, _ := b.get(b.client(2), "/"); response.StatusCode != 200 {
		t.Error(response.StatusCode)
	}
}

func TestLimits(t *testing.T) {
	b := newBench(t, setting{}, member(t, func(http.ResponseWriter, *http.Request) {}))
	for _, version := range []int{1, 2} {
		many := http.Header{}
		for i := range 200 {
			many.Set(fmt.Sprintf("X-%d", i), "1")
		}
		for _, test := range []struct {
			name   string
			path   string
			header http.Header
			status int
		}{
			{"long target", "/" + strings.Repeat("a", 9<<10), nil, 414},
			{"many fields", "/", many, 431},
			{"space in the path", "/a b", nil, 400},
		} {
			request, _ := http.NewRequest("GET", b.url("/"), nil)
			request.URL.Path = test.path
			if strings.Contains(test.path, " ") {
				if version == 1 {
					continue // net/http sees to it
				}
				request.URL.Opaque = test.path
			}
			request.Header = test.header
			if response, _ := b.do(b.client(version), request); response.StatusCode != test.status {
				t.Errorf("HTTP/%d: %s: %d", version, test.name, response.StatusCode)
			}
		}
	}
}

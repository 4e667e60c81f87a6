package proxy

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"poise/internal/dataplane"
)

// TestTricklingHeads has clients send an endless head, one byte at a time: the client's timeout counts from the first byte.
func TestTricklingHeads(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %v", secure), func(t *testing.T) {
			const clients, timeout = 100, 500 * time.Millisecond
			f := newFortress(t, secure)
			f.config.Listeners[0].ClientTimeout = timeout
			f.apply()
			settle := f.others(200)
			var wg sync.WaitGroup
			for range clients {
				c := f.secureDial()
				wg.Go(func() {
					first := time.Now()
					if answer := sendForEver(c, "GET / HTTP/1.1\r\nHost: a\r\nX: ", 5*time.Millisecond); answer != "HTTP/1.1 408 Request Timeout\r\n" {
						t.Errorf("got %q", answer)
					}
					if passed := time.Since(first); passed < timeout {
						t.Errorf("ended after %v", passed)
					}
				})
			}
			wg.Wait()
			settle()
		})
	}
}

// secureDial connects as those do whom the listener wants: over TLS, or not.
func (f *fortress) secureDial() net.Conn {
	f.t.Helper()
	raw := f.dial()
	if f.client == nil {
		return raw
	}
	c := tls.Client(raw, f.client)
	if err := c.Handshake(); err != nil {
		f.t.Fatal(err)
	}
	return c
}

// sendForEver sends text and then more and more of the same, one byte each pause, until there is an answer, of which it returns the first line.
func sendForEver(c net.Conn, text string, pause time.Duration) string {
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(c).ReadString('\n')
		answer <- line
	}()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case line := <-answer:
			return line
		case <-tick.C:
			_, _ = io.WriteString(c, string((text + "x")[min(i, len(text))])) // which fails in the end
		}
	}
}

// TestTricklingBodies has clients that send a body, and a member that answers, one byte at a time: slow is allowed as long as it goes on.
func TestTricklingBodies(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %v", secure), func(t *testing.T) {
			const clients, size = 100, 50
			f := newFortress(t, secure)
			settle := f.others(200)
			var wg sync.WaitGroup
			for range clients {
				c := f.secureDial()
				wg.Go(func() {
					_, _ = fmt.Fprintf(c, "POST /drip HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", size)
					for range size {
						_, _ = io.WriteString(c, "x")
					}
					answer, err := http.ReadResponse(bufio.NewReader(c), nil)
					if err != nil {
						t.Error(err)
						return
					}
					if body, err := io.ReadAll(answer.Body); string(body) != "abcde" {
						t.Errorf("%q, %v", body, err)
					}
				})
			}
			wg.Wait()
			settle()
		})
	}
}

// TestMembersThatNeverAnswer ends many requests at once with 504; others are answered meanwhile.
func TestMembersThatNeverAnswer(t *testing.T) {
	const clients, timeout = 200, 300 * time.Millisecond
	f := newFortress(t, false)
	f.config.Listeners[0].MemberTimeout = timeout
	f.apply()
	settle := f.others(200)
	for _, says := range []string{"GET /silent HTTP/1.1\r\nHost: a\r\n\r\n", "POST /deaf HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1"} {
		start := time.Now()
		all := f.connect(clients)
		for _, c := range all {
			tell(t, bareConn{c}, says)
		}
		for _, c := range all {
			if line, _ := bufio.NewReader(c).ReadString('\n'); line != "HTTP/1.1 504 Gateway Timeout\r\n" {
				t.Fatalf("%q", line)
			}
		}
		if passed := time.Since(start); passed < timeout {
			t.Errorf("504 after %v", passed)
		}
	}
	settle()
}

// bareConn is for what wants a net.Conn and only writes.
type bareConn struct{ bare }

func (bareConn) Close() error                     { return nil }
func (bareConn) LocalAddr() net.Addr              { return nil }
func (bareConn) RemoteAddr() net.Addr             { return nil }
func (bareConn) SetDeadline(time.Time) error      { return nil }
func (bareConn) SetReadDeadline(time.Time) error  { return nil }
func (bareConn) SetWriteDeadline(time.Time) error { return nil }

// TestHeadsTooLarge refuses heads beyond the limits, whether they end or not, and does not read on.
func TestHeadsTooLarge(t *testing.T) {
	const want = "HTTP/1.1 431 Request Header Fields Too Large"
	f := newFortress(t, false)
	settle := f.others(200)
	var wg sync.WaitGroup
	for name, head := range map[string]string{
		"one field":        get[:len(get)-2] + "X: " + strings.Repeat("x", 16<<10),
		"many fields":      get[:len(get)-2] + strings.Repeat("X: x\r\n", 129),
		"endless lines":    get[:len(get)-2] + strings.Repeat("Xxxxxxxxxxxxx: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n", 10_000),
		"endless trailers": "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("X: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n", 10_000),
	} {
		for range 20 {
			conn := f.dial()
			go func() { _, _ = io.WriteString(conn, head) }()
			wg.Go(func() {
				answer, _ := io.ReadAll(conn)
				if line := firstLine(string(answer)); line != want {
					t.Errorf("%s: %q", name, line)
				}
			})
		}
	}
	wg.Wait()
	settle()
	eventually(t, "all of them are gone", func() bool { return f.counters().Active == 0 })
}

// TestFloodOfRefusals has clients send requests as fast as they can, which the listener answers by itself: the loop has time for others.
func TestFloodOfRefusals(t *testing.T) {
	engine, err := startEngine(newDescriptors(1000), 1)
	if err != nil {
		t.Fatal(err)
	}
	f := newFortress(t, false)
	f.server.Close()
	f.server = New(hostNet{}, slog.New(slog.DiscardHandler), engine, engine.NewAccount())
	t.Cleanup(func() { f.server.Close(); engine.Close() })
	f.config.Listeners[0].PoolID = ""
	f.config.Pools = []dataplane.Pool{}
	f.apply()
	var wg sync.WaitGroup
	flood := []byte(strings.Repeat(get, 10_000))
	var flooding []net.Conn
	for range 2 {
		c := f.dial()
		flooding = append(flooding, c)
		_ = c.SetDeadline(time.Time{})
		wg.Go(func() { _, _ = io.Copy(io.Discard, c) })
		wg.Go(func() {
			for err := error(nil); err == nil; {
				_, err = c.Write(flood)
			}
		})
	}
	eventually(t, "the flood", func() bool { return f.counters().Requests > 10_000 })
	f.others(503)()
	for _, c := range flooding {
		_ = c.Close()
	}
	wg.Wait()
}

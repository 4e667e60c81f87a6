package proxy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDrainHTTP stops a load balancer while requests are under way, clients wait in the kernel's queue, and others for nothing.
func TestDrainHTTP(t *testing.T) {
	answer, asked := make(chan struct{}), make(chan struct{}, 100)
	b := newHTTPBench(t, httpMember(t, "a", func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		<-answer
		_, _ = io.WriteString(w, "a")
	}))
	var busy, queued []net.Conn
	for range 10 {
		busy = append(busy, b.dial())
		tell(t, busy[len(busy)-1], get)
	}
	for range busy {
		<-asked
	}
	letGo := stopLoops(b.engine)
	for range 10 {
		queued = append(queued, b.dial())
		tell(t, queued[len(queued)-1], get)
	}
	drained := make(chan struct{})
	go func() { defer close(drained); b.server.Drain() }()
	letGo()
	<-drained
	for range queued {
		<-asked
	}
	if b.server.Drained() {
		t.Error("requests are under way")
	}
	if _, err := net.Dial("tcp", b.addr()); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("a new client: %v", err)
	}
	close(answer)
	for i, conn := range append(busy, queued...) {
		head, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("request %d of 10 under way and 10 in the queue: %v", i, err)
		}
		if body, err := io.ReadAll(head.Body); !head.Close || string(body) != "a" || err != nil {
			t.Errorf("request %d: close is %v, body %q, %v", i, head.Close, body, err)
		}
	}
	eventually(t, "all have left", b.server.Drained)
}

// stopLoops has the loops stand still until it is called.
func stopLoops(e *Engine) (letGo func()) {
	held, still := make(chan struct{}), make(chan struct{}, len(e.loops))
	for _, l := range e.loops {
		l.post(func() { still <- struct{}{}; <-held })
	}
	for range e.loops {
		<-still
	}
	return func() { close(held) }
}

// TestDrainIdle has clients who wait for nothing be told to leave.
func TestDrainIdle(t *testing.T) {
	b := newHTTPBench(t, script(t, "a", gotten, okay))
	served, fresh := b.dial(), b.dial()
	tell(t, served, get)
	expectStatus(t, served, http.StatusOK)
	b.server.Drain()
	for name, conn := range map[string]net.Conn{"served": served, "fresh": fresh} {
		if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
	eventually(t, "all have left", b.server.Drained)
}

// TestDrainTCP has connections go on until their ends.
func TestDrainTCP(t *testing.T) {
	b := newBench(t, echo(t, "a"))
	conn := b.dial()
	roundTrip(t, conn)
	b.server.Drain()
	roundTrip(t, conn)
	if b.server.Drained() {
		t.Error("a connection is under way")
	}
	_ = conn.CloseWrite()
	if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	eventually(t, "it has left", b.server.Drained)
}

// TestDrainHTTP2 has a client be told to go away, and its request answered.
func TestDrainHTTP2(t *testing.T) {
	answer, asked := make(chan struct{}), make(chan struct{})
	b := newHTTP2Bench(t, httpMember(t, "a", func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-answer
		_, _ = io.WriteString(w, strings.Repeat("a", 100))
	}))
	got := make(chan error, 1)
	client := b.client2()
	go func() {
		r, err := client.Get(b.url2("/"))
		if err == nil {
			_, err = io.Copy(io.Discard, r.Body)
		}
		got <- err
	}()
	<-asked
	b.server.Drain()
	close(answer)
	if err := <-got; err != nil {
		t.Error(err)
	}
	eventually(t, "the connection has ended", b.server.Drained)
}

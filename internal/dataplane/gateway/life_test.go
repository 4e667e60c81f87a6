package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"poise/internal/dataplane"
	"poise/internal/dataplane/l7"
)

// A draining listener lets requests under way complete and takes no others on the same connection.
func TestDrain(t *testing.T) {
	came, proceed := make(chan struct{}), make(chan struct{})
	onEachWay(t, setting{}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			came <- struct{}{}
			<-proceed
		}
		_, _ = io.WriteString(w, r.RemoteAddr)
	}, func(t *testing.T, b *bench, client *http.Client) {
		done := make(chan string)
		go func() {
			_, body := b.get(client, "/slow")
			done <- body
		}()
		<-came
		b.gateway.Drain("listener")
		proceed <- struct{}{}
		if body := <-done; body == "" {
			t.Error("no answer")
		}
		eventually(t, "the connection ends", func() bool { return len(b.gateway.all()) == 0 })
		if _, body := b.get(client, "/"); body == "" {
			t.Error("no answer after a drain")
		}
	})
}

// Close waits for requests under way as long as it may.
func TestClose(t *testing.T) {
	came := make(chan struct{})
	b := newBench(t, setting{}, member(t, func(_ http.ResponseWriter, r *http.Request) {
		came <- struct{}{}
		<-r.Context().Done()
	}))
	failed := make(chan error)
	go func() {
		_, err := b.client(2).Get(b.url("/"))
		failed <- err
	}()
	<-came
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	b.gateway.Close(ctx)
	if err := <-failed; err == nil {
		t.Error("the request was answered")
	}
	ours, theirs := net.Pipe()
	b.gateway.Serve(theirs, &l7.Client{}, b.site.Load, nil)
	if _, err := ours.Read(make([]byte, 1)); err == nil {
		t.Error("a closed gateway serves")
	}
}

func TestWebSocket(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			http.Error(w, "not here", 500)
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\nhello ", r.Header.Get("Upgrade"))
		_, _ = io.Copy(conn, buffered)
	}
	for name, b := range map[string]*bench{
		"plaintext": newBench(t, setting{plain: true}, member(t, echo)),
		"HTTP_2":    newBench(t, setting{plain: true, membersTLS: http2ToMembers}, memberTLS(t, true, echo)),
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", b.listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			_, _ = io.WriteString(conn, "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly ")
			reader := bufio.NewReader(conn)
			response, err := http.ReadResponse(reader, nil)
			if err != nil || response.StatusCode != 101 || response.Header.Get("Upgrade") != "websocket" {
				t.Fatal(response, err)
			}
			_, _ = io.WriteString(conn, "late")
			got := make([]byte, len("hello early late"))
			if _, err := io.ReadFull(reader, got); string(got) != "hello early late" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestProxyProtocol(t *testing.T) {
	headers := make(chan string, 10)
	b := newBench(t, setting{pool: dataplane.Pool{Proxy: dataplane.ProxyV1}}, rawMember(t, func(conn net.Conn) {
		reader := bufio.NewReader(conn)
		line, _ := reader.ReadString('\n')
		headers <- line
		for {
			if _, err := http.ReadRequest(reader); err != nil {
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	}))
	for range 2 { // two clients, whose connections are not shared
		client := b.client(2)
		b.get(client, "/")
		b.get(client, "/")
		if line := <-headers; !strings.HasPrefix(line, "PROXY TCP4 127.0.0.1 127.0.30.1 ") {
			t.Errorf("%q", line)
		}
	}
	if n := len(headers); n > 0 {
		t.Errorf("%d connections too many", n)
	}
}

// Each request takes the newest configuration, also on a connection that was there before.
func TestNewConfiguration(t *testing.T) {
	named := func(name string) string {
		return member(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })
	}
	b := newBench(t, setting{}, named("old"))
	client := b.client(2)
	if _, body := b.get(client, "/"); body != "old" {
		t.Error(body)
	}
	b.configure(setting{}, named("new"))
	if _, body := b.get(client, "/"); body != "new" {
		t.Error(body)
	}
	if n := len(b.gateway.all()); n != 1 {
		t.Errorf("%d connections", n)
	}
	b.configure(setting{})
	if response, _ := b.get(client, "/"); response.StatusCode != 503 {
		t.Error(response.StatusCode)
	}
}

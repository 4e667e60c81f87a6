package rest_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"poise/internal/rest"
)

// patience is how long a test waits for what should happen at once.
const patience = 30 * time.Second

// serve serves handler with short deadlines, and returns the server's address and what it logs at INFO and above.
func serve(t *testing.T, handler http.Handler, bound func(net.Listener, *slog.Logger) net.Listener) (string, *lockedBuffer) {
	t.Helper()
	said := &lockedBuffer{}
	log := slog.New(slog.NewTextHandler(said, nil))
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := rest.NewServer(rest.Frame{Log: log}.Around(handler), log)
	server.ReadHeaderTimeout, server.ReadTimeout, server.IdleTimeout = 200*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(bound(plain, log)) }()
	t.Cleanup(func() {
		if err := errors.Join(server.Close()); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return plain.Addr().String(), said
}

func unbound(l net.Listener, _ *slog.Logger) net.Listener { return l }

type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// dial connects from an address of this machine.
func dial(t *testing.T, from, to string) net.Conn {
	t.Helper()
	c, err := tryDial(t, from, to)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// tryDial fails when the server resets the connection before the client has seen that it is made.
func tryDial(t *testing.T, from, to string) (net.Conn, error) {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
	c, err := dialer.DialContext(t.Context(), "tcp", to)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, c.SetDeadline(time.Now().Add(patience))
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// isClosed tells whether the server ends the connection, whatever it says before.
func isClosed(c net.Conn) bool {
	_, err := io.Copy(io.Discard, c)
	var late net.Error
	return !errors.As(err, &late) || !late.Timeout()
}

// TestHalfRequestsEnd leaves requests unfinished wherever a client can stop, also where no handler reads the body. Each
// connection ends; a stream that began before lives on; and none of it is worth a line in the log.
func TestHalfRequestsEnd(t *testing.T) {
	events := make(chan string)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /reads", func(w http.ResponseWriter, r *http.Request) {
		if _, err := rest.ReadBody(w, r, rest.MaxBody); !errors.Is(err, rest.ErrBodyIncomplete) {
			t.Errorf("half a body is %v", err)
		}
		w.WriteHeader(http.StatusRequestTimeout)
	})
	mux.HandleFunc("POST /refuses", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, r *http.Request) {
		for {
			select {
			case event := <-events:
				_, _ = io.WriteString(w, event)
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			}
		}
	})
	address, said := serve(t, mux, unbound)
	stream := dial(t, "127.0.0.1", address)
	send(t, stream, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
	events <- "before\n"
	for name, half := range map[string]string{
		"header":             "POST /reads HTTP/1.1\r\nHo",
		"body that is read":  "POST /reads HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
		"chunk":              "POST /reads HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{",
		"nobody reads it":    "POST /refuses HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
		"nobody serves it":   "POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
		"GET with a body":    "GET /stream HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
		"the second request": "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\nG",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := dial(t, "127.0.0.1", address)
			send(t, c, half)
			if !isClosed(c) {
				t.Error("the connection stays")
			}
		})
	}
	t.Cleanup(func() { // after the parallel ones
		events <- "after\n"
		lines := bufio.NewScanner(stream)
		for lines.Scan() && lines.Text() != "after" {
		}
		if lines.Text() != "after" {
			t.Errorf("the stream has ended: %v", lines.Err())
		}
		if said.String() != "" {
			t.Errorf("the log says %s", said)
		}
	})
}

// TestConnectionsAreBounded lets one source take its share, and all of them all; a source that has less than its part then
// gets in, and the one with most loses its oldest connection.
func TestConnectionsAreBounded(t *testing.T) {
	const total, share = 8, 2
	proxies, err := rest.ParseProxies([]string{"127.0.1.0/24"})
	if err != nil {
		t.Fatal(err)
	}
	stay := make(chan struct{})
	address, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		select {
		case <-stay:
		case <-r.Context().Done():
		}
	}), func(l net.Listener, log *slog.Logger) net.Listener { return rest.Limit(l, total, proxies, log) })
	t.Cleanup(func() { close(stay) })
	open := func(from string) (net.Conn, bool) {
		c, err := tryDial(t, from, address)
		if err != nil {
			return nil, false
		}
		_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if err == nil {
			_, err = c.Read(make([]byte, 1))
		}
		return c, err == nil
	}
	conns := map[string][]net.Conn{}
	for i := range total / share {
		from := fmt.Sprintf("127.0.0.%d", i+1)
		for range share {
			c, ok := open(from)
			if !ok {
				t.Fatalf("%s has %d connections and gets no other", from, len(conns[from]))
			}
			conns[from] = append(conns[from], c)
		}
		if _, ok := open(from); ok {
			t.Errorf("%s gets more than its share", from)
		}
	}
	if _, ok := open("127.0.0.99"); !ok {
		t.Error("who has none does not get in")
	}
	if _, ok := open("127.0.1.1"); !ok {
		t.Error("a proxy does not get in")
	}
	displaced := 0
	for _, own := range conns {
		for i, c := range own {
			_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)) // it was closed before the newcomer was answered
			if isClosed(c) {
				displaced++
				if i != 0 {
					t.Error("one that is not the oldest had to go")
				}
			}
		}
	}
	if displaced != 2 {
		t.Errorf("%d connections had to go, want 2", displaced)
	}
}

func TestSource(t *testing.T) {
	proxies, err := rest.ParseProxies([]string{"192.0.2.7", "10.0.0.0/8", "2001:db8:1::/48"})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		peer      string
		forwarded []string
		want      string
	}{
		"direct":              {"203.0.113.5:1234", nil, "203.0.113.5"},
		"IPv6 by network":     {"[2001:db8::1:2:3:4]:1234", nil, "2001:db8::/64"},
		"IPv4 in IPv6":        {"[::ffff:203.0.113.5]:1234", nil, "203.0.113.5"},
		"made up":             {"203.0.113.5:1234", []string{"198.51.100.1"}, "203.0.113.5"},
		"by a proxy":          {"192.0.2.7:1234", []string{"198.51.100.1"}, "198.51.100.1"},
		"by two, made up":     {"192.0.2.7:1234", []string{"1.2.3.4, 198.51.100.1, 10.1.1.1"}, "198.51.100.1"},
		"in two lines":        {"192.0.2.7:1234", []string{"1.2.3.4, 198.51.100.1", "10.1.1.1"}, "198.51.100.1"},
		"only proxies":        {"192.0.2.7:1234", []string{"10.1.1.1"}, "10.1.1.1"},
		"no hop":              {"192.0.2.7:1234", nil, "192.0.2.7"},
		"nonsense":            {"192.0.2.7:1234", []string{"198.51.100.1, unknown"}, "192.0.2.7"},
		"with port and IPv6":  {"[2001:db8:1::1]:1", []string{"[2001:db8:2:3::4]:99"}, "2001:db8:2:3::/64"},
		"of one of our rooms": {"console", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "http://test/", nil)
			r.RemoteAddr = test.peer
			for _, line := range test.forwarded {
				r.Header.Add("X-Forwarded-For", line)
			}
			got := "nobody asked"
			frame := rest.Frame{Log: slog.New(slog.DiscardHandler), Proxies: proxies}
			frame.Around(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got = rest.Source(r.Context())
			})).ServeHTTP(httptest.NewRecorder(), r)
			if got != test.want {
				t.Errorf("source %q, want %q", got, test.want)
			}
		})
	}
}

// TestRequestsAreLogged wants a line for each request where the setting says so, with who asked.
func TestRequestsAreLogged(t *testing.T) {
	for wanted, lines := range map[bool]int{true: 1, false: 0} {
		said := &bytes.Buffer{}
		frame := rest.Frame{Log: slog.New(slog.NewTextHandler(said, nil)), LogRequests: func() bool { return wanted }}
		frame.Around(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			rest.WithCaller(r.Context(), rest.Caller{UserID: "u1", ProjectID: "p1"})
		})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "http://test/things", nil))
		if got := strings.Count(said.String(), "user=u1 project=p1"); got != lines {
			t.Errorf("wanted: %v, but the log says %q", wanted, said)
		}
	}
}

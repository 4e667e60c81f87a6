package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
	"poise/internal/dataplane/h1"
)

func TestTCP(t *testing.T) {
	pool := dataplane.Pool{Monitor: &dataplane.Monitor{Type: dataplane.MonitorTCP}}
	for _, address := range []string{"127.0.30.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			l, err := net.Listen("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			target := netip.MustParseAddrPort(l.Addr().String())
			if reason := run(t, hostNet{}, pool, target); reason != "" {
				t.Errorf("open port: %s", reason)
			}
			_ = l.Close()
			if got, want := run(t, hostNet{}, pool, target), "connection refused by "+target.String(); got != want {
				t.Errorf("closed port: %q, want %q", got, want)
			}
		})
	}
}

// Every check that connects says the same of a member that does not answer at all.
func TestSilentMember(t *testing.T) {
	for _, kind := range []dataplane.MonitorType{
		dataplane.MonitorTCP, dataplane.MonitorHTTP, dataplane.MonitorHTTPS, dataplane.MonitorTLSHello,
	} {
		t.Run(string(kind), func(t *testing.T) {
			target := silent(t)
			pool := dataplane.Pool{Monitor: &dataplane.Monitor{Type: kind, Timeout: 50 * time.Millisecond}}
			got, want := run(t, hostNet{}, pool, target), fmt.Sprintf("no answer from %s within 50ms", target)
			if got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// And of one that accepts connections and then says nothing.
func TestSpeechlessMember(t *testing.T) {
	for _, kind := range []dataplane.MonitorType{dataplane.MonitorHTTP, dataplane.MonitorHTTPS, dataplane.MonitorTLSHello} {
		t.Run(string(kind), func(t *testing.T) {
			target := serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
			pool := dataplane.Pool{Monitor: &dataplane.Monitor{Type: kind, Timeout: 50 * time.Millisecond}}
			got, want := run(t, hostNet{}, pool, target), fmt.Sprintf("no answer from %s within 50ms", target)
			if got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// silent listens with a backlog that is full: the kernel drops further SYNs.
func silent(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 30, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	target := netip.AddrPortFrom(netip.MustParseAddr("127.0.30.1"), uint16(name.(*unix.SockaddrInet4).Port))
	first, err := net.Dial("tcp", target.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = first.Close() })
	return target
}

func TestHTTPAnswers(t *testing.T) {
	for _, test := range []struct{ name, codes, answer, want string }{
		{"as expected", "200", "HTTP/1.0 200 OK\r\n\r\n", ""},
		{"without words", "200", "HTTP/1.1 200\r\n\r\n", ""},
		{"with empty words and a bare line feed", "200", "HTTP/1.1 200 \n\n", ""},
		{"lines that end with LF", "200", "HTTP/1.1 200 OK\nServer: x\n\n", ""},
		{"others before it", "200", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", ""},
		{"a status of no class", "999", "HTTP/1.1 999 No\r\n\r\n", ""},
		{"a later version", "200", "HTTP/1.2 200 OK\r\n\r\n", ""},
		{"only others", "200", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 50), "answered 100, and no more"},
		{"fields that the proxy would not take", "200", "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "the answer is not HTTP: blank in a field's name"},
		{"200 is the default", "", "HTTP/1.1 200 OK\r\n\r\n", ""},
		{"one of a list", "200, 202 ,204", "HTTP/1.1 202 Accepted\r\n\r\n", ""},
		{"within a range", "200-204", "HTTP/1.1 204 No Content\r\n\r\n", ""},
		{"the member is ill", "200", "HTTP/1.1 503 Service Unavailable\r\n\r\n", "answered 503, expected 200"},
		{"redirections are not followed", "200-204", "HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", "answered 302, expected 200-204"},
		{"no answer", "200", "", "connection closed before an answer"},
		{"half an answer", "200", "HTTP/1.1 20", "the answer is not HTTP"},
		{"another protocol", "200", "220 mail ESMTP\r\n", "the answer is not HTTP: invalid status line"},
		{"a version that cannot be", "200", "HTTP/2 200 OK\r\n", "the answer is not HTTP: invalid status line"},
		{"four digits", "200", "HTTP/1.1 2000 OK\r\n", "the answer is not HTTP: invalid status line"},
		{"signs", "200", "HTTP/1.1 +20 OK\r\n", "the answer is not HTTP: invalid status"},
		{"a line without end", "200", "HTTP/1.1 200 " + strings.Repeat("x", 2*h1.MaxHead), "the answer is not HTTP: head too long"},
	} {
		t.Run(test.name, func(t *testing.T) {
			target := serve(t, func(c net.Conn) {
				_, _ = http.ReadRequest(bufio.NewReader(c))
				_, _ = io.WriteString(c, test.answer)
			})
			pool := dataplane.Pool{Monitor: &dataplane.Monitor{Type: dataplane.MonitorHTTP, Codes: test.codes}}
			if got := run(t, hostNet{}, pool, target); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestHTTPRequests(t *testing.T) {
	for _, test := range []struct {
		name    string
		monitor dataplane.Monitor
		proxy   dataplane.ProxyVersion
		want    string // ADDRESS stands for the member's
	}{
		{"by default", dataplane.Monitor{}, 0, "GET / HTTP/1.0\r\n\r\n"},
		{"as told", dataplane.Monitor{Method: "OPTIONS", Path: "/a?b=c"}, 0, "OPTIONS /a?b=c HTTP/1.0\r\n\r\n"},
		{"1.0 has no Host", dataplane.Monitor{HTTPVersion: "1.0", Host: "example.com"}, 0, "GET / HTTP/1.0\r\n\r\n"},
		{
			"1.1 with a name",
			dataplane.Monitor{HTTPVersion: "1.1", Host: "example.com"},
			0,
			"GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n",
		},
		{"1.1 without", dataplane.Monitor{HTTPVersion: "1.1"}, 0, "GET / HTTP/1.1\r\nHost: ADDRESS\r\nConnection: close\r\n\r\n"},
		{"PROXY", dataplane.Monitor{}, dataplane.ProxyV1, "PROXY UNKNOWN\r\nGET / HTTP/1.0\r\n\r\n"},
		{
			"PROXYV2",
			dataplane.Monitor{},
			dataplane.ProxyV2,
			"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00GET / HTTP/1.0\r\n\r\n",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			asked := make(chan string, 1)
			target := serve(t, func(c net.Conn) {
				asked <- untilEmptyLine(c)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			})
			test.monitor.Type = dataplane.MonitorHTTP
			pool := dataplane.Pool{Monitor: &test.monitor, Proxy: test.proxy}
			if reason := run(t, hostNet{}, pool, target); reason != "" {
				t.Error(reason)
			}
			if got, want := <-asked, strings.ReplaceAll(test.want, "ADDRESS", target.String()); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// untilEmptyLine reads up to the end of a request, past the beginning of a PROXY header that looks like one.
func untilEmptyLine(r io.Reader) string {
	var all strings.Builder
	buffer := make([]byte, 1024)
	for all.Len() < len("GET / HTTP/1.0") || !strings.HasSuffix(all.String(), "\r\n\r\n") {
		n, err := r.Read(buffer)
		all.Write(buffer[:n])
		if err != nil {
			break
		}
	}
	return all.String()
}

func TestHTTPRefusesToSendControlCharacters(t *testing.T) {
	for _, monitor := range []dataplane.Monitor{
		{Path: "/ HTTP/1.1\r\nX: y"}, {HTTPVersion: "1.1", Host: "a\nb"}, {Method: "GET /x"},
	} {
		monitor.Type = dataplane.MonitorHTTP
		target := serve(t, func(c net.Conn) {
			if said, _ := io.ReadAll(c); len(said) > 0 {
				t.Errorf("sent %q", said)
			}
		})
		if got := run(t, hostNet{}, dataplane.Pool{Monitor: &monitor}, target); !strings.HasPrefix(got, "the monitor cannot ask for") {
			t.Error(got)
		}
	}
}

func FuzzReadStatus(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\n\r\n")
	f.Add("HTTP/1.1 100 \n\nHTTP/1.0 299\r\nA: b\n\r\n")
	f.Fuzz(func(t *testing.T, answer string) {
		status, err := readStatus(strings.NewReader(answer), "GET")
		if err == nil && (status < 200 || status > 999 || !strings.HasPrefix(answer, "HTTP/1.")) {
			t.Errorf("%q is taken for %d", answer, status)
		}
	})
}

func TestUDPConnect(t *testing.T) {
	pool := dataplane.Pool{Monitor: &dataplane.Monitor{Type: dataplane.MonitorUDPConnect, Timeout: 100 * time.Millisecond}}
	for _, address := range []string{"127.0.30.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			member, err := net.ListenPacket("udp", address)
			if err != nil {
				t.Fatal(err)
			}
			target := netip.MustParseAddrPort(member.LocalAddr().String())
			if reason := run(t, hostNet{}, pool, target); reason != "" {
				t.Errorf("silent member: %s", reason)
			}
			_ = member.Close()
			if got, want := run(t, hostNet{}, pool, target), "port unreachable: nobody listens on "+target.String(); got != want {
				t.Errorf("closed port: %q, want %q", got, want)
			}
		})
	}
}

// A prober that loses interest does not wait for the member.
func TestChecksEndWithTheirContext(t *testing.T) {
	target := serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	for kind, check := range checks {
		if kind == dataplane.MonitorTCP || kind == dataplane.MonitorPing {
			continue // over at once
		}
		ctx, cancel := context.WithCancel(t.Context())
		w := newWay(origin{monitor: dataplane.Monitor{Type: kind, Timeout: time.Hour}}, check)
		cancel()
		_ = check(ctx, hostNet{}, w, target)
	}
}

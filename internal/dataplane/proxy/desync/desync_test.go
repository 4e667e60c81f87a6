// Package desync sends a proxy what has fooled proxies: messages that two programs read differently, so that one of them takes
// a part of a message for another message. For each of them the proxy must either refuse, or pass on exactly one
// message that has one reading only.
//
// The classes are those of RFC 9112 §11 and of public descriptions of request smuggling and response splitting. What the
// member received is read twice: by net/http, and by a reader that knows nothing but the RFC.
package desync

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
	"poise/internal/dataplane/loop"
	"poise/internal/dataplane/proxy"
)

const (
	// patience is how long a test waits for what must happen.
	patience = 10 * time.Second
	// silence is how long the proxy waits for the rest of a message.
	silence = 300 * time.Millisecond
	// sentinel follows what a case sends. It must come out as itself, unless the connection was closed before.
	sentinel = "GET /end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
)

// hostNet is the network of the test process itself.
type hostNet struct{}

func (hostNet) Socket(family, kind int) (int, error) {
	fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	return fd, os.NewSyscallError("socket", err)
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func startEngine(t *testing.T) *proxy.Engine {
	t.Helper()
	descriptors, err := loop.OfProcess(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	engine, err := proxy.StartEngine(descriptors)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(engine.Close)
	return engine
}

// exchange sends raw to a proxy with one HTTP listener in front of the member, and returns all that comes back until the
// connection is closed. The proxy is closed then.
func exchange(t *testing.T, engine *proxy.Engine, m *member, raw string, write pace) []byte {
	t.Helper()
	server := proxy.New(hostNet{}, slog.New(slog.DiscardHandler), engine, engine.NewAccount())
	defer server.Close()
	vip := netip.MustParseAddr("127.0.10.2")
	config := &dataplane.Config{
		Listeners: []dataplane.Listener{{
			ID: "listener", Protocol: dataplane.HTTP, Port: freePort(t, vip), PoolID: "pool",
			ClientTimeout: silence, MemberTimeout: patience, ConnectTimeout: patience,
			HTTP: &dataplane.Requests{Insert: []dataplane.Insertion{dataplane.XForwardedFor, dataplane.XForwardedProto}},
		}},
		Pools: []dataplane.Pool{{
			ID: "pool", Algorithm: dataplane.RoundRobin, HTTP: true,
			Members: []dataplane.Member{{ID: "member", Address: m.addr, Weight: 1}},
		}},
	}
	if state := server.Apply(config, []netip.Addr{vip})["listener"]; !state.Listening {
		t.Fatal(state.Reason)
	}
	conn, err := net.Dial("tcp", netip.AddrPortFrom(vip, config.Listeners[0].Port).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_ = write(conn, raw) // fails when the proxy has seen enough
	got, err := io.ReadAll(conn)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection was not closed: %v", err)
	}
	return got
}

// pace is how a message is sent.
type pace func(conn io.Writer, raw string) error

var paces = map[string]pace{
	"at once": func(conn io.Writer, raw string) error {
		_, err := io.WriteString(conn, raw)
		return err
	},
	"byte by byte": func(conn io.Writer, raw string) error {
		for raw != "" {
			n := max(1, len(raw)/1000)
			if _, err := io.WriteString(conn, raw[:n]); err != nil {
				return err
			}
			raw = raw[n:]
		}
		return nil
	},
}

func freePort(t *testing.T, addr netip.Addr) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", netip.AddrPortFrom(addr, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// member is a server that keeps every byte it receives.
type member struct {
	addr   netip.AddrPort
	listen net.Listener
	answer func(*http.Request) (raw string, end bool)
	write  pace
	wg     sync.WaitGroup

	mu       sync.Mutex // guards what follows
	raw      []*bytes.Buffer
	messages []string // as net/http reads them
	hosts    string   // of the messages, one after the other
	hops     []string // fields that must not have come
}

func startMember(t *testing.T, write pace, answer func(*http.Request) (string, bool)) *member {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.20.2:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &member{addr: netip.MustParseAddrPort(l.Addr().String()), listen: l, answer: answer, write: write}
	m.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			raw := &bytes.Buffer{}
			m.mu.Lock()
			m.raw = append(m.raw, raw)
			m.mu.Unlock()
			m.wg.Go(func() { m.serve(conn, raw) })
		}
	})
	return m
}

// stop waits until everything has been received; the proxy must have closed its connections.
func (m *member) stop() {
	_ = m.listen.Close()
	m.wg.Wait()
}

func (m *member) serve(conn net.Conn, raw *bytes.Buffer) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	reader := bufio.NewReader(io.TeeReader(conn, raw))
	for {
		r, err := http.ReadRequest(reader)
		if err != nil {
			break
		}
		if r.Header.Get("Expect") != "" {
			_, _ = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			break
		}
		m.note(r, string(body))
		answer, end := m.answer(r)
		if err := m.write(conn, answer); err != nil || end {
			return
		}
	}
	_, _ = io.Copy(io.Discard, reader) // what follows is kept too
}

func (m *member) note(r *http.Request, body string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.messages = append(m.messages, message(r.Method+" "+r.RequestURI, body))
	m.hosts += r.Host
	for _, name := range []string{"Keep-Alive", "Proxy-Connection", "Te", "Proxy-Authorization", "Http2-Settings"} {
		if r.Header.Get(name) != "" {
			m.hops = append(m.hops, name)
		}
	}
	if strings.Contains(strings.ToLower(r.Header.Get("Upgrade")), "h2c") {
		m.hops = append(m.hops, "Upgrade: h2c")
	}
	if r.Header.Get("X-Forwarded-For") == "" {
		m.hops = append(m.hops, "no X-Forwarded-For")
	}
}

// message is how the cases write a message.
func message(start, body string) string {
	if body == "" {
		return start
	}
	return start + " " + body
}

func TestRequests(t *testing.T) {
	engine := startEngine(t)
	for _, group := range requestCases {
		for pace, write := range paces {
			t.Run(group.name+" "+pace, func(t *testing.T) {
				for _, c := range group.cases {
					t.Run(c.name, func(t *testing.T) {
						m := startMember(t, write, serves)
						got := exchange(t, engine, m, c.raw+sentinel, write)
						m.stop()
						checkRequest(t, &c, m, got)
					})
				}
			})
		}
	}
}

// requestCases are all of them.
var requestCases = []struct {
	name  string
	cases []requestCase
}{
	{"framing", framingCases},
	{"transfer coding", codingCases},
	{"content length", lengthCases},
	{"lines", lineCases},
	{"request line", startCases},
	{"host", hostCases},
	{"chunks", chunkCases},
	{"sequences", sequenceCases},
}

// serves answers every request.
func serves(r *http.Request) (string, bool) {
	answer := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
	if r.Method != "HEAD" {
		answer += "ok"
	}
	return answer, false
}

// checkRequest compares what the member received, in both readings, and what the client was told with what a case wants.
func checkRequest(t *testing.T, c *requestCase, m *member, got []byte) {
	t.Helper()
	messages, statuses, cut := c.expected()
	if diff := gocmp.Diff(messages, m.messages); diff != "" {
		t.Errorf("the member reads (-want +got)\n%s", diff)
	}
	if len(m.hops) > 0 {
		t.Errorf("the member got %v", m.hops)
	}
	var strict []string
	for _, raw := range m.raw {
		read, err := readStrictly(raw.Bytes())
		if err != nil && !(cut && errors.Is(err, io.ErrUnexpectedEOF)) {
			t.Errorf("read strictly: %v in %q", err, raw)
		}
		strict = append(strict, read...)
	}
	if diff := gocmp.Diff(slices.Sorted(slices.Values(messages)), slices.Sorted(slices.Values(strict))); diff != "" {
		t.Errorf("read strictly (-want +got)\n%s", diff)
	}
	told := statusesOf(t, got, messages)
	if cut && !slices.Contains(told, 200) {
		return // whatever the client was told, it is not that its request was served
	}
	if diff := gocmp.Diff(statuses, told); diff != "" {
		t.Errorf("the client is told (-want +got)\n%s\n%q", diff, got)
	}
}

// expected are the messages for the member and the statuses for the client; cut says that a part of a message may come
// after them.
func (c *requestCase) expected() (messages []string, statuses []int, cut bool) {
	for step := range strings.SplitSeq(c.want, " | ") {
		var status int
		switch _, err := fmt.Sscanf(step, "%d", &status); {
		case step == "close":
			return messages, statuses, false
		case step == "cut":
			return messages, statuses, true
		case err == nil:
			return messages, append(statuses, status), false
		}
		messages, statuses = append(messages, step), append(statuses, 200)
	}
	return append(messages, "GET /end"), append(statuses, 200), false
}

// statusesOf are those of the final responses to the messages, and to one more that was refused.
func statusesOf(t *testing.T, raw []byte, messages []string) (statuses []int) {
	t.Helper()
	reader := bufio.NewReader(bytes.NewReader(raw))
	for i := 0; ; {
		if _, err := reader.Peek(1); err != nil {
			return statuses
		}
		request := &http.Request{Method: "GET"}
		if i < len(messages) {
			request.Method, _, _ = strings.Cut(messages[i], " ")
		}
		r, err := http.ReadResponse(reader, request)
		if err != nil {
			t.Fatalf("the client cannot read %q: %v", raw, err)
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Fatalf("the client cannot read %q: %v", raw, err)
		}
		if r.StatusCode >= 200 {
			statuses = append(statuses, r.StatusCode)
			i++
		}
	}
}

func TestResponses(t *testing.T) {
	engine := startEngine(t)
	for pace, write := range paces {
		for _, c := range responseCases {
			t.Run(c.name+" "+pace, func(t *testing.T) { testResponse(t, engine, &c, write) })
		}
	}
	for _, c := range behindCases {
		t.Run(c.name, func(t *testing.T) { testResponse(t, engine, &c, paces["at once"]) })
	}
}

func testResponse(t *testing.T, engine *proxy.Engine, c *responseCase, write pace) {
	m := startMember(t, write, func(r *http.Request) (string, bool) {
		if r.RequestURI == "/end" {
			return "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nend", false
		}
		return c.raw, c.end
	})
	got := exchange(t, engine, m, c.method+" /a HTTP/1.1\r\nHost: x\r\n\r\n"+sentinel, write)
	m.stop()
	checkResponse(t, c, got)
}

func checkResponse(t *testing.T, c *responseCase, raw []byte) {
	t.Helper()
	reader := bufio.NewReader(bytes.NewReader(raw))
	got := nextResponse(reader, c.method)
	if got != c.want && !(c.want == "cut" && got == "502") {
		t.Fatalf("the client reads %q, want %q, in %q", got, c.want, raw)
	}
	if got == "cut" {
		return
	}
	if got = nextResponse(reader, "GET"); got != "200 end" && got != "" {
		t.Errorf("the next request's answer is %q, in %q", got, raw)
	}
	if rest, _ := io.ReadAll(reader); len(rest) > 0 {
		t.Errorf("%q comes behind", rest)
	}
}

// nextResponse is the next final response; the answers of the proxy itself without their bodies; "" at the end.
func nextResponse(reader *bufio.Reader, method string) string {
	for {
		if _, err := reader.Peek(1); err != nil {
			return ""
		}
		r, err := http.ReadResponse(reader, &http.Request{Method: method})
		if err != nil {
			return "unreadable: " + err.Error()
		}
		body, err := io.ReadAll(r.Body)
		switch {
		case err != nil:
			return "cut"
		case r.StatusCode == 502:
			return "502"
		case r.StatusCode >= 200:
			return message(strconv.Itoa(r.StatusCode), string(body))
		}
	}
}

// TestCorpus holds the size of the corpus, and that no case is there twice.
func TestCorpus(t *testing.T) {
	seen := map[string]string{}
	for _, group := range requestCases {
		for _, c := range group.cases {
			if other, twice := seen[c.raw]; twice {
				t.Errorf("%s is %s", c.name, other)
			}
			seen[c.raw] = c.name
		}
	}
	for _, c := range slices.Concat(responseCases, behindCases) {
		if other, twice := seen[cmp.Or(c.raw, "nothing")+c.method]; twice {
			t.Errorf("%s is %s", c.name, other)
		}
		seen[c.raw+c.method] = c.name
	}
	for _, c := range http2Cases {
		key := fmt.Sprint(c.fields, c.data, c.trailers)
		if other, twice := seen[key]; twice {
			t.Errorf("%s is %s", c.name, other)
		}
		seen[key] = c.name
	}
	t.Logf("%d cases", len(seen))
	if len(seen) < 200 {
		t.Errorf("%d cases", len(seen))
	}
}

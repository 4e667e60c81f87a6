package proxy

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"unsafe"

	"poise/internal/dataplane/h1"
)

const (
	besieging = 500 // connections at a time, over which memory is averaged
	// maxIdle is what an idle connection may hold.
	maxIdle = 6 << 10
	// ofSession is for what one connection has beside buffers: session, exchange, upstream, their places in tables.
	ofSession = int64(unsafe.Sizeof(session{})+unsafe.Sizeof(exchange{})+unsafe.Sizeof(upstream{})) + 1<<10
	// ofHead is what is kept of the longest head that is not complete: its bytes, in memory that was doubled as they came, and its fields.
	ofHead = 2*bufferSize + h1.MaxFields*64
	// ofMember is the test's own member: two goroutines, a net.Conn.
	ofMember = 16 << 10
	// ofTLS is the test's own client, whose buffers crypto/tls keeps, and what an idle connection holds of the listener's side.
	ofTLS = 30<<10 + maxIdleTLS
)

// siege is a kind of clients that take what they can get, each on one connection.
type siege struct {
	name  string
	says  string // at first
	then  string // afterwards
	pours string // and this for as long as it is taken
	limit int64  // bytes that the process may hold for each, by the limits that are to bound it

	clients int // 0: besieging
}

var sieges = []siege{
	{name: "idle after a request", says: get, clients: 4000, limit: maxIdle},
	{name: "head that has begun", says: "GET / HTTP/1.1\r\nHost:", limit: ofSession},
	{name: "head of almost 16 KiB", says: get[:len(get)-2] + "X: " + strings.Repeat("x", 8000), then: strings.Repeat("x", 8000), limit: ofSession + ofHead},
	{name: "head with many fields", says: get[:len(get)-2] + strings.Repeat("X: x\r\n", h1.MaxFields-2), limit: ofSession + ofHead},
	{name: "10,000 pipelined requests", pours: strings.Repeat("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n", 10_000), clients: 200, limit: ofSession + ofMember + 2*bufferSize},
	{name: "upload that nobody reads", says: "POST /deaf HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n", pours: strings.Repeat("x", 4<<20), clients: 200, limit: ofSession + ofMember + bufferSize + messageSize},
	{name: "chunks that nobody reads", says: "POST /deaf HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", pours: strings.Repeat("1\r\nx\r\n", 1<<18), clients: 100, limit: ofSession + ofMember + bufferSize + messageSize},
	{name: "upload that stops", says: "POST /deaf HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n1", limit: ofSession + ofMember},
	{name: "never reads 1 GB", says: "GET /endless HTTP/1.1\r\nHost: a\r\n\r\n", limit: ofSession + ofMember + bufferSize},
	{name: "never reads chunks", says: "GET /chunks HTTP/1.1\r\nHost: a\r\n\r\n", limit: ofSession + ofMember + bufferSize},
	{name: "silent member", says: "GET /silent HTTP/1.1\r\nHost: a\r\n\r\n", limit: ofSession + ofMember},
	{name: "member stops in its head", says: "GET /half HTTP/1.1\r\nHost: a\r\n\r\n", limit: ofSession + ofMember + ofHead},
}

// TestSieges measures what the process holds while many connections stand still in the worst places, and that others are served.
func TestSieges(t *testing.T) {
	all := sieges
	if testing.Short() {
		all = all[:1]
	}
	for _, s := range all {
		t.Run(s.name, func(t *testing.T) {
			f := newFortress(t, false)
			settle := f.others(200) // warms up
			before := held()
			clients := f.connect(cmp.Or(s.clients, besieging))
			for _, c := range clients {
				mustSay(t, c, s)
			}
			if s.then != "" {
				eventually(t, "the first part of all heads", func() bool { return f.kept() >= len(clients)*len(s.says) })
				for _, c := range clients {
					_, _ = io.WriteString(c, s.then)
				}
			}
			f.judge(s, len(clients), before, settle)
			if most := int64(len(clients)) * kernelBuffers(t); f.taken.Load() > most {
				t.Errorf("%d bytes were taken off the member", f.taken.Load())
			}
		})
	}
}

func mustSay(t *testing.T, c bare, s siege) {
	t.Helper()
	if s.says != "" {
		if _, err := io.WriteString(c, s.says); err != nil {
			t.Fatal(err)
		}
	}
	if s.pours != "" {
		c.pour(t, []byte(s.pours))
	}
}

// kernelBuffers is how much the kernel may hold, at most, between a member and a client: two sockets for sending, two for receiving, a pipe.
func kernelBuffers(t *testing.T) int64 {
	t.Helper()
	total := int64(pipeSize + bufferSize)
	for _, name := range []string{"tcp_rmem", "tcp_wmem"} {
		text, err := os.ReadFile("/proc/sys/net/ipv4/" + name)
		if err != nil {
			t.Fatal(err)
		}
		var least, usual, most int64
		if _, err := fmt.Sscan(string(text), &least, &usual, &most); err != nil {
			t.Fatal(err)
		}
		total += 2 * most
	}
	return total
}

// judge wants others to be served and memory to be within its limit.
func (f *fortress) judge(s siege, clients int, before int64, settle func()) {
	f.t.Helper()
	settle()
	f.settled(clients)
	each := (held() - before) / int64(clients)
	f.t.Logf("%-28s %6.1f KiB each, of %6.1f", s.name, float64(each)/1024, float64(s.limit)/1024)
	if each > s.limit {
		f.t.Errorf("%d bytes each, allowed are %d", each, s.limit)
	}
}

// TestSecureSieges does so over TLS. The records of the listener's answers wait in buffers, where without TLS the kernel has them.
func TestSecureSieges(t *testing.T) {
	const clients = 150
	for _, s := range []siege{
		{name: "TLS: head that has begun", says: "GET / HTTP/1.1\r\nHost:", limit: ofSession + ofTLS},
		{name: "TLS: chunks nobody reads", says: "POST /deaf HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\nx\r\n", 1000), limit: ofSession + ofTLS + ofMember},
		{name: "TLS: never reads 1 GB", says: "GET /endless HTTP/1.1\r\nHost: a\r\n\r\n", limit: ofSession + ofTLS + ofMember + bufferSize + tlsBufferSize},
		{name: "TLS: record that stops", says: "", pours: "\x17\x03\x03\x40\x00" + strings.Repeat("x", 16_000), limit: ofSession + ofTLS + tlsBufferSize},
		{name: "TLS: small part of one", says: "", pours: "\x17\x03\x03\x40\x00" + strings.Repeat("x", 2_000), limit: ofSession + ofTLS + maxKeptPart},
	} {
		t.Run(s.name, func(t *testing.T) {
			f := newFortress(t, true)
			settle := f.others(200)
			before := held()
			for range clients {
				raw := dialSmall(t, f.addr())
				c := tls.Client(raw, f.client)
				if err := c.Handshake(); err != nil {
					t.Fatal(err)
				}
				tell(t, c, s.says)
				tell(t, raw, s.pours)
			}
			f.judge(s, clients, before, settle)
		})
	}
}

package datagram

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
	eventloop "poise/internal/dataplane/loop"
	"poise/internal/fabric/linux"
	"poise/internal/testhost"
)

// patience is how long a test waits for what must happen, and glance for what must not.
const (
	patience = 10 * time.Second
	glance   = 50 * time.Millisecond
)

// TestMain runs the tests on a host of their own where that is possible.
func TestMain(m *testing.M) {
	if linux.Available() != nil {
		goleak.VerifyTestMain(m)
	}
	os.Exit(testhost.Run(func() int {
		goleak.VerifyTestMain(m)
		return 0
	}))
}

// hostNet is the network of the test process itself.
type hostNet struct{}

func (hostNet) Socket(family, kind int) (int, error) {
	fd, err := dataplane.OpenSocket(family, kind)
	return fd, os.NewSyscallError("socket", err)
}

var vip = netip.MustParseAddr("127.0.10.1")

// bench is one server under test with its configuration.
type bench struct {
	t      *testing.T
	engine *Engine
	files  *eventloop.Descriptors
	server *Server
	config dataplane.Config
	bind   []netip.Addr
}

// newBench makes a server with one listener and one round robin pool of the members.
func newBench(t *testing.T, members ...dataplane.Member) *bench {
	t.Helper()
	return newBenchOn(t, vip, 5000, members...)
}

// newBenchOn has that address, and room for so many flows in each loop.
func newBenchOn(t *testing.T, vip netip.Addr, flows int64, members ...dataplane.Member) *bench {
	t.Helper()
	return newBenchWith(t, newDescriptors(10_000), vip, flows, members...)
}

func newBenchWith(t *testing.T, files *eventloop.Descriptors, vip netip.Addr, flows int64, members ...dataplane.Member) *bench {
	t.Helper()
	b := &bench{t: t, bind: []netip.Addr{vip}, files: files}
	b.engine = newEngine(t, flows, b.files)
	b.server = New(hostNet{}, slog.New(slog.DiscardHandler), b.engine, b.files.NewAccount())
	t.Cleanup(b.server.Close)
	b.config = dataplane.Config{
		Listeners: []dataplane.Listener{{ID: "listener", Protocol: dataplane.UDP, Port: freePort(t, vip), PoolID: "pool"}},
		Pools:     []dataplane.Pool{{ID: "pool", Algorithm: dataplane.RoundRobin, Members: members}},
	}
	b.apply()
	return b
}

// newEngine makes an engine that must have given everything back when the test ends.
func newDescriptors(limit int64) *eventloop.Descriptors {
	return eventloop.NewDescriptors(limit, slog.New(slog.DiscardHandler))
}

func newEngine(t *testing.T, flows int64, files *eventloop.Descriptors) *Engine {
	t.Helper()
	const loops = 2
	e := &Engine{descriptors: files, limit: flows * loops}
	if err := e.start(loops); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Close()
		if n := files.Used(); n != 0 {
			t.Errorf("%d descriptors were not given back", n)
		}
		for _, l := range e.loops {
			if l.open != 0 || l.inUse != 0 || l.silent.first != nil {
				t.Errorf("a loop still counts %d flows of %d listeners", l.open, l.inUse)
			}
		}
	})
	return e
}

// apply applies a copy of the configuration, which must be served.
func (b *bench) apply() {
	b.t.Helper()
	config := b.config
	config.Listeners = append([]dataplane.Listener(nil), config.Listeners...)
	config.Pools = append([]dataplane.Pool(nil), config.Pools...)
	for i := range config.Pools {
		config.Pools[i].Members = append([]dataplane.Member(nil), config.Pools[i].Members...)
	}
	for id, state := range b.server.Apply(&config, b.bind) {
		if !state.Listening {
			b.t.Fatalf("%s: %s", id, state.Reason)
		}
	}
}

func (b *bench) addr() *net.UDPAddr {
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(b.bind[0], b.config.Listeners[0].Port))
}

func (b *bench) counters() dataplane.Counters { return b.server.Counters()["listener"] }

// hush makes flows end after so much silence.
func (b *bench) hush(d time.Duration) {
	for _, l := range b.engine.loops {
		l.do(func() { l.silence = d.Milliseconds() })
	}
}

// settled waits until the loops have done what was asked of them.
func (b *bench) settled() {
	for _, l := range b.engine.loops {
		l.do(func() {})
	}
}

// client is somebody with a port of their own.
type client struct {
	*net.UDPConn
	t *testing.T
}

func (b *bench) client() client {
	b.t.Helper()
	return b.clientFrom("")
}

// clientFrom has that address, "" for any.
func (b *bench) clientFrom(ip string) client {
	b.t.Helper()
	var local *net.UDPAddr
	if ip != "" {
		local = &net.UDPAddr{IP: net.ParseIP(ip)}
	}
	conn, err := net.DialUDP("udp", local, b.addr())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = conn.Close() })
	return client{conn, b.t}
}

// ask sends a datagram and returns the answer, "" when there is none within d.
func (c client) ask(message string, d time.Duration) string {
	c.t.Helper()
	if _, err := c.Write([]byte(message)); err != nil {
		c.t.Fatal(err)
	}
	return c.hear(d)
}

func (c client) hear(d time.Duration) string {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(d))
	buffer := make([]byte, maxDatagram)
	n, err := c.Read(buffer)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatal(err)
	}
	return string(buffer[:n])
}

// who is the name of the member that answers.
func (c client) who() string {
	c.t.Helper()
	name, _, _ := strings.Cut(c.ask("?", patience), ":")
	return name
}

// persist asks until there is an answer, as clients of UDP do.
func (c client) persist() string {
	c.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if name, _, answered := strings.Cut(c.ask("?", glance), ":"); answered {
			return name
		}
	}
	return ""
}

// freePort is a port that nobody had just now.
func freePort(t *testing.T, at netip.Addr) uint16 {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return uint16(conn.LocalAddr().(*net.UDPAddr).Port)
}

// echo is a member that sends back what it gets, after its name and a colon. stop ends it.
func echo(t *testing.T, name string) (m dataplane.Member, stop func()) {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.20.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	stop = serveEcho(t, conn, name+":")
	return member(name, conn.LocalAddr().String()), stop
}

func serveEcho(t *testing.T, conn *net.UDPConn, prefix string) (stop func()) {
	var wg sync.WaitGroup
	wg.Go(func() {
		buffer := make([]byte, maxDatagram)
		copy(buffer, prefix)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buffer[len(prefix):])
			if err != nil {
				return
			}
			_, _ = conn.WriteToUDPAddrPort(buffer[:len(prefix)+n], from)
		}
	})
	stop = func() { _ = conn.Close(); wg.Wait() }
	t.Cleanup(stop)
	return stop
}

func member(name, addr string) dataplane.Member {
	return dataplane.Member{ID: name, Address: netip.MustParseAddrPort(addr), Weight: 1}
}

// refusing is a member on whose port nobody listens.
func refusing(t *testing.T, name string) dataplane.Member {
	return member(name, netip.AddrPortFrom(vip, freePort(t, vip)).String())
}

// eventually retries until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

func localPort(t *testing.T, fd int) uint16 {
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Error(err)
		return 0
	}
	return uint16(name.(*unix.SockaddrInet4).Port)
}

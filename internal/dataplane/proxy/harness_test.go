package proxy

import (
	"fmt"
	"io"
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

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// TestMain runs the tests on a host of their own where that is possible.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(scarceMember) != "":
		if err := runScarce(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case linux.Available() != nil:
		goleak.VerifyTestMain(m)
	default:
		os.Exit(testhost.Run(func() int {
			goleak.VerifyTestMain(m)
			return 0
		}))
	}
}

// hostNet is the network of the test process itself.
type hostNet struct{}

func (hostNet) Socket(family, kind int) (int, error) {
	fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	return fd, os.NewSyscallError("socket", err)
}

var vip = netip.MustParseAddr("127.0.10.1")

// bench is one server under test with its configuration.
type bench struct {
	t      *testing.T
	engine *Engine
	server *Server
	config dataplane.Config
	bind   []netip.Addr
}

// newBench makes a server with one listener (port chosen by the kernel) and one round robin pool of the members.
func newBench(t *testing.T, members ...dataplane.Member) *bench {
	return newBenchOn(t, newDescriptors(15_000), members...)
}

func newDescriptors(limit int64) *eventloop.Descriptors {
	return eventloop.NewDescriptors(limit, slog.New(slog.DiscardHandler))
}

func newBenchOn(t *testing.T, descriptors *eventloop.Descriptors, members ...dataplane.Member) *bench {
	t.Helper()
	engine, err := startEngine(descriptors, 2)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, engine: engine, bind: []netip.Addr{vip}}
	b.server = New(hostNet{}, slog.New(slog.DiscardHandler), engine, descriptors.NewAccount())
	t.Cleanup(func() {
		b.server.Close()
		engine.Close()
		if used := descriptors.Used(); used != 0 {
			t.Errorf("%d descriptors of the budget were not given back", used)
		}
	})
	b.config = dataplane.Config{
		Listeners: []dataplane.Listener{{
			ID: "listener", Protocol: dataplane.TCP, Port: freePort(t), PoolID: "pool",
			ClientTimeout: time.Minute, MemberTimeout: time.Minute, ConnectTimeout: patience,
		}},
		Pools: []dataplane.Pool{{ID: "pool", Algorithm: dataplane.RoundRobin, Members: members}},
	}
	b.apply()
	return b
}

// another is the HTTP listener of another load balancer on the same engine.
func (b *bench) another(members ...dataplane.Member) *bench {
	b.t.Helper()
	other := &bench{t: b.t, engine: b.engine, bind: b.bind, server: New(hostNet{}, slog.New(slog.DiscardHandler), b.engine, b.engine.NewAccount())}
	b.t.Cleanup(other.server.Close)
	other.config = dataplane.Config{
		Listeners: []dataplane.Listener{{
			ID: "listener", Protocol: dataplane.HTTP, HTTP: &dataplane.Requests{}, Port: freePort(b.t), PoolID: "pool",
			ClientTimeout: time.Minute, MemberTimeout: time.Minute, ConnectTimeout: patience,
		}},
		Pools: []dataplane.Pool{{ID: "pool", Algorithm: dataplane.RoundRobin, HTTP: true, Members: members}},
	}
	other.apply()
	return other
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

func (b *bench) addr() string {
	return netip.AddrPortFrom(vip, b.config.Listeners[0].Port).String()
}

func (b *bench) counters() dataplane.Counters { return b.server.Counters()["listener"] }

// dial connects to the listener; the connection has a deadline and is closed with the test.
func (b *bench) dial() *net.TCPConn {
	b.t.Helper()
	return dial(b.t, b.addr())
}

func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn.(*net.TCPConn)
}

// who is the name of the member that a new connection reaches; "" when it is closed without one.
func (b *bench) who() string {
	b.t.Helper()
	conn := b.dial()
	defer conn.Close()
	_ = conn.CloseWrite()
	answer, err := io.ReadAll(conn)
	if err != nil {
		b.t.Errorf("answer: %v", err)
	}
	return string(answer)
}

func (b *bench) sequence(n int) string {
	b.t.Helper()
	var names strings.Builder
	for range n {
		names.WriteString(b.who())
	}
	return names.String()
}

// freePort is a port of vip that nothing listened on just now.
func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", netip.AddrPortFrom(vip, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// serve runs handle for every connection to a new member, until the test ends.
func serve(t *testing.T, name string, handle func(*net.TCPConn)) dataplane.Member {
	t.Helper()
	m, stop := serveOn(t, name, "127.0.20.1:0", handle)
	t.Cleanup(stop)
	return m
}

// serveOn does so on a given address; stop ends it and waits.
func serveOn(t *testing.T, name, addr string, handle func(*net.TCPConn)) (m dataplane.Member, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return member(name, l.Addr().String()), handleAll(l, handle)
}

// handleAll runs handle for every connection that l accepts; stop closes l and waits.
func handleAll(l net.Listener, handle func(*net.TCPConn)) (stop func()) {
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(patience))
				handle(conn.(*net.TCPConn))
			})
		}
	})
	return func() { _ = l.Close(); wg.Wait() }
}

func member(name, addr string) dataplane.Member {
	return dataplane.Member{ID: name, Address: netip.MustParseAddrPort(addr), Weight: 1}
}

// named is a member that says its name and closes when its client has closed.
func named(t *testing.T, name string) dataplane.Member {
	return serve(t, name, func(c *net.TCPConn) { sayName(c, name) })
}

func sayName(c *net.TCPConn, name string) {
	_, _ = io.WriteString(c, name)
	_ = c.CloseWrite()
	_, _ = io.Copy(io.Discard, c)
}

// refusing is a member on whose port nobody listens.
func refusing(t *testing.T, name string) dataplane.Member {
	return member(name, fmt.Sprintf("127.0.10.1:%d", freePort(t)))
}

// echo sends back what it gets.
func echo(t *testing.T, name string) dataplane.Member {
	return serve(t, name, func(c *net.TCPConn) {
		_, _ = io.Copy(c, c)
		_ = c.CloseWrite()
	})
}

// eventually retries until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

var benchBind = []netip.Addr{vip}

func addrPort(port uint16) netip.AddrPort { return netip.AddrPortFrom(vip, port) }

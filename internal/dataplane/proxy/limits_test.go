package proxy

import (
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
	eventloop "poise/internal/dataplane/loop"
)

// TestChangesUnderLoad applies one configuration after the other while clients come and go; none of them may notice.
func TestChangesUnderLoad(t *testing.T) {
	const clients, each = 16, 40
	bench := newBench(t, named(t, "a"), refusing(t, "x"), named(t, "b"), named(t, "c"))
	members := bench.config.Pools[0].Members
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for range each {
				if bench.who() == "" {
					t.Error("a request failed")
				}
			}
		})
	}
	over := make(chan struct{})
	go func() { wg.Wait(); close(over) }()
	for round := 0; ; round++ {
		select {
		case <-over:
			if n := bench.counters().Errors; n != 0 || round == 0 {
				t.Errorf("%d errors in %d rounds", n, round)
			}
			return
		default:
		}
		drop := round % len(members)
		bench.config.Pools[0].Members = append(append([]dataplane.Member(nil), members[:drop]...), members[drop+1:]...)
		bench.config.Listeners[0].ConnectionLimit = 4 + round%8
		bench.apply()
	}
}

// TestNoDescriptorForTheMember has the kernel refuse a socket: the one client is lost, the next is not.
func TestNoDescriptorForTheMember(t *testing.T) {
	bench := newBench(t, named(t, "a"))
	bench.server.Close()
	scarce := &scarceNet{}
	scarce.left.Store(2) // the first is the listener's
	bench.server = New(scarce, slog.New(slog.DiscardHandler), bench.engine, bench.engine.NewAccount())
	bench.apply()
	if got := bench.sequence(2); got != "a" {
		t.Errorf("got %q", got)
	}
	scarce.left.Store(1)
	if got := bench.who(); got != "a" {
		t.Errorf("afterwards: %q", got)
	}
}

// scarceNet has some sockets left.
type scarceNet struct {
	hostNet
	left atomic.Int64
}

func (n *scarceNet) Socket(family, kind int) (int, error) {
	if n.left.Add(-1) < 0 {
		return -1, os.NewSyscallError("socket", unix.EMFILE)
	}
	return n.hostNet.Socket(family, kind)
}

// silentMember is a member whose backlog is full: its kernel drops further SYNs.
func silentMember(t *testing.T, name string) dataplane.Member {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	port := freePort(t)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: vip.As4(), Port: int(port)}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	m := refusing(t, name)
	m.Address = addrPort(port)
	dial(t, m.Address.String())
	return m
}

// TestIdleConnectionsAreTwoDescriptors also counts what slow receivers hold, and that it is given back.
func TestIdleConnectionsAreTwoDescriptors(t *testing.T) {
	bench := newBench(t, echo(t, "a"))
	var conns []*net.TCPConn
	for range 50 {
		conn := bench.dial()
		roundTrip(t, conn)
		_, _ = conn.Write(make([]byte, 1<<20))
		_, _ = io.ReadFull(conn, make([]byte, 1<<20))
		conns = append(conns, conn)
	}
	// Beside the sockets there are the pipes that the loops keep for the next transfer.
	if used := bench.engine.descriptors.Used(); used > int64(2*len(conns))+2*2*maxIdlePipes {
		t.Errorf("%d descriptors for %d connections", used, len(conns))
	}
}

func TestDescriptorBudget(t *testing.T) {
	lines := &counter{}
	descriptors := eventloop.NewDescriptors(socketDescriptors+2*connDescriptors, slog.New(slog.NewTextHandler(lines, nil)))
	bench := newBenchOn(t, descriptors, echo(t, "a"))
	first, second, third := bench.dial(), bench.dial(), bench.dial()
	roundTrip(t, first)
	roundTrip(t, second)
	_, _ = third.Write([]byte("ping"))
	eventually(t, "the log line", func() bool { return lines.n.Load() == 1 })
	_ = first.Close()
	if _, err := io.ReadFull(third, make([]byte, 4)); err != nil {
		t.Errorf("the third connection does not follow the first: %v", err)
	}
	if n := lines.n.Load(); n != 1 {
		t.Errorf("%d log lines", n)
	}
}

type counter struct{ n atomic.Int64 }

func (c *counter) Write(p []byte) (int, error) { c.n.Add(1); return len(p), nil }

func TestCloseEndsEverything(t *testing.T) {
	before := descriptors(t)
	engine, err := startEngine(newDescriptors(1000), 2)
	if err != nil {
		t.Fatal(err)
	}
	m, stop := serveOn(t, "a", "127.0.20.1:0", func(c *net.TCPConn) { _, _ = io.Copy(c, c) })
	server, other := New(hostNet{}, slog.New(slog.DiscardHandler), engine, engine.NewAccount()), New(hostNet{}, slog.New(slog.DiscardHandler), engine, engine.NewAccount())
	config := func() *dataplane.Config {
		return &dataplane.Config{
			Listeners: []dataplane.Listener{{
				ID: "listener", Port: freePort(t), PoolID: "pool",
				ClientTimeout: time.Minute, MemberTimeout: time.Minute, ConnectTimeout: time.Minute,
			}},
			Pools: []dataplane.Pool{{ID: "pool", Members: []dataplane.Member{m}}},
		}
	}
	one, two := config(), config()
	server.Apply(one, benchBind)
	other.Apply(two, benchBind)
	var ended, untouched []*net.TCPConn
	for range 20 {
		ended = append(ended, dial(t, addrPort(one.Listeners[0].Port).String()))
		untouched = append(untouched, dial(t, addrPort(two.Listeners[0].Port).String()))
	}
	for i := range ended {
		roundTrip(t, ended[i])
		roundTrip(t, untouched[i])
	}
	server.Close()
	for i := range ended {
		if _, err := ended[i].Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
			t.Errorf("connection %d is still open: %v", i, err)
		}
		roundTrip(t, untouched[i])
		_ = ended[i].Close()
		_ = untouched[i].Close()
	}
	server.Close()
	other.Close()
	engine.Close()
	stop()
	eventually(t, "all descriptors are closed", func() bool { return descriptors(t) <= before })
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

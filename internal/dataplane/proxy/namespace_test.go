package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
	"poise/internal/fabric"
	"poise/internal/fabric/linux"
)

const (
	siteVIP, siteClient, siteStranger = "10.8.0.1", "10.8.0.9", "10.8.0.99"
	sitePort                          = 80
	steadyIP, fickleIP                = "10.8.0.21", "10.8.0.22" // members that serve; the second is changed again and again
	closedIP, silentIP                = "10.8.0.23", "10.8.0.24" // one refuses connections, one drops them unseen
)

// TestSoakInNamespaces has many clients exchange bytes through a load balancer in a namespace, with members that
// refuse, keep silent, reset and end at any time, while one configuration follows the other. Whatever was not meant
// to fail must be right to the last byte.
func TestSoakInNamespaces(t *testing.T) {
	connections, concurrency := uint64(3000), 48
	if testing.Short() {
		connections = 300
	}
	s := newSite(t)
	var next atomic.Uint64
	var clients sync.WaitGroup
	for range concurrency {
		clients.Go(func() {
			for seed := next.Add(1); seed <= connections; seed = next.Add(1) {
				s.visit(seed)
			}
		})
	}
	over := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() { s.changeUntil(over) })
	others.Go(func() { s.strangeUntil(over) })
	clients.Wait()
	close(over)
	others.Wait()
	counters := func() dataplane.Counters { return s.server.Counters()["listener"] }
	eventually(t, "all connections end", func() bool { return counters().Active == 0 })
	if c := counters(); c.Total != connections || c.Errors != 0 {
		t.Errorf("counters: %+v", c)
	}
}

// site is a load balancer, its members and its clients, each in a namespace of its own.
type site struct {
	t                *testing.T
	fabric           *linux.Fabric
	server           *Server
	bind             []netip.Addr
	client, stranger dataplane.Net
}

func newSite(t *testing.T) *site {
	t.Helper()
	if err := linux.Available(); err != nil {
		t.Skip(err)
	}
	networks, err := linux.New(t.Context(), linux.Config{Tag: "50a"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = networks.Close() })
	err = networks.Apply(t.Context(), fabric.Topology{Networks: []fabric.Network{{ID: "net", MTU: 1500}}})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, fabric: networks}
	s.client, s.stranger = s.plug(siteClient), s.plug(siteStranger)
	s.plug(closedIP)
	for _, ip := range []string{steadyIP, fickleIP} {
		t.Cleanup(handleAll(s.listen(ip), answerVisit))
	}
	s.keepSilent(s.listen(silentIP))

	endpoint, err := networks.Plug(t.Context(), siteVIP, []fabric.Port{sitePortAt(siteVIP)})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := startEngine(newDescriptors(15_000), 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(engine.Close)
	s.server, s.bind = New(endpoint.Net, slog.New(slog.DiscardHandler), engine, engine.NewAccount()), endpoint.Bind
	t.Cleanup(s.server.Close)
	s.apply(rand.New(rand.NewPCG(0, 0)))
	return s
}

func (s *site) plug(ip string) dataplane.Net {
	s.t.Helper()
	server, err := s.fabric.PlugServer(s.t.Context(), ip, []fabric.Port{sitePortAt(ip)})
	if err != nil {
		s.t.Fatal(err)
	}
	return server.Net
}

func sitePortAt(ip string) fabric.Port {
	addr := netip.MustParseAddr(ip)
	return fabric.Port{
		ID: ip, NetworkID: "net", MTU: 1500, MAC: net.HardwareAddr{0xfa, 0x16, 0x3e, 0, 0, addr.As4()[3]},
		Addresses: []netip.Prefix{netip.PrefixFrom(addr, 24)},
	}
}

// listen makes a server that listens.
func (s *site) listen(ip string) net.Listener {
	s.t.Helper()
	fd, err := listen(s.plug(ip), netip.AddrPortFrom(netip.MustParseAddr(ip), sitePort))
	if err != nil {
		s.t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), ip)
	defer file.Close()
	l, err := net.FileListener(file)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = l.Close() })
	return l
}

// keepSilent has the kernel drop every packet for a listening socket, by a filter that keeps 0 bytes of each.
func (s *site) keepSilent(l net.Listener) {
	s.t.Helper()
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		s.t.Fatal(err)
	}
	drop := unix.SockFprog{Len: 1, Filter: &unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}}
	var filterErr error
	err = raw.Control(func(fd uintptr) {
		filterErr = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &drop)
	})
	if err := errors.Join(err, filterErr); err != nil {
		s.t.Fatal(err)
	}
}

// dial connects to the load balancer from a namespace.
func (s *site) dial(from dataplane.Net) (net.Conn, error) {
	fd, err := from.Socket(unix.AF_INET, unix.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "client")
	defer file.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var to rawAddr
	to.set(netip.AddrPortFrom(netip.MustParseAddr(siteVIP), sitePort))
	if errno := connect(int32(fd), &to); errno != 0 && errno != unix.EINPROGRESS {
		return nil, errno
	}
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	for {
		n, err := unix.Poll(poll, 1000)
		if n == 1 {
			return net.FileConn(file)
		}
		if err != nil && !errors.Is(err, unix.EINTR) || ctx.Err() != nil {
			return nil, errors.Join(err, ctx.Err())
		}
	}
}

// The endings that a seed may stand for, apart from the orderly ones.
func clientResets(seed uint64) bool { return seed%11 == 3 }
func memberResets(seed uint64) bool { return seed%13 == 5 && !clientResets(seed) }

// visit is one client connection.
func (s *site) visit(seed uint64) {
	conn, err := s.dial(s.client)
	if err != nil {
		s.t.Errorf("connection %d: %v", seed, err)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(3 * patience))
	random := rand.New(rand.NewPCG(seed, 3))
	switch {
	case clientResets(seed):
		_, _ = conn.Write([]byte("."))
		_, _ = conn.Write(make([]byte, random.IntN(300_000)))
		_ = conn.(*net.TCPConn).SetLinger(0)
	case memberResets(seed):
		_, _ = conn.Write([]byte("r"))
		if _, err := io.Copy(io.Discard, conn); err == nil {
			s.t.Errorf("connection %d: the reset looks like an end", seed)
		}
	default:
		if _, err := conn.Write([]byte("x")); err != nil {
			s.t.Errorf("connection %d: %v", seed, err)
		}
		sendAndCompare(s.t, conn, seed)
	}
}

// answerVisit is the member; the first byte says what it does.
func answerVisit(c *net.TCPConn) {
	var order [1]byte
	if _, err := io.ReadFull(c, order[:]); err != nil {
		return
	}
	switch order[0] {
	case 'x':
		answerExchange(c)
	case 'r':
		_, _ = c.Write(bytes.Repeat([]byte("r"), 100_000))
		_ = c.SetLinger(0)
	default:
		_, _ = io.Copy(io.Discard, c)
	}
}

// changeUntil applies one configuration after the other.
func (s *site) changeUntil(over chan struct{}) {
	random := rand.New(rand.NewPCG(1, 4))
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-over:
			return
		case <-ticker.C:
			s.apply(random)
			state := dataplane.HealthUp
			if random.IntN(2) == 0 {
				state = dataplane.HealthDown
			}
			s.server.SetHealth(dataplane.Health{PoolID: "pool", MemberID: fickleIP, State: state})
		}
	}
}

// apply makes a configuration in which the steady member can be reached by the client, and all else is random.
func (s *site) apply(random *rand.Rand) {
	pool := dataplane.Pool{
		ID: "pool", Monitor: &dataplane.Monitor{},
		Algorithm: []dataplane.Algorithm{dataplane.RoundRobin, dataplane.LeastConnections, dataplane.SourceIPPort}[random.IntN(3)],
	}
	if random.IntN(4) == 0 {
		pool.Persistence = &dataplane.Persistence{Type: dataplane.BySourceIP}
	}
	for _, ip := range []string{closedIP, silentIP, fickleIP, steadyIP} {
		m := member(ip, netip.AddrPortFrom(netip.MustParseAddr(ip), sitePort).String())
		m.Weight = 1 + random.IntN(4)
		if ip == fickleIP {
			m.Weight, m.Backup, m.Disabled = random.IntN(4), random.IntN(4) == 0, random.IntN(4) == 0
		}
		if ip == steadyIP || random.IntN(4) > 0 {
			pool.Members = append(pool.Members, m)
		}
	}
	allowed := []netip.Prefix{netip.MustParsePrefix("10.8.0.0/27")}
	if random.IntN(2) == 0 {
		allowed = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16"), netip.MustParsePrefix(siteClient + "/32")}
	}
	states := s.server.Apply(&dataplane.Config{
		Listeners: []dataplane.Listener{{
			ID: "listener", Port: sitePort, PoolID: "pool", AllowedCIDRs: allowed, ConnectionLimit: 24 + random.IntN(40),
			ClientTimeout: time.Minute, MemberTimeout: time.Minute, ConnectTimeout: 200 * time.Millisecond,
		}},
		Pools: []dataplane.Pool{pool},
	}, s.bind)
	if state := states["listener"]; !state.Listening {
		s.t.Error(state.Reason)
	}
}

// strangeUntil connects from an address that is not allowed.
func (s *site) strangeUntil(over chan struct{}) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-over:
			return
		case <-ticker.C:
			s.intrude()
		}
	}
}

func (s *site) intrude() {
	conn, err := s.dial(s.stranger)
	if err != nil {
		return // reset already
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = conn.Write(append([]byte("x"), make([]byte, 16)...))
	_ = conn.(*net.TCPConn).CloseWrite()
	if answer, err := io.ReadAll(conn); len(answer) > 0 || os.IsTimeout(err) {
		s.t.Errorf("a stranger was answered: %d bytes, %v", len(answer), err)
	}
}

package node_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
	"poise/internal/fabric"
	"poise/internal/link"
	"poise/internal/node"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what should happen within milliseconds.
const patience = 20 * time.Second

// hostNet makes sockets on the host, and counts them.
type hostNet struct{ made atomic.Int64 }

func (n *hostNet) Socket(family, kind int) (int, error) {
	n.made.Add(1)
	return unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
}

// plugs is a fabric whose load balancers live in the network that it has just now.
type plugs struct {
	fabric.Fabric
	net atomic.Pointer[hostNet]
}

func (p *plugs) Plug(context.Context, string, []fabric.Port) (fabric.Endpoint, error) {
	return fabric.Endpoint{Net: p.net.Load(), Bind: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, nil
}

func (p *plugs) Unplug(context.Context, string) error { return nil }

// notebook keeps reports.
type notebook struct {
	mu   sync.Mutex // guards last and count
	last link.Report
	n    int
}

func (b *notebook) Report(r link.Report) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = r
	b.n++
}

func (b *notebook) read() (link.Report, int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last, b.n
}

type bench struct {
	*node.Node
	plugs   *plugs
	notes   *notebook
	stopRun func() // ends the node's Run, and waits for it
}

func start(t *testing.T) *bench {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	engines, err := node.StartEngines(log)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{plugs: &plugs{}, notes: &notebook{}}
	b.plugs.net.Store(&hostNet{})
	b.Node = node.New(b.plugs, engines, log)
	b.ReportTo(b.notes)
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	tasks.Go(func() { _ = b.Run(ctx) })
	b.stopRun = func() { cancel(); tasks.Wait() }
	t.Cleanup(func() { b.stopRun(); b.Close(); engines.Close() })
	return b
}

func (b *bench) apply(t *testing.T, a link.Assignment) {
	t.Helper()
	a.LoadBalancerID = "lb"
	if err := b.Apply(t.Context(), a); err != nil {
		t.Fatal(err)
	}
}

// greeter answers every connection.
func greeter(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "hello")
			_ = c.Close()
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

func ask(port uint16) error {
	c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), patience)
	if err != nil {
		return err
	}
	defer c.Close()
	answer, err := io.ReadAll(c)
	if err == nil && string(answer) != "hello" {
		err = fmt.Errorf("answer %q", answer)
	}
	return err
}

func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// oneListener is a load balancer with a TCP listener and the members.
func oneListener(port uint16, generation int64, members ...dataplane.Member) link.Assignment {
	return link.Assignment{Generation: generation, Config: dataplane.Config{
		Listeners: []dataplane.Listener{{ID: "listener", Protocol: dataplane.TCP, Port: port, PoolID: "pool"}},
		Pools:     []dataplane.Pool{{ID: "pool", Algorithm: dataplane.RoundRobin, Members: members}},
	}}
}

func TestCountsAndLogsWhatItCarries(t *testing.T) {
	b := start(t)
	dir := t.TempDir()
	sink := accesslog.NewSink(dir, slog.New(slog.DiscardHandler))
	b.LogTo(sink)
	ctx, cancel := context.WithCancel(context.Background())
	var written sync.WaitGroup
	written.Go(func() { _ = sink.Run(ctx) })
	defer written.Wait()
	defer cancel()
	port, member := freePort(t), dataplane.Member{ID: "m", Address: greeter(t), Weight: 1}
	a := oneListener(port, 1, member)
	a.Config.Listeners[0].AccessLog = true
	b.apply(t, a)
	f := b.FollowLog(t.Context(), "lb", "listener")
	if f == nil || b.FollowLog(t.Context(), "lb", "another") != nil || b.FollowLog(t.Context(), "another", "listener") != nil {
		t.Fatal("followers of what is there and what is not are mixed up")
	}
	if err := ask(port); err != nil {
		t.Fatal(err)
	}
	if r := <-f.Records; r.ListenerID != "listener" || r.MemberID != "m" || r.BytesOut != 5 {
		t.Errorf("record %+v", r)
	}
	eventually(t, "a line in the file", func() error {
		data, err := os.ReadFile(filepath.Join(dir, "listener.jsonl"))
		if err == nil && !strings.Contains(string(data), `"member_id":"m"`) {
			err = fmt.Errorf("%q", data)
		}
		return err
	})
	key := dataplane.MemberKey{ListenerID: "listener", PoolID: "pool", MemberID: "m"}
	if got := b.Members("lb")[key]; got.Total != 1 || got.BytesOut != 5 {
		t.Errorf("member's counters %+v", got)
	}
	if got := b.Counters("lb")["listener"]; got.Total != 1 || got.BytesOut != 5 {
		t.Errorf("listener's counters %+v", got)
	}
	if b.Members("another") != nil || b.Counters("another") != nil || b.History("another", "pool", "m") != nil {
		t.Error("a load balancer that is not served has counters")
	}
}

// TestNetworkMadeAnew is another network at a replug: listeners and health checks live in it from then on.
func TestNetworkMadeAnew(t *testing.T) {
	b := start(t)
	port, member := freePort(t), dataplane.Member{ID: "m", Address: greeter(t), Weight: 1}
	b.apply(t, oneListener(port, 1, member))
	if err := ask(port); err != nil {
		t.Fatal(err)
	}
	old, fresh := b.plugs.net.Load(), &hostNet{}
	b.plugs.net.Store(fresh)
	again := oneListener(port, 2, member)
	b.apply(t, again)
	if fresh.made.Load() > 0 {
		t.Error("the network was replaced although nobody asked for it")
	}
	again.Replug, again.Generation = true, 3
	b.apply(t, again)
	before := old.made.Load()
	if err := ask(port); err != nil {
		t.Error(err)
	}
	if fresh.made.Load() < 2 || old.made.Load() != before {
		t.Errorf("%d sockets in the new network, %d more in the old one", fresh.made.Load(), old.made.Load()-before)
	}
}

// TestReportsHealthAndOnlyNews of many members that fail together is told in few reports, and then there is silence.
func TestReportsHealthAndOnlyNews(t *testing.T) {
	const many = 200
	b := start(t)
	var members []dataplane.Member
	dead := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), freePort(t))
	for i := range many {
		members = append(members, dataplane.Member{ID: fmt.Sprint(i), Address: dead, Probe: dead, Weight: 1})
	}
	a := oneListener(freePort(t), 1, members...)
	a.Config.Pools[0].Monitor = &dataplane.Monitor{ID: "h", Type: dataplane.MonitorTCP, Delay: time.Hour, Timeout: time.Second, Rise: 1, Fall: 1}
	b.apply(t, a)
	eventually(t, "all down", func() error {
		r, _ := b.notes.read()
		for _, h := range r.Health {
			if h.State != dataplane.HealthDown {
				return errors.New(h.MemberID + " is " + string(h.State))
			}
		}
		return nil
	})
	if _, n := b.notes.read(); n > many/2 {
		t.Errorf("%d reports about %d members", n, many)
	}
	if got := b.History("lb", "pool", "7"); len(got) != 1 || got[0].OK {
		t.Errorf("history %+v", got)
	}
	eventually(t, "no report of nothing new", func() error {
		_, before := b.notes.read()
		<-time.After(1500 * time.Millisecond) // longer than the node's look around
		if _, after := b.notes.read(); after != before {
			return fmt.Errorf("%d reports", after-before) // the last news may have come meanwhile
		}
		return nil
	})
}

// TestOpensWhatWasTaken opens a listener once its address is free, and reports that.
func TestOpensWhatWasTaken(t *testing.T) {
	b := start(t)
	squatter, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.apply(t, oneListener(squatter.Addr().(*net.TCPAddr).AddrPort().Port(), 1))
	if r, _ := b.notes.read(); r.Listeners["listener"].Listening || !strings.Contains(r.Listeners["listener"].Reason, syscall.EADDRINUSE.Error()) {
		t.Errorf("state %+v", r.Listeners["listener"])
	}
	if err := squatter.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it listens", func() error {
		if r, _ := b.notes.read(); !r.Listeners["listener"].Listening {
			return errors.New(r.Listeners["listener"].Reason)
		}
		return nil
	})
}

func TestMetricsListener(t *testing.T) {
	b := start(t)
	port, metrics := freePort(t), freePort(t)
	dead := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), freePort(t))
	a := oneListener(port, 1, dataplane.Member{ID: "m", Address: greeter(t), Weight: 1}, dataplane.Member{ID: "dead", Address: dead, Probe: dead, Weight: 1})
	a.Config.Pools[0].Monitor = &dataplane.Monitor{ID: "h", Type: dataplane.MonitorTCP, Delay: time.Hour, Timeout: time.Second, Rise: 1, Fall: 1}
	a.Config.Pools[0].Members[0].Probe = a.Config.Pools[0].Members[0].Address
	a.Config.Listeners = append(a.Config.Listeners, dataplane.Listener{ID: "metrics", Protocol: dataplane.Prometheus, Port: metrics})
	b.apply(t, a)
	eventually(t, "a page that knows what has happened", func() error {
		if err := ask(port); err != nil {
			return err
		}
		answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", metrics))
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		page, err := io.ReadAll(answer.Body)
		for _, line := range []string{
			`octavia_member_status{member="m",pool="pool",listener="listener"} 1`,
			`octavia_member_status{member="dead",pool="pool",listener="listener"} 0`,
			`octavia_listener_bytes_out_total{listener="listener"} `,
		} {
			if err == nil && !strings.Contains(string(page), line) {
				err = fmt.Errorf("%d without %s: %s", answer.StatusCode, line, page)
			}
		}
		return err
	})
	http.DefaultClient.CloseIdleConnections()
	if answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", metrics)); err != nil || answer.Body.Close() != nil || answer.StatusCode < 400 {
		t.Errorf("another path: %v", err)
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestDrain has a node wait for the clients that it has, and let no new ones in.
func TestDrain(t *testing.T) {
	b := start(t)
	port := freePort(t)
	held := make(chan net.Conn, 1)
	member, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer member.Close()
	go func() {
		for {
			c, err := member.Accept()
			if err != nil {
				return
			}
			select {
			case held <- c:
			default:
				_ = c.Close()
			}
		}
	}()
	b.apply(t, oneListener(port, 1, dataplane.Member{ID: "m", Address: member.Addr().(*net.TCPAddr).AddrPort(), Weight: 1}))
	client, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	other := <-held
	held <- other // later ones are closed
	b.stopRun()
	at := make(chan int, 1)
	go func() { at <- b.Drain(t.Context()) }()
	eventually(t, "no new clients", func() error {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			_ = c.Close()
			return errors.New("one was let in")
		}
		return nil
	})
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if busy := b.Drain(impatient); busy != 1 {
		t.Errorf("%d load balancers have clients", busy)
	}
	_ = other.Close()
	_ = client.Close()
	if busy := <-at; busy != 0 {
		t.Errorf("%d load balancers have clients", busy)
	}
}

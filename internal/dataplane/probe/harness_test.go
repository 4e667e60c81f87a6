package probe

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"poise/internal/dataplane"
	"poise/internal/fabric/linux"
	"poise/internal/testhost"
	"poise/internal/testpki"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

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

// run makes one check as a prober would, and returns its sentence; "" for success.
func run(t *testing.T, network dataplane.Net, pool dataplane.Pool, at netip.AddrPort) string {
	t.Helper()
	if pool.Monitor.Timeout == 0 {
		pool.Monitor.Timeout = patience
	}
	w := newWay(origin{monitor: *pool.Monitor, proxy: pool.Proxy, tls: pool.TLS}, checks[pool.Monitor.Type])
	if len(pool.Members) > 0 {
		w = w.to(pool.Members[0])
	}
	ctx, cancel := context.WithTimeout(t.Context(), w.monitor.Timeout)
	defer cancel()
	err := w.check(ctx, network, w, at)
	if err == nil {
		return ""
	}
	return explain(err, w.subject(at), w.monitor.Timeout)
}

// serve runs handle for every connection to a new server, until the test ends.
func serve(t *testing.T, handle func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.30.1:0")
	if err != nil {
		t.Fatal(err)
	}
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
				handle(conn)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return netip.MustParseAddrPort(l.Addr().String())
}

// issued is the TLS configuration of a member with a certificate of that authority.
func issued(t *testing.T, a *testpki.Authority, protocols ...string) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{a.Issue(t, "member").TLS()}, NextProtos: protocols}
}

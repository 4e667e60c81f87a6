package gateway

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
	"poise/internal/dataplane/balance"
	"poise/internal/dataplane/l7"
	"poise/internal/dataplane/loop"
	"poise/internal/dataplane/meter"
	"poise/internal/dataplane/tlsconf"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hostNet is the network of the test process itself.
type hostNet struct{}

func (hostNet) Socket(family, kind int) (int, error) {
	fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	return fd, os.NewSyscallError("socket", err)
}

// purse is a budget that counts.
type purse struct {
	used, limit atomic.Int64
}

func (p *purse) Take(n int64) bool {
	if p.used.Add(n) > p.limit.Load() {
		p.used.Add(-n)
		return false
	}
	return true
}

func (p *purse) Give(n int64) { p.used.Add(-n) }

// bench is one listener that a gateway serves.
type bench struct {
	t        *testing.T
	gateway  *Gateway
	listener net.Listener
	tls      *tls.Config // of the listener; nil: plaintext
	site     atomic.Pointer[l7.Site]
	purse    purse
	meter    meter.Listener
	members  []*meter.Member
	log      accesslog.Log
	metrics  func(io.Writer)
	wg       sync.WaitGroup
}

// setting is what a test wants of its bench.
type setting struct {
	plain      bool // the listener speaks no TLS
	protocol   dataplane.Protocol
	listener   dataplane.Listener
	pool       dataplane.Pool
	membersTLS *tls.Config
	metrics    func(io.Writer)
}

// newBench serves a listener whose default pool has these members, by their addresses.
func newBench(t *testing.T, set setting, members ...string) *bench {
	t.Helper()
	b := &bench{t: t, metrics: set.metrics}
	b.purse.limit.Store(1000)
	b.gateway = New(slog.New(slog.DiscardHandler), &b.purse, &loop.Hops{})
	b.configure(set, members...)
	if !set.plain {
		b.tls = &tls.Config{Certificates: []tls.Certificate{certificate()}, NextProtos: []string{"h2", "http/1.1"}}
	}
	var err error
	if b.listener, err = net.Listen("tcp", "127.0.30.1:0"); err != nil {
		t.Fatal(err)
	}
	b.wg.Go(b.accept)
	t.Cleanup(b.close)
	return b
}

// configure gives the listener another site.
func (b *bench) configure(set setting, members ...string) {
	b.t.Helper()
	listener, pool := set.listener, set.pool
	listener.ID, listener.Protocol, listener.PoolID = "listener", dataplane.HTTP, "pool"
	if set.protocol != "" {
		listener.Protocol = set.protocol
	}
	pool.ID, pool.Algorithm, pool.HTTP = "pool", dataplane.RoundRobin, true
	for i, address := range members {
		pool.Members = append(pool.Members, dataplane.Member{ID: string(rune('a' + i)), Address: netip.MustParseAddrPort(address), Weight: 1})
		b.members = append(b.members, &meter.Member{})
	}
	p := &l7.Pool{Config: &pool, Balancer: balance.New(pool, nil), Meters: b.members[len(b.members)-len(members):]}
	if set.membersTLS != nil {
		pool.TLS = &dataplane.ClientTLS{}
		p.TLS = func(string, netip.AddrPort) *tls.Config { return set.membersTLS }
		p.OffersHTTP2 = len(set.membersTLS.NextProtos) > 0 && set.membersTLS.NextProtos[0] == "h2"
	}
	site, err := l7.New(l7.Parts{
		Listener: &listener, Net: hostNet{}, Meter: &b.meter, Log: &b.log, Pools: map[string]*l7.Pool{"pool": p},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.site.Store(site)
}

func (b *bench) accept() {
	for {
		conn, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.wg.Go(func() { b.serve(conn) })
	}
}

func (b *bench) serve(conn net.Conn) {
	client := &l7.Client{
		Address: conn.RemoteAddr().(*net.TCPAddr).AddrPort(), Local: conn.LocalAddr().(*net.TCPAddr).AddrPort(),
	}
	if b.tls != nil {
		secure := tls.Server(conn, b.tls)
		_ = conn.SetDeadline(time.Now().Add(patience))
		if secure.Handshake() != nil {
			_ = conn.Close()
			return
		}
		_ = conn.SetDeadline(time.Time{})
		client.TLS = tlsconf.NewPeer(secure.ConnectionState())
		conn = secure
	}
	b.gateway.Serve(conn, client, b.site.Load, b.metrics)
}

func (b *bench) close() {
	_ = b.listener.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	b.gateway.Close(ctx)
	b.wg.Wait()
	eventually(b.t, "every descriptor is given back", func() bool { return b.purse.used.Load() == 0 })
}

func (b *bench) url(path string) string {
	scheme := "https://"
	if b.tls == nil {
		scheme = "http://"
	}
	return scheme + b.listener.Addr().String() + path
}

// client speaks HTTP/2, or HTTP/1.1 alone.
func (b *bench) client(version int) *http.Client {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(version == 1)
	protocols.SetHTTP2(version == 2 && b.tls != nil)
	protocols.SetUnencryptedHTTP2(version == 2 && b.tls == nil)
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "www.example.com"}, Protocols: protocols, DisableCompression: true,
	}
	b.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// get is a response with its body read.
func (b *bench) get(client *http.Client, path string) (*http.Response, string) {
	b.t.Helper()
	request, err := http.NewRequest("GET", b.url(path), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(client, request)
}

func (b *bench) do(client *http.Client, request *http.Request) (*http.Response, string) {
	b.t.Helper()
	response, err := client.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return response, string(body)
}

// member is a server in plaintext; memberTLS one that speaks TLS, and HTTP/2 where it is asked to.
func member(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func memberTLS(t *testing.T, http2 bool, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	s.EnableHTTP2 = http2
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// rawMember runs handle for each connection.
func rawMember(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.30.2:0")
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
	return l.Addr().String()
}

var http2ToMembers = &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}}

// certificate is of nobody in particular.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// eventually retries until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Errorf("still waiting: %s", what)
			return
		}
		time.Sleep(time.Millisecond)
	}
}

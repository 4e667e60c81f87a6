package robust

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// changeEvery requests there is a change.
	changeEvery = 5_000
	// perConnection requests are what one client connection carries before it makes way for a new one.
	perConnection = 1_000
	memberPort    = 8080
)

// TestRequestsUnderChanges sends requests, with -chaos a million, through an HTTP and a TERMINATED_HTTPS listener while their
// configuration and certificates change all the time. No change is one that a request may fail for.
func TestRequestsUnderChanges(t *testing.T) {
	s := newServer(t, "")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	g := newGarden(t, s)
	for i := range 24 {
		v := &visitor{garden: g, secured: i%4 == 3, number: i}
		g.wg.Go(func() { v.visit(ctx) })
	}
	start := time.Now()
	wantedRequests := int64(rounds(300_000, 1_000_000))
	changes, wantedChanges := 0, int(wantedRequests/changeEvery)
	for g.answered.Load() < wantedRequests && ctx.Err() == nil && g.failure() == nil {
		if due := int64(changes) * changeEvery; changes < wantedChanges && g.answered.Load() >= due {
			g.change(changes)
			changes++
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Millisecond): // until the next change is due
		}
	}
	stop()
	g.wg.Wait()
	if err := g.failure(); err != nil {
		t.Fatalf("after %d requests and %d changes: %v", g.answered.Load(), changes, err)
	}
	if changes < wantedChanges {
		t.Errorf("%d changes, want %d", changes, wantedChanges)
	}
	members := map[string]int64{}
	for name, count := range g.served {
		members[name] = count.Load()
	}
	t.Logf("%d requests under %d changes in %v, by member: %v, client connections: %d, certificates seen: %d",
		g.answered.Load(), changes, time.Since(start).Round(time.Second), members, g.connections.Load(), len(g.seen))
	if len(g.seen) < wantedChanges/10 {
		t.Errorf("clients have met %d certificates only", len(g.seen))
	}
}

// garden is a load balancer with two listeners, its members, and what is known about the requests so far.
type garden struct {
	*server
	lb, vip, network string // network: the namespace from which clients come
	listener, secure string
	pool, spare      string // the pool of both listeners, and one for policies
	members          []string
	policy, monitor  string
	serial           int

	answered, connections atomic.Int64
	served                map[string]*atomic.Int64
	wg                    sync.WaitGroup

	mu   sync.Mutex // guards what follows
	err  error
	seen map[string]bool // serial numbers of certificates that clients were shown
}

const lbaas = "/load-balancer/v2/lbaas"

func newGarden(t *testing.T, s *server) *garden {
	t.Helper()
	g := &garden{server: s, served: map[string]*atomic.Int64{}, seen: map[string]bool{}, network: s.members[2].namespace}
	for _, m := range s.members[:2] {
		g.served[m.name] = &atomic.Int64{}
		g.serve(m)
	}
	lb := s.demo.must(t, "POST", lbaas+"/loadbalancers", "loadbalancer", object{"loadbalancer": object{"name": "garden", "vip_subnet_id": s.subnet}})
	g.lb, g.vip = lb.text("id"), lb.text("vip_address")
	for _, pool := range []*string{&g.pool, &g.spare} {
		*pool = s.demo.must(t, "POST", lbaas+"/pools", "pool", object{"pool": object{
			"loadbalancer_id": g.lb, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
		}}).text("id")
		g.members = append(g.members, g.addMember(*pool, s.members[0]), g.addMember(*pool, s.members[1]))
	}
	g.listener = s.demo.must(t, "POST", lbaas+"/listeners", "listener", object{"listener": object{
		"loadbalancer_id": g.lb, "protocol": "HTTP", "protocol_port": 80, "default_pool_id": g.pool,
	}}).text("id")
	g.secure = s.demo.must(t, "POST", lbaas+"/listeners", "listener", object{"listener": object{
		"loadbalancer_id": g.lb, "protocol": "TERMINATED_HTTPS", "protocol_port": 443, "default_pool_id": g.pool,
		"default_tls_container_ref": g.newSecret(), "alpn_protocols": []string{"http/1.1"},
	}}).text("id")
	for _, port := range []string{"80", "443"} {
		eventually(t, "port "+port, patience, func() error {
			c, err := dial(g.network, net.JoinHostPort(g.vip, port), time.Second)
			if err == nil {
				err = c.Close()
			}
			return err
		})
	}
	return g
}

func (g *garden) addMember(pool string, m labServer) string {
	g.t.Helper()
	return g.demo.must(g.t, "POST", lbaas+"/pools/"+pool+"/members", "member", object{"member": object{
		"address": m.address, "protocol_port": memberPort, "name": m.name,
	}}).text("id")
}

// serve answers requests in a lab server's namespace, with what it was asked.
func (g *garden) serve(m labServer) {
	g.t.Helper()
	l, err := listenIn(m.namespace, net.JoinHostPort(m.address, strconv.Itoa(memberPort)))
	if err != nil {
		g.t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.served[m.name].Add(1)
		w.Header().Set("X-Asked", r.URL.Path)
		body, err := io.ReadAll(r.Body)
		if err == nil {
			_, _ = w.Write(body)
		}
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	g.t.Cleanup(func() { _ = server.Close(); <-done })
}

// newSecret stores a new certificate with its key and returns its reference.
func (g *garden) newSecret() string {
	g.t.Helper()
	g.serial++
	return g.demo.must(g.t, "POST", "/key-manager/v1/containers", "", object{
		"type": "certificate", "name": fmt.Sprint("certificate ", g.serial),
		"secret_refs": g.storeCertificate(),
	}).text("container_ref")
}

func (g *garden) storeCertificate() []object {
	g.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		g.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(g.serial)), Subject: pkix.Name{CommonName: "garden.example"}, DNSNames: []string{"garden.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		g.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		g.t.Fatal(err)
	}
	var refs []object
	for name, block := range map[string]*pem.Block{
		"certificate": {Type: "CERTIFICATE", Bytes: certificate}, "private_key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		ref := g.demo.must(g.t, "POST", "/key-manager/v1/secrets", "", object{
			"payload": base64.StdEncoding.EncodeToString(pem.EncodeToMemory(block)), "payload_content_type": "application/octet-stream",
			"payload_content_encoding": "base64",
		}).text("secret_ref")
		refs = append(refs, object{"name": name, "secret_ref": ref})
	}
	return refs
}

// change makes one change that concerns the requests under way, of many kinds in turn.
func (g *garden) change(n int) {
	put := func(path, envelope string, what object) {
		g.demo.must(g.t, "PUT", lbaas+path, envelope, object{envelope: what})
	}
	last := g.members[len(g.members)-1]
	switch n % 10 {
	case 0:
		put("/listeners/"+g.secure, "listener", object{"default_tls_container_ref": g.newSecret()})
	case 1:
		put("/pools/"+g.pool+"/members/"+g.members[0], "member", object{"weight": 1 + n%5})
	case 2:
		g.policy = g.demo.must(g.t, "POST", lbaas+"/l7policies", "l7policy", object{"l7policy": object{
			"listener_id": g.listener, "action": "REDIRECT_TO_POOL", "redirect_pool_id": g.spare,
		}}).text("id")
		g.demo.must(g.t, "POST", lbaas+"/l7policies/"+g.policy+"/rules", "rule", object{"rule": object{
			"type": "PATH", "compare_type": "ENDS_WITH", "value": "7",
		}})
	case 3:
		put("/listeners/"+g.listener, "listener", object{"insert_headers": object{"X-Forwarded-For": strconv.FormatBool(n%20 == 3)}})
	case 4: // a member leaves with requests that it has
		g.demo.must(g.t, "DELETE", lbaas+"/pools/"+g.spare+"/members/"+last, "", nil)
	case 5:
		g.members[len(g.members)-1] = g.addMember(g.spare, g.server.members[1])
	case 6:
		put("/pools/"+g.pool, "pool", object{"lb_algorithm": []string{"LEAST_CONNECTIONS", "SOURCE_IP", "ROUND_ROBIN"}[n/10%3]})
	case 7:
		put("/pools/"+g.pool, "pool", object{"session_persistence": []any{object{"type": "HTTP_COOKIE"}, nil}[n/10%2]})
	case 8:
		if g.monitor == "" {
			g.monitor = g.demo.must(g.t, "POST", lbaas+"/healthmonitors", "healthmonitor", object{"healthmonitor": object{
				"pool_id": g.pool, "type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 1, "url_path": "/health",
			}}).text("id")
		} else {
			g.demo.must(g.t, "DELETE", lbaas+"/healthmonitors/"+g.monitor, "", nil)
			g.monitor = ""
		}
	case 9:
		g.demo.must(g.t, "DELETE", lbaas+"/l7policies/"+g.policy, "", nil)
	}
}

func (g *garden) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = errors.Join(g.err, err)
}

func (g *garden) failure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// visitor is one client, with one connection at a time.
type visitor struct {
	garden  *garden
	secured bool
	number  int
}

func (v *visitor) visit(ctx context.Context) {
	for ctx.Err() == nil && v.garden.failure() == nil {
		if err := v.connection(ctx); err != nil {
			v.garden.fail(fmt.Errorf("visitor %d: %w", v.number, err))
		}
	}
}

// connection carries requests until it has carried enough.
func (v *visitor) connection(ctx context.Context) error {
	c, err := v.connect()
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer c.Close()
	v.garden.connections.Add(1)
	in := bufio.NewReader(c)
	for i := 0; i < perConnection && ctx.Err() == nil; i++ {
		closing, err := v.ask(c, in, i)
		if err != nil {
			return fmt.Errorf("request %d of a connection: %w", i, err)
		}
		v.garden.answered.Add(1)
		if closing {
			return nil
		}
	}
	return nil
}

func (v *visitor) connect() (net.Conn, error) {
	g := v.garden
	if !v.secured {
		return dial(g.network, net.JoinHostPort(g.vip, "80"), patience)
	}
	raw, err := dial(g.network, net.JoinHostPort(g.vip, "443"), patience)
	if err != nil {
		return nil, err
	}
	c := tls.Client(raw, &tls.Config{ServerName: "garden.example", InsecureSkipVerify: true}) // each certificate is its own authority
	if err := c.Handshake(); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen[c.ConnectionState().PeerCertificates[0].SerialNumber.String()] = true
	return c, nil
}

// ask sends a request, every eighth one with a body, and wants the answer to be exactly its own. closing says that the
// server has announced to close the connection.
func (v *visitor) ask(c net.Conn, in *bufio.Reader, i int) (closing bool, err error) {
	path := fmt.Sprintf("/%d/%d", v.number, i)
	var body []byte
	if i%8 == 0 {
		body = bytes.Repeat([]byte{byte('a' + i%26)}, i%3000)
	}
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return false, err
	}
	method := "GET"
	if body != nil {
		method = "POST"
	}
	request := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: garden.example\r\nContent-Length: %d\r\n\r\n%s", method, path, len(body), body)
	if _, err := c.Write(request); err != nil {
		return false, err
	}
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		return false, err
	}
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		return false, err
	}
	if answer.StatusCode != http.StatusOK || answer.Header.Get("X-Asked") != path || !bytes.Equal(got, body) {
		return false, fmt.Errorf("%s %s with %d bytes: %s for %q with %d bytes", method, path, len(body), answer.Status, answer.Header.Get("X-Asked"), len(got))
	}
	return answer.Close, nil
}

// listenIn listens inside a namespace.
func listenIn(namespace, address string) (l net.Listener, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		space, openErr := openNamespace(namespace)
		if err = openErr; err != nil {
			return
		}
		defer space.Close()
		if err = unix.Setns(int(space), unix.CLONE_NEWNET); err == nil {
			l, err = net.Listen("tcp4", address)
		}
	}()
	<-done
	return l, err
}

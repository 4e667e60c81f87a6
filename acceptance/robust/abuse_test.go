package robust

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// idleHTTP connections wait for their next request at once, or as many as the limit of open files allows: each has one descriptor, and
	// the server leaves openFileReserve to others.
	idleHTTP        = 10_000
	openFileReserve = 1_000 + 20_000/16 + 2*100 // room for those who come back, and for new clients
	idleTLS         = 4_000
	// neverReading connections ask for a gigabyte each.
	neverReading = 500

	// What the server's resident memory may grow by for each connection. The collector lets the heap grow to twice what is in use.
	maxIdleHTTP = 6 << 10
	maxIdleTLS  = 2 * (6 << 10)
	// A buffer of the proxy for what its client does not take, and 8 KiB for all else.
	maxNeverReading = 2 * (16<<10 + 8<<10)
	// Four records of ciphertext beside, and the state of TLS.
	maxNeverReadingTLS = 2 * (16<<10 + 64<<10 + 16<<10)

	hoardPort = 8081
)

// TestHoards has very many clients that hold connections and do nothing with them, and measures the server's memory. Others are served
// meanwhile, and the idle ones are served when they come back.
func TestHoards(t *testing.T) {
	g := newGarden(t, newServer(t, ""))
	g.serveEndless()
	for _, listener := range []string{g.listener, g.secure} {
		g.demo.must(t, "PUT", lbaas+"/listeners/"+listener, "listener", object{"listener": object{
			"timeout_client_data": 600_000, "timeout_member_data": 600_000,
		}})
	}
	for _, hoard := range []struct {
		name   string
		secure bool
		path   string // "": they get their answers
		count  int
		most   int64
	}{
		{"idle", false, "", min(idleHTTP, openFiles(t)-openFileReserve), maxIdleHTTP},
		{"idle over TLS", true, "", idleTLS, maxIdleTLS},
		{"never reading", false, "/endless", neverReading, maxNeverReading},
		{"never reading over TLS", true, "/endless", neverReading, maxNeverReadingTLS},
	} {
		t.Run(hoard.name, func(t *testing.T) {
			warm := g.hoard(t, hoard.secure, 100)
			g.askAll(t, warm)
			closeAll(warm)
			before := g.residentBytes(t)
			held := g.hoard(t, hoard.secure, hoard.count)
			defer func() { closeAll(held) }()
			if hoard.path == "" {
				g.askAll(t, held)
			} else {
				for _, c := range held {
					if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: garden.example\r\n\r\n", hoard.path); err != nil {
						t.Fatal(err)
					}
				}
			}
			others := g.hoard(t, hoard.secure, 50)
			g.askAll(t, others)
			after := g.residentBytes(t)
			each := (after - before) / int64(hoard.count)
			t.Logf("%-24s %6d connections: from %d to %d MiB, %.1f KiB each, of %d",
				hoard.name, hoard.count, before>>20, after>>20, float64(each)/1024, hoard.most>>10)
			if each > hoard.most {
				t.Errorf("%d bytes each, allowed are %d", each, hoard.most)
			}
			if hoard.path == "" {
				g.askAll(t, held)
			}
			g.askAll(t, others)
			closeAll(others)
		})
	}
}

// openFiles is the server's limit, which is ours.
func openFiles(t *testing.T) int {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	return int(min(limit.Max, 1<<20))
}

// serveEndless has a path of the listeners lead to a member whose answers are a gigabyte long.
func (g *garden) serveEndless() {
	g.t.Helper()
	m := g.server.members[0]
	l, err := listenIn(m.namespace, net.JoinHostPort(m.address, strconv.Itoa(hoardPort)))
	if err != nil {
		g.t.Fatal(err)
	}
	piece := make([]byte, 64<<10)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(1<<30))
		for err := error(nil); err == nil; {
			_, err = w.Write(piece)
		}
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	g.t.Cleanup(func() { _ = server.Close(); <-done })
	pool := g.demo.must(g.t, "POST", lbaas+"/pools", "pool", object{"pool": object{
		"loadbalancer_id": g.lb, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
	}}).text("id")
	g.demo.must(g.t, "POST", lbaas+"/pools/"+pool+"/members", "member", object{"member": object{"address": m.address, "protocol_port": hoardPort}})
	for _, listener := range []string{g.listener, g.secure} {
		policy := g.demo.must(g.t, "POST", lbaas+"/l7policies", "l7policy", object{"l7policy": object{
			"listener_id": listener, "action": "REDIRECT_TO_POOL", "redirect_pool_id": pool,
		}}).text("id")
		g.demo.must(g.t, "POST", lbaas+"/l7policies/"+policy+"/rules", "rule", object{"rule": object{
			"type": "PATH", "compare_type": "EQUAL_TO", "value": "/endless",
		}})
	}
}

// hoard makes n connections, over TLS or not.
func (g *garden) hoard(t *testing.T, secure bool, n int) []net.Conn {
	t.Helper()
	port := "80"
	if secure {
		port = "443"
	}
	all, err := dialMany(g.network, net.JoinHostPort(g.vip, port), n)
	if err != nil {
		closeAll(all)
		t.Fatalf("connection %d: %v", len(all), err)
	}
	for i, raw := range all {
		_ = raw.SetDeadline(time.Now().Add(4 * patience))
		if secure {
			c := tls.Client(raw, &tls.Config{ServerName: "garden.example", InsecureSkipVerify: true}) // its own authority
			if err := c.Handshake(); err != nil {
				t.Fatalf("handshake %d: %v", i, err)
			}
			all[i] = c
		}
	}
	return all
}

// dialMany makes n connections from inside a namespace.
func dialMany(namespace, address string, n int) (all []net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		space, openErr := openNamespace(namespace)
		if err = openErr; err != nil {
			return
		}
		defer space.Close()
		for err = unix.Setns(int(space), unix.CLONE_NEWNET); err == nil && len(all) < n; {
			var c net.Conn
			if c, err = net.DialTimeout("tcp4", address, patience); err == nil {
				all = append(all, c)
			}
		}
	}()
	<-done
	return all, err
}

func closeAll(all []net.Conn) {
	for _, c := range all {
		_ = c.Close()
	}
}

// askAll has each connection carry one request, and wants its answer.
func (g *garden) askAll(t *testing.T, all []net.Conn) {
	t.Helper()
	reader := bufio.NewReader(nil)
	for i, c := range all {
		path := fmt.Sprint("/", i)
		_, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: garden.example\r\n\r\n", path)
		reader.Reset(c)
		answer, readErr := http.ReadResponse(reader, nil)
		if err = errors.Join(err, readErr); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.Header.Get("X-Asked") != path {
			t.Fatalf("connection %d: %s, %v", i, answer.Status, err)
		}
	}
}

// residentBytes is the memory of the server's process.
func (s *server) residentBytes(t *testing.T) int64 {
	t.Helper()
	processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range processes {
		words, err := os.ReadFile(name)
		if err != nil || !bytes.HasPrefix(words, []byte(binary+"\x00serve\x00")) || !bytes.Contains(words, []byte("\x00"+s.dataDir+"\x00")) {
			continue
		}
		status, err := os.ReadFile(filepath.Join(filepath.Dir(name), "status"))
		if err != nil {
			t.Fatal(err)
		}
		_, line, _ := strings.Cut(string(status), "\nVmRSS:")
		var kib int64
		if _, err := fmt.Sscan(line, &kib); err != nil {
			t.Fatal(err)
		}
		return kib << 10
	}
	t.Fatal("there is no server")
	return 0
}

package proxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
	"poise/internal/testpki"
)

// fortress is a listener that is attacked, over TLS or not. Its member does what the path of a request says.
type fortress struct {
	*bench
	scheme string
	client *tls.Config // of those that speak TLS

	asked  atomic.Int64 // requests that the member has got
	atOnce atomic.Int64 // and those that it is at
	most   atomic.Int64 // the most of them
	taken  atomic.Int64 // bytes of endless answers that were taken off it
	over   chan struct{}
}

func newFortress(t *testing.T, secure bool) *fortress {
	t.Helper()
	f := &fortress{scheme: "http", over: make(chan struct{})}
	m, stop := serveOn(t, "a", "127.0.20.1:0", f.serveMember)
	f.bench = newHTTPBench(t, m)
	t.Cleanup(func() { close(f.over); f.server.Close(); stop() })
	f.config.Pools[0].HTTP = false // nothing is inserted
	if secure {
		authority := testpki.NewAuthority(t, "test")
		pair := authority.Issue(t, "", testpki.DNS("site.example"))
		f.scheme, f.client = "https", &tls.Config{RootCAs: authority.Pool(), ServerName: "site.example"}
		f.config.Listeners[0].TLS = &dataplane.ServerTLS{
			Certificates: []dataplane.Certificate{certificate(t, pair)}, Handshake: dataplane.Handshake{ALPN: []string{"h2", "http/1.1"}},
		}
	}
	f.apply()
	return f
}

// serveMember answers the requests of one connection.
func (f *fortress) serveMember(c *net.TCPConn) {
	_ = c.SetDeadline(time.Time{})
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-f.over:
			_ = c.Close()
		case <-stop:
		}
	}()
	var head [1024]byte
	for have := 0; ; {
		n, err := c.Read(head[have:])
		if err != nil {
			return
		}
		have += n
		for end := bytes.Index(head[:have], []byte("\r\n\r\n")); end >= 0; end = bytes.Index(head[:have], []byte("\r\n\r\n")) {
			f.most.Store(max(f.most.Load(), f.atOnce.Add(1)))
			f.asked.Add(1)
			_, path, _ := strings.Cut(string(head[:min(end, 64)]), " ")
			path, _, _ = strings.Cut(path, " ")
			goesOn := f.answer(c, path)
			f.atOnce.Add(-1)
			if !goesOn {
				return
			}
			have = copy(head[:], head[end+4:have])
		}
	}
}

var (
	endless [64 << 10]byte
	chunks  = bytes.Repeat([]byte("64\r\n"+strings.Repeat("x", 100)+"\r\n"), 600)
)

// answer says whether the connection goes on.
func (f *fortress) answer(c *net.TCPConn, path string) bool {
	switch path {
	case "/silent":
		_, _ = c.Read(make([]byte, 1)) // until it is closed
	case "/deaf":
		<-f.over
	case "/half": // of a head
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 7<<10))
		_, _ = io.WriteString(c, strings.Repeat("x", 7<<10))
		<-f.over
	case "/endless":
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
		for n, err := 0, error(nil); err == nil; f.taken.Add(int64(n)) {
			n, err = c.Write(endless[:])
		}
	case "/chunks":
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for n, err := 0, error(nil); err == nil; f.taken.Add(int64(n)) {
			n, err = c.Write(chunks)
		}
	case "/drip":
		const answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
		for i := range answer {
			if _, err := io.WriteString(c, answer[i:i+1]); err != nil {
				return false
			}
			runtime.Gosched()
		}
		return true
	default:
		_, err := io.WriteString(c, okay)
		return err == nil
	}
	return false
}

// wantedOthers is how many requests of others are answered, at least, while something goes on.
const wantedOthers = 50

// others has ordinary clients ask for as long as something goes on, on old connections and on new ones. settle wants a number of further
// requests, and every single one of them, to have been answered, and ends them.
func (f *fortress) others(status int) (settle func()) {
	f.t.Helper()
	return f.othersAt(f.addr(), status)
}

// othersAt has them ask at that address.
func (f *fortress) othersAt(addr string, status int) (settle func()) {
	f.t.Helper()
	var wg sync.WaitGroup
	var answered atomic.Int64
	over := make(chan struct{})
	end := sync.OnceFunc(func() { close(over); wg.Wait() })
	f.t.Cleanup(end) // before the member is gone
	for _, fresh := range []bool{false, true} {
		transport := &http.Transport{DisableKeepAlives: fresh, TLSClientConfig: f.client.Clone()}
		client := &http.Client{Transport: transport, Timeout: patience}
		wg.Go(func() {
			defer transport.CloseIdleConnections()
			for {
				if err := askOne(client, f.scheme+"://"+addr+"/", status); err != nil {
					f.t.Errorf("somebody else, after %d requests: %v", answered.Load(), err)
					return
				}
				answered.Add(1)
				select {
				case <-over:
					return
				default:
				}
			}
		})
	}
	return func() {
		f.t.Helper()
		before := answered.Load()
		eventually(f.t, "requests of others", func() bool { return answered.Load() >= before+wantedOthers || f.t.Failed() })
		end()
	}
}

func askOne(client *http.Client, url string, status int) error {
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	if answer.StatusCode != status {
		err = errors.Join(err, fmt.Errorf("status %d", answer.StatusCode))
	}
	return err
}

// bare is a client's connection as a descriptor, which takes none of the memory that is measured.
type bare int

func (b bare) Read(p []byte) (int, error) {
	n, err := unix.Read(int(b), p)
	for errors.Is(err, unix.EINTR) { // signal(7): calls on sockets with a timeout are not begun again
		n, err = unix.Read(int(b), p)
	}
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return max(n, 0), err
}

func (b bare) Write(p []byte) (int, error) {
	n, err := unix.Write(int(b), p)
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Write(int(b), p)
	}
	return max(n, 0), err
}

// connect makes n connections, with small receive buffers. They end with the test.
func (f *fortress) connect(n int) []bare {
	f.t.Helper()
	var all []bare
	f.t.Cleanup(func() {
		for _, b := range all {
			closeSocket(int32(b), true)
		}
	})
	at := netip.MustParseAddrPort(f.addr())
	limit := unix.NsecToTimeval(patience.Nanoseconds())
	for range n {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			f.t.Fatal(err)
		}
		all = append(all, bare(fd))
		err = errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<10),
			unix.Connect(fd, &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}), // with a timeout, signals would end it: signal(7)
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit), unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit),
		)
		if err != nil {
			f.t.Fatal(os.NewSyscallError("connect", err))
		}
	}
	return all
}

// pour writes as much as the socket takes.
func (b bare) pour(t *testing.T, p []byte) {
	t.Helper()
	for len(p) > 0 {
		n, err := unix.SendmsgN(int(b), p, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if errors.Is(err, unix.EAGAIN) {
			return
		}
		if err != nil || n == 0 {
			t.Fatalf("pour: %d, %v", n, err)
		}
		p = p[n:]
	}
}

// settled waits until that many sessions are there and nothing moves any more.
func (f *fortress) settled(sessions int) {
	f.t.Helper()
	const calm = 20 // looks, a few milliseconds each
	var last, now int64
	same := 0
	eventually(f.t, "nothing moves any more", func() bool {
		last, now = now, f.taken.Load()
		n := 0
		var mu sync.Mutex
		f.engine.onEachLoop(func(l *loop) {
			mu.Lock()
			defer mu.Unlock()
			for s := range l.sessions.all() {
				n++
				now += int64(s.bytesIn+s.bytesOut) + int64(len(s.in)) + int64(s.phase)
			}
		})
		counters := f.counters()
		now += int64(counters.BytesIn + counters.BytesOut)
		if same++; now != last || n < sessions {
			same = 0
		}
		time.Sleep(2 * time.Millisecond)
		return same >= calm
	})
}

// kept is how many bytes of heads wait in sessions.
func (f *fortress) kept() int {
	var n atomic.Int64
	f.engine.onEachLoop(func(l *loop) {
		for s := range l.sessions.all() {
			n.Add(int64(len(s.in)))
		}
	})
	return int(n.Load())
}

// held is the memory in use, of heap and stacks, without what could be collected.
func held() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC() // pools give up what they have in the second one
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc + stats.StackInuse)
}

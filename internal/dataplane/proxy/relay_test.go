package proxy

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
)

// TestIntegrity sends random bytes of random length both ways, with every order of closing, and compares digests.
func TestIntegrity(t *testing.T) {
	const connections, concurrency = 400, 32
	bench := newBench(t, digester(t, "a"), refusing(t, "closed"), digester(t, "b"))
	var next atomic.Uint64
	var wg sync.WaitGroup
	for range concurrency {
		wg.Go(func() {
			for seed := next.Add(1); seed <= connections; seed = next.Add(1) {
				conn, err := net.DialTimeout("tcp", bench.addr(), patience)
				if err != nil {
					t.Error(err)
					return
				}
				sendAndCompare(t, conn, seed)
			}
		})
	}
	wg.Wait()
	eventually(t, "all connections end", func() bool { return bench.counters().Active == 0 })
	if c := bench.counters(); c.Total != connections || c.Errors != 0 || c.BytesIn == 0 {
		t.Errorf("counters: %+v", c)
	}
}

// sendAndCompare is the client: it sends 16 bytes of head (seed and the size that the member shall send), then its own bytes.
// Either side ends with the digest of what it has read. The connection is closed at the end.
func sendAndCompare(t *testing.T, conn net.Conn, seed uint64) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(3 * patience))
	random := rand.New(rand.NewPCG(seed, 1))
	head := binary.BigEndian.AppendUint64(nil, seed)
	head = binary.BigEndian.AppendUint64(head, randomSize(random))
	_, _ = conn.Write(head)

	var sent [32]byte
	var wg sync.WaitGroup
	wg.Go(func() {
		sent = sendRandom(conn, random, randomSize(random))
		_ = conn.(*net.TCPConn).CloseWrite()
	})
	answer, err := io.ReadAll(conn)
	wg.Wait()
	if err != nil || len(answer) < 64 {
		t.Errorf("connection %d: %d bytes, %v", seed, len(answer), err)
		return
	}
	body, said, saw := answer[:len(answer)-64], answer[len(answer)-64:len(answer)-32], answer[len(answer)-32:]
	if got := sha256.Sum256(body); !bytes.Equal(got[:], said) {
		t.Errorf("connection %d: %d bytes from the member were changed", seed, len(body))
	}
	if !bytes.Equal(sent[:], saw) {
		t.Errorf("connection %d: what the member got was changed", seed)
	}
}

// randomSize is mostly small, sometimes up to 2 MiB.
func randomSize(r *rand.Rand) uint64 { return r.Uint64N(1 << (1 + r.Uint64N(21))) }

func sendRandom(w io.Writer, r *rand.Rand, size uint64) [32]byte {
	digest := sha256.New()
	piece := make([]byte, 1+r.IntN(100_000))
	for size > 0 {
		p := piece[:min(uint64(len(piece)), size)]
		for i := 0; i < len(p); i += 8 {
			copy(p[i:], binary.LittleEndian.AppendUint64(nil, r.Uint64()))
		}
		if _, err := w.Write(p); err != nil {
			break
		}
		digest.Write(p)
		size -= uint64(len(p))
	}
	return [32]byte(digest.Sum(nil))
}

// digester is the member of sendAndCompare; by the seed it sends before, after or while it reads.
func digester(t *testing.T, name string) dataplane.Member { return serve(t, name, answerExchange) }

func answerExchange(c *net.TCPConn) {
	_ = c.SetDeadline(time.Now().Add(3 * patience))
	head := make([]byte, 16)
	if _, err := io.ReadFull(c, head); err != nil {
		return
	}
	seed, size := binary.BigEndian.Uint64(head), binary.BigEndian.Uint64(head[8:])
	digest := sha256.New()
	var said [32]byte
	send := func() { said = sendRandom(c, rand.New(rand.NewPCG(seed, 2)), size) }
	receive := func() { _, _ = io.Copy(digest, c) }
	if seed%2 == 0 {
		receive()
		send()
	} else {
		var wg sync.WaitGroup
		wg.Go(send)
		receive()
		wg.Wait()
	}
	_, _ = c.Write(digest.Sum(said[:]))
}

func TestHalfCloseByTheMember(t *testing.T) {
	heard := make(chan string, 1)
	bench := newBench(t, serve(t, "a", func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "bye")
		_ = c.CloseWrite()
		rest, _ := io.ReadAll(c)
		heard <- string(rest)
	}))
	conn := bench.dial()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "bye" {
		t.Fatalf("%q, %v", got, err)
	}
	_, _ = io.WriteString(conn, "still here")
	_ = conn.CloseWrite()
	if got := <-heard; got != "still here" {
		t.Errorf("the member heard %q", got)
	}
}

func TestResetIsPassedOn(t *testing.T) {
	t.Run("from the client", func(t *testing.T) {
		ended := make(chan error, 1)
		bench := newBench(t, serve(t, "a", func(c *net.TCPConn) {
			_, _ = io.WriteString(c, "ready")
			_, err := c.Read(make([]byte, 1))
			ended <- err
		}))
		conn := bench.dial()
		_, _ = io.ReadFull(conn, make([]byte, 5))
		_ = conn.SetLinger(0)
		_ = conn.Close()
		if err := <-ended; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the member sees %v", err)
		}
	})
	t.Run("from the member", func(t *testing.T) {
		bench := newBench(t, serve(t, "a", func(c *net.TCPConn) {
			_, _ = c.Read(make([]byte, 1))
			_ = c.SetLinger(0)
		}))
		conn := bench.dial()
		_, _ = io.WriteString(conn, "x")
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the client sees %v", err)
		}
	})
}

func TestResetAfterTheEnd(t *testing.T) {
	over := make(chan struct{})
	ended := make(chan struct{})
	bench := newBench(t, serve(t, "a", func(c *net.TCPConn) {
		_, _ = io.Copy(io.Discard, c)
		close(ended)
		<-over
	}))
	defer close(over)
	conn := bench.dial()
	_ = conn.CloseWrite()
	<-ended
	_ = conn.SetLinger(0)
	_ = conn.Close()
	eventually(t, "the connection ends", func() bool { return bench.counters().Active == 0 })
}

func TestTimeouts(t *testing.T) {
	const short, long, never = 200 * time.Millisecond, 500 * time.Millisecond, time.Minute
	for _, test := range []struct {
		name           string
		client, member time.Duration
		clientEnds     bool
		want           time.Duration
	}{
		{"silent client", short, never, false, short},
		{"silent member", never, short, false, short},
		{"silent member after the client's end", short, long, true, long},
	} {
		t.Run(test.name, func(t *testing.T) {
			over := make(chan struct{})
			bench := newBench(t, serve(t, "a", func(*net.TCPConn) { <-over }))
			defer close(over)
			l := &bench.config.Listeners[0]
			l.ClientTimeout, l.MemberTimeout = test.client, test.member
			bench.apply()
			start := time.Now()
			conn := bench.dial()
			if test.clientEnds {
				_ = conn.CloseWrite()
			}
			_, err := conn.Read(make([]byte, 1))
			if took := time.Since(start); err != io.EOF || took < test.want {
				t.Errorf("%v after %v", err, took)
			}
		})
	}
}

// TestOneWayTransferIsNotIdle sends for longer than both timeouts while the other side is silent.
func TestOneWayTransferIsNotIdle(t *testing.T) {
	const pieces, pause, timeout = 12, 50 * time.Millisecond, 300 * time.Millisecond
	bench := newBench(t, serve(t, "a", func(c *net.TCPConn) {
		ticker := time.NewTicker(pause)
		defer ticker.Stop()
		for range pieces {
			<-ticker.C
			_, _ = c.Write([]byte("x"))
		}
	}))
	l := &bench.config.Listeners[0]
	l.ClientTimeout, l.MemberTimeout = timeout, timeout
	bench.apply()
	if got, err := io.ReadAll(bench.dial()); err != nil || len(got) != pieces {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestTransferSurvivesChanges changes everything around a slow bulk transfer.
func TestTransferSurvivesChanges(t *testing.T) {
	const size = 64 << 20
	bench := newBench(t, serve(t, "a", func(c *net.TCPConn) {
		_ = c.SetDeadline(time.Now().Add(3 * patience))
		_, _ = io.CopyN(c, rand.NewChaCha8([32]byte{1}), size)
	}))
	conn := bench.dial()
	_ = conn.SetDeadline(time.Now().Add(3 * patience))
	got := sha256.New()
	for piece := range int64(8) {
		if _, err := io.CopyN(got, conn, size/8); err != nil {
			t.Fatalf("after piece %d: %v", piece, err)
		}
		switch piece {
		case 1:
			bench.config.Pools[0].Members[0].Disabled = true
		case 2:
			bench.config.Pools[0].Members = nil
		case 3:
			bench.config.Listeners[0].Port = freePort(t)
		case 4:
			bench.config.Listeners = nil
		}
		bench.apply()
	}
	want := sha256.New()
	_, _ = io.CopyN(want, rand.NewChaCha8([32]byte{1}), size)
	if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		t.Error("the bytes were changed")
	}
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

// TestSlowReceiver lets a fast member run into a client with a tiny window that reads now and then, so that bytes wait
// in buffers and pipes when the flow turns from copied to spliced.
func TestSlowReceiver(t *testing.T) {
	const size, burst, clients = 4 << 20, 512 << 10, 8
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(content)
	bench := newBench(t, serve(t, "a", func(c *net.TCPConn) { _, _ = c.Write(content) }))
	listening := bench.server.listeners["listener"].sockets[addrPort(bench.config.Listeners[0].Port)].fd
	if err := unix.SetsockoptInt(listening, unix.SOL_SOCKET, unix.SO_SNDBUF, 8<<10); err != nil { // inherited
		t.Fatal(err)
	}
	dialer := net.Dialer{Timeout: patience, Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<10) })
	}}
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			conn, err := dialer.Dial("tcp", bench.addr())
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			ticker := time.NewTicker(10 * time.Millisecond)
			defer ticker.Stop()
			got := make([]byte, size)
			for at := 0; at < size; at += burst {
				<-ticker.C
				if _, err := io.ReadFull(conn, got[at:at+burst]); err != nil {
					t.Error(err)
					return
				}
			}
			if !bytes.Equal(got, content) {
				t.Error("the bytes were changed")
			}
		})
	}
	wg.Wait()
}

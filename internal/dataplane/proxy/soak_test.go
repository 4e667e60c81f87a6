package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"poise/internal/dataplane"
	"poise/internal/testpki"
)

// TestSoak has random clients and random members talk through a listener whose configuration changes all the time. Whatever
// answer looks complete to its client must be right to the last byte; who asks well-behaved members for well-behaved things
// must get a complete one.
func TestSoak(t *testing.T) {
	t.Run("plaintext", func(t *testing.T) { testSoak(t, nil) })
	t.Run("TLS", func(t *testing.T) {
		pair := testpki.NewAuthority(t, "test").Issue(t, "site")
		testSoak(t, &pair)
	})
}

// testSoak does so with TLS on both sides, or without.
func testSoak(t *testing.T, pair *testpki.Pair) {
	const clients, duration = 24, 3 * time.Second
	s := &soak{t: t, secure: pair != nil}
	if s.secure {
		s.serving = &tls.Config{Certificates: []tls.Certificate{pair.TLS()}}
	}
	good := []dataplane.Member{s.member("a"), s.member("b"), s.member("c")}
	bench := newHTTPBench(t, good...)
	bench.config.Listeners[0].ClientTimeout = 5 * time.Second
	if s.secure {
		bench.config.Listeners[0].TLS = &dataplane.ServerTLS{Certificates: []dataplane.Certificate{certificate(t, *pair)}}
		bench.config.Pools[0].TLS = &dataplane.ClientTLS{}
		bench.apply()
	}
	s.bench, s.least, s.over = bench, time.Now().Add(duration), time.Now().Add(2*patience)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() { s.client(rand.New(rand.NewPCG(uint64(i), 7))) })
	}
	for round := 0; s.goesOn(); round++ {
		members := append([]dataplane.Member(nil), good...)
		drop := round % len(members)
		bench.config.Pools[0].Members = append(members[:drop], members[drop+1:]...)
		bench.config.Pools[0].Persistence = nil
		if round%3 == 0 {
			bench.config.Pools[0].Persistence = &dataplane.Persistence{Type: dataplane.ByHTTPCookie}
		}
		bench.config.Pools[0].Algorithm = []dataplane.Algorithm{dataplane.RoundRobin, dataplane.LeastConnections, dataplane.SourceIP}[round%3]
		bench.apply()
	}
	wg.Wait()
	eventually(t, "all connections end", func() bool { return bench.counters().Active == 0 })
	for key, m := range bench.server.MemberCounters() {
		if m.Active != 0 {
			t.Errorf("%v has %d requests that never end", key, m.Active)
		}
	}
	if !s.enough() {
		t.Errorf("%d complete, %d spoilt", s.complete.Load(), s.spoilt.Load())
	}
	t.Logf("%d complete, %d spoilt", s.complete.Load(), s.spoilt.Load())
}

type soak struct {
	t        *testing.T
	bench    *bench
	least    time.Time // until when it goes on in any case,
	over     time.Time // and at most
	secure   bool
	serving  *tls.Config // of members; nil: plaintext
	complete atomic.Int64
	spoilt   atomic.Int64 // did not end well, and were not meant to
}

// enough says whether the clients have seen enough, of both kinds.
func (s *soak) enough() bool { return s.complete.Load() >= 200 && s.spoilt.Load() > 0 }

func (s *soak) goesOn() bool {
	now := time.Now()
	return now.Before(s.least) || !s.enough() && now.Before(s.over)
}

// How a member answers, and how a client asks.
const (
	withLength = iota
	withChunks
	untilClose
	slowly
	breaksOff // from here on no good end is expected
	nonsense
	reset
	ways
)

// client asks one question after the other, on connections that it keeps for a while.
func (s *soak) client(random *rand.Rand) {
	for s.goesOn() {
		conn, err := net.DialTimeout("tcp", s.bench.addr(), patience)
		if err != nil {
			s.t.Error(err)
			return
		}
		_ = conn.SetDeadline(time.Now().Add(3 * patience))
		c := soakConn{conn, conn.(*net.TCPConn)}
		if s.secure {
			c.Conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
		}
		reader := bufio.NewReader(c)
		for range 1 + random.IntN(20) {
			if !s.ask(c, reader, random) {
				break
			}
		}
		_ = c.Close()
	}
}

// soakConn is a connection, with TLS or without, whose socket can be reset.
type soakConn struct {
	net.Conn
	socket *net.TCPConn
}

func (c soakConn) reset() {
	_ = c.socket.SetLinger(0)
	_ = c.socket.Close()
}

// ask makes one request, and says whether another one may follow.
func (s *soak) ask(conn soakConn, reader *bufio.Reader, random *rand.Rand) bool {
	seed, way := random.Uint64(), random.IntN(ways)
	if random.IntN(3) > 0 {
		way = random.IntN(breaksOff)
	}
	upload := soakBytes(seed, soakSize(random))
	size := soakSize(random)
	var request bytes.Buffer
	fmt.Fprintf(&request, "POST /?way=%d&size=%d&seed=%d HTTP/1.1\r\nHost: a\r\n", way, size, seed)
	gone := random.IntN(20) == 0
	if random.IntN(2) == 0 {
		fmt.Fprintf(&request, "Content-Length: %d\r\n\r\n", len(upload))
		request.Write(upload)
	} else {
		request.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		appendChunks(&request, upload, random)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		text := request.Bytes()
		if gone {
			text = text[:len(text)/2]
		}
		for len(text) > 0 {
			n := min(len(text), 1+int(seed%40_000))
			if _, err := conn.Write(text[:n]); err != nil {
				return
			}
			text = text[n:]
		}
		if gone {
			conn.reset()
		}
	})
	err := s.check(reader, seed, size)
	switch {
	case err == nil:
		s.complete.Add(1)
		return way != untilClose && !gone
	case gone || way >= breaksOff:
		s.spoilt.Add(1)
		_ = conn.Close()
		return false
	}
	s.t.Errorf("way %d, %d bytes: %v", way, size, err)
	_ = conn.Close()
	return false
}

var errNotOK = errors.New("an answer of our own")

// check reads an answer; what looks complete must be right.
func (s *soak) check(reader *bufio.Reader, seed uint64, size int) error {
	answer, err := http.ReadResponse(reader, nil)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(answer.Body)
	switch {
	case err != nil:
		return err
	case answer.StatusCode != 200:
		return fmt.Errorf("%w: %d", errNotOK, answer.StatusCode)
	case !bytes.Equal(got, soakBytes(seed^1, size)):
		s.t.Errorf("a complete answer of %d bytes, instead of %d, is wrong", len(got), size)
	}
	return nil
}

func soakSize(random *rand.Rand) int {
	switch random.IntN(4) {
	case 0:
		return 0
	case 1:
		return random.IntN(300_000)
	default:
		return random.IntN(2_000)
	}
}

// soakBytes are random bytes by their seed.
func soakBytes(seed uint64, n int) []byte {
	p := make([]byte, n+8)
	for i := 0; i < n; i += 8 {
		seed = seed*6364136223846793005 + 1442695040888963407
		for j := range 8 {
			p[i+j] = byte(seed >> (8 * j))
		}
	}
	return p[:n]
}

func appendChunks(w *bytes.Buffer, p []byte, random *rand.Rand) {
	for len(p) > 0 {
		n := min(len(p), 1+random.IntN(60_000))
		fmt.Fprintf(w, "%x\r\n%s\r\n", n, p[:n])
		p = p[n:]
	}
	w.WriteString("0\r\n\r\n")
}

// member answers as its requests ask for, if they arrive as they should.
func (s *soak) member(name string) dataplane.Member {
	t := s.t
	return serve(t, name, func(socket *net.TCPConn) {
		c := soakConn{socket, socket}
		if s.serving != nil {
			c.Conn = tls.Server(socket, s.serving)
			defer c.Close()
		}
		reader := bufio.NewReader(c)
		for {
			_ = c.SetDeadline(time.Now().Add(3 * patience))
			request, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			query := request.URL.Query()
			seed, _ := strconv.ParseUint(query.Get("seed"), 10, 64)
			size, _ := strconv.Atoi(query.Get("size"))
			way, _ := strconv.Atoi(query.Get("way"))
			upload, err := io.ReadAll(request.Body)
			if err != nil {
				return // its client has gone
			}
			if !bytes.Equal(upload, soakBytes(seed, len(upload))) {
				t.Errorf("member %s got %d wrong bytes", name, len(upload))
			}
			if !soakAnswer(c, way, soakBytes(seed^1, size), rand.New(rand.NewPCG(seed, 3))) {
				return
			}
		}
	})
}

// soakAnswer says whether the connection goes on.
func soakAnswer(c soakConn, way int, body []byte, random *rand.Rand) bool {
	var answer bytes.Buffer
	switch way {
	case withChunks:
		answer.WriteString("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		appendChunks(&answer, body, random)
	case untilClose:
		answer.WriteString("HTTP/1.1 200 OK\r\n\r\n")
		answer.Write(body)
	case nonsense:
		answer.WriteString("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense")
	default:
		fmt.Fprintf(&answer, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	text := answer.Bytes()
	if way == breaksOff || way == reset {
		text = text[:len(text)-1-len(text)/3]
	}
	piece := len(text)
	if way == slowly {
		piece = max(len(text)/50, 1)
	}
	for len(text) > 0 {
		n := min(piece, len(text))
		if _, err := c.Write(text[:n]); err != nil {
			return false
		}
		text = text[n:]
	}
	if way == reset {
		c.reset()
	}
	return way == withLength || way == withChunks || way == slowly
}

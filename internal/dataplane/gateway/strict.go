package gateway

import (
	"errors"
	"io"
	"net"
	"sync/atomic"

	"poise/internal/dataplane/h1"
)

// strict stands between a client of HTTP/1.1 and net/http, which repairs some requests that others read in another way, and
// lets through what h1 has found to be a request, to its last byte. What is not is replaced by a request that says so: when
// its turn comes it is answered as h1 wants it, and the connection is closed.
type strict struct {
	isHTTP2 bool // the client has begun with the preface of HTTP/2
	begun   bool // or not
	refused atomic.Pointer[h1.Error]
	head    h1.Head
	body    h1.Body
	inBody  bool

	read    []byte // from the client, not found to be good yet
	good    []byte // for net/http
	err     error  // after what is good
	tunnels atomic.Bool
}

const (
	// http2Preface begins the connection of a client that speaks HTTP/2 without TLS (RFC 9113 §3.4).
	http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	// refusal is a request that net/http takes and h1 does not.
	refusal = "GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n"
)

// pass reads from the client into p. An error of the client's connection that is not for good, such as a deadline, leaves
// everything as it is.
func (s *strict) pass(conn net.Conn, p []byte) (int, error) {
	for {
		if len(s.good) > 0 {
			n := copy(p, s.good)
			s.good = s.good[n:]
			return n, nil
		}
		switch {
		case s.err != nil:
			return 0, s.err
		case s.tunnels.Load() && len(s.read) > 0:
			s.good, s.read = s.read, nil
			continue
		case s.tunnels.Load():
			return conn.Read(p)
		}
		buffer := buffers.Get().(*[bufferSize]byte)
		n, err := conn.Read(buffer[:])
		s.read = append(s.read, buffer[:n]...)
		buffers.Put(buffer)
		if n == 0 && err != nil {
			return 0, err
		}
		if !s.begun && s.begin() {
			continue
		}
		s.check()
	}
}

// begin finds out what the client speaks; true while it is not known, and when it is HTTP/2.
func (s *strict) begin() bool {
	if n := min(len(s.read), len(http2Preface)); string(s.read[:n]) == http2Preface[:n] {
		if n < len(http2Preface) {
			return true
		}
		s.isHTTP2, s.good, s.read = true, s.read, nil
		s.tunnel()
	}
	s.begun = true
	return s.isHTTP2
}

// check moves what has been found to be good.
func (s *strict) check() {
	s.good = s.good[:0]
	from := 0
	for from < len(s.read) {
		n, err := s.next(s.read[from:])
		if err != nil {
			s.refuse(err)
			return
		}
		if n == 0 {
			break
		}
		s.good = append(s.good, s.read[from:from+n]...)
		from += n
	}
	s.read = append(s.read[:0], s.read[from:]...)
}

// next is how many bytes of p belong to the request at hand; 0 while its head is not complete.
func (s *strict) next(p []byte) (n int, err error) {
	if s.inBody {
		n, done, err := s.body.Next(p)
		s.inBody = !done
		return n, err
	}
	n, err = s.head.ParseRequest(p)
	if n == 0 || err != nil {
		return 0, err
	}
	s.body = s.head.Body()
	s.inBody = !s.body.Done()
	s.head.Reset()
	return n, nil
}

// refuse lets nothing more through. In the middle of a body it is net/http's handler that finds out.
func (s *strict) refuse(err error) {
	s.err = io.ErrUnexpectedEOF
	s.read = nil
	var refused *h1.Error
	if errors.As(err, &refused) && !s.inBody {
		s.refused.Store(refused)
		s.good = append(s.good, refusal...)
	}
}

// tunnel lets everything through: the protocol is another one now.
func (s *strict) tunnel() { s.tunnels.Store(true) }

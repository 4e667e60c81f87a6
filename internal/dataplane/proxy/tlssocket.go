package proxy

import (
	"io"
	"net"
	"syscall"
	"time"
)

// tlsSocket is the transport of a crypto/tls connection on a non-blocking socket. Where the socket is not ready, it waits
// during the handshake, which has a goroutine; in an event loop it fails temporarily, and keeps what could not be written.
type tlsSocket struct {
	fd        int32
	handshake *handshake // nil afterwards
	conn      net.Conn   // of goroutines that took the connection over; otherwise nil
	unsent    []byte     // ciphertext that waits, in waiting
	waiting   *[tlsBufferSize]byte
	drained   bool // nothing is there to read until the next event
	hup       bool // the peer has closed or reset: read on until the end
	ended     bool // the end was read
}

// wouldBlock is the error of a read that has to wait for an event. That it is temporary is what makes crypto/tls go on later.
type wouldBlock struct{}

func (wouldBlock) Error() string   { return "nothing to read yet" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }

var errWouldBlock net.Error = wouldBlock{}

func (s *tlsSocket) Read(p []byte) (int, error) {
	if s.conn != nil {
		return s.conn.Read(p)
	}
	for {
		if !s.drained {
			n, errno := read(s.fd, p)
			switch {
			case errno == syscall.EINTR:
				continue
			case errno == syscall.EAGAIN:
				s.drained = true
			case errno != 0:
				return 0, errno
			case n == 0:
				s.ended = true
				return 0, io.EOF
			default:
				s.drained = n < len(p) && !s.hup
				return n, nil
			}
		}
		if s.handshake == nil {
			return 0, errWouldBlock
		}
		if err := s.wait(); err != nil {
			return 0, err
		}
	}
}

// wait is for goroutines.
func (s *tlsSocket) wait() error {
	if err := s.handshake.wait(); err != nil {
		return err
	}
	s.drained = false
	return nil
}

func (s *tlsSocket) Write(p []byte) (int, error) {
	if s.conn != nil {
		return s.conn.Write(p)
	}
	if s.handshake != nil {
		return s.writeAll(p)
	}
	rest := p
	if len(s.unsent) == 0 {
		n, errno := write(s.fd, p)
		switch errno {
		case 0:
			rest = p[n:]
		case syscall.EAGAIN, syscall.EINTR:
		default:
			return 0, errno
		}
	}
	if len(s.unsent)+len(rest) > maxUnsent {
		return 0, syscall.ENOBUFS
	}
	if len(rest) > 0 && s.waiting == nil {
		s.waiting = tlsBuffers.Get().(*[tlsBufferSize]byte)
		s.unsent = s.waiting[:0]
	}
	s.unsent = append(s.unsent, rest...) // which has room for maxUnsent
	return len(p), nil
}

// writeAll waits until the socket has taken everything.
func (s *tlsSocket) writeAll(p []byte) (int, error) {
	for n := 0; n < len(p); {
		m, errno := write(s.fd, p[n:])
		switch errno {
		case 0:
			n += m
		case syscall.EINTR:
		case syscall.EAGAIN:
			if err := s.wait(); err != nil {
				return n, err
			}
		default:
			return n, errno
		}
	}
	return len(p), nil
}

func (s *tlsSocket) flush() syscall.Errno {
	for len(s.unsent) > 0 {
		n, errno := write(s.fd, s.unsent)
		if errno == syscall.EINTR {
			continue
		}
		if errno != 0 {
			return errno
		}
		s.unsent = s.unsent[n:]
	}
	s.release()
	return 0
}

// release gives the buffer back, with what is in it.
func (s *tlsSocket) release() {
	s.unsent = nil
	if s.waiting != nil {
		tlsBuffers.Put(s.waiting)
		s.waiting = nil
	}
}

// Close is for goroutines; an event loop closes its sockets itself.
func (s *tlsSocket) Close() error {
	if s.conn != nil {
		return s.conn.Close()
	}
	return nil
}

// CloseWrite is for goroutines.
func (s *tlsSocket) CloseWrite() error {
	if half, ok := s.conn.(*net.TCPConn); ok {
		return half.CloseWrite()
	}
	return nil
}

// somewhere is the address of sockets in event loops, which know their addresses themselves. A client's sessions are kept
// under its text where there is no server name.
type somewhere struct{}

func (somewhere) Network() string { return "tcp" }
func (somewhere) String() string  { return "event loop" }

func (s *tlsSocket) LocalAddr() net.Addr {
	if s.conn != nil {
		return s.conn.LocalAddr()
	}
	return somewhere{}
}

func (s *tlsSocket) RemoteAddr() net.Addr {
	if s.conn != nil {
		return s.conn.RemoteAddr()
	}
	return somewhere{}
}

// Deadlines are the event loop's, or the handshake's, own business.

func (s *tlsSocket) SetDeadline(t time.Time) error {
	if s.conn != nil {
		return s.conn.SetDeadline(t)
	}
	return nil
}

func (s *tlsSocket) SetReadDeadline(t time.Time) error {
	if s.conn != nil {
		return s.conn.SetReadDeadline(t)
	}
	return nil
}

func (s *tlsSocket) SetWriteDeadline(t time.Time) error {
	if s.conn != nil {
		return s.conn.SetWriteDeadline(t)
	}
	return nil
}

package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"poise/internal/dataplane/tlsconf"
)

const (
	// maxRecord is how many bytes of plaintext one record carries (RFC 8446 §5.1).
	maxRecord = 16 << 10
	// maxUnsent is how much ciphertext waits for its receiver at most: one record, and what TLS has to say by itself. A peer
	// that asks for more answers than it reads (KeyUpdate) is given up.
	maxUnsent = 2 * maxRecord
)

// tlsStream is one side of a connection that speaks TLS, after its handshake. It belongs to an event loop, which calls it instead of
// read(2) and write(2) on the socket, with one difference: bytes may wait inside. So a read that gives less than was asked for
// does not mean that there is no more; EAGAIN alone does.
//
// The loop calls ready for every event of the socket before it reads. It closes the socket itself, after closeNotify.
//
// Inside, crypto/tls works on a [tlsSocket]. It goes on after a read that failed temporarily, and keeps the part of a record that
// was there (crypto/tls.Conn.readRecordOrCCS); after the handshake nothing else of it ever waits for its peer.
type tlsStream struct {
	conn   *tls.Conn
	socket *tlsSocket
	peer   *tlsconf.Peer
	// err is why the stream failed; nil while it has not, and after an orderly end.
	err  error
	lent *[tlsBufferSize]byte // what conn reads into; nil while nothing is there
}

func newTLSStream(conn *tls.Conn, socket *tlsSocket) *tlsStream {
	socket.handshake = nil
	socket.drained = false
	forgetHandshake(conn)
	return &tlsStream{conn: conn, socket: socket, peer: tlsconf.NewPeer(conn.ConnectionState())}
}

// ready hears that epoll has reported something. ended says that EPOLLRDHUP or EPOLLHUP was among it: from then on the end of
// the stream can follow any bytes without another event.
func (s *tlsStream) ready(ended bool) {
	s.socket.drained = false
	s.socket.hup = s.socket.hup || ended
}

// read gives plaintext. It is 0 at the end of the stream (see truncated) and EAGAIN when nothing is there; EPROTO is a violation of TLS or
// an alert of the peer.
func (s *tlsStream) read(p []byte) (int, syscall.Errno) {
	if s.err != nil {
		return 0, errnoOf(s.err)
	}
	s.lend()
	n := 0
	for n < len(p) {
		m, err := s.conn.Read(p[n:])
		n += m
		switch {
		case err == nil:
		case errors.Is(err, errWouldBlock):
			s.takeBack()
			return n, s.orElse(n, syscall.EAGAIN)
		case errors.Is(err, io.EOF): // it is said again
			s.giveUp()
			return n, 0
		default:
			s.err = err
			s.giveUp()
			return n, s.orElse(n, errnoOf(err))
		}
	}
	return n, 0
}

// orElse is errno when no bytes were read that come first.
func (s *tlsStream) orElse(n int, errno syscall.Errno) syscall.Errno {
	if n > 0 {
		return 0
	}
	return errno
}

// truncated says, at the end of the stream, that it did not end orderly: the peer closed without close_notify, or somebody in between did.
func (s *tlsStream) truncated() bool { return s.socket.ended }

// write takes plaintext as long as no ciphertext waits; EAGAIN when some does. What it says was written is on its way or
// waits inside.
func (s *tlsStream) write(p []byte) (int, syscall.Errno) {
	if errno := s.flush(); errno != 0 {
		return 0, errno
	}
	n := 0
	for n < len(p) && !s.pending() {
		m, err := s.conn.Write(p[n:min(len(p), n+maxRecord)])
		n += m
		if err != nil {
			s.err = err
			return n, s.orElse(n, errnoOf(err))
		}
	}
	return n, 0
}

// flush writes the ciphertext that waits; EAGAIN when the socket does not take all of it.
func (s *tlsStream) flush() syscall.Errno { return s.socket.flush() }

// pending says that ciphertext waits for the socket to be writable. It may come from a read, too: TLS answers some messages.
func (s *tlsStream) pending() bool { return len(s.socket.unsent) > 0 }

// closeNotify tells the peer that nothing more will be written. It may leave ciphertext pending.
func (s *tlsStream) closeNotify() { _ = s.conn.CloseWrite() }

// release gives back the buffers that the stream holds, before it is forgotten.
func (s *tlsStream) release() {
	s.giveUp()
	s.socket.release()
}

// leaveLoop makes a connection for goroutines out of the stream. It takes the socket over, which is in no loop's epoll instance any more.
func (s *tlsStream) leaveLoop() (*tls.Conn, error) {
	file := os.NewFile(uintptr(s.socket.fd), "TLS connection")
	defer file.Close()
	conn, err := net.FileConn(file) // on a copy of the descriptor
	if err != nil {
		return nil, fmt.Errorf("connection for goroutines: %w", err)
	}
	if len(s.socket.unsent) > 0 {
		if _, err := conn.Write(s.socket.unsent); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("rest of the handshake: %w", err)
		}
		s.socket.release()
	}
	s.socket.conn = conn
	return s.conn, nil
}

// errnoOf is the system's error in err, and EPROTO for those of TLS.
func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return syscall.EPROTO
}

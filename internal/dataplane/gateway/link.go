package gateway

import (
	"io"
	"net"
	"time"

	"poise/internal/dataplane/h1"
)

// link is a connection of HTTP/1.1 to a member, for one request at a time.
type link struct {
	key       linkKey
	socket    *socket
	conn      net.Conn // the socket, or TLS over it
	reused    bool     // has carried a request before this one
	idleSince time.Time

	head     h1.Head           // of the response
	buffer   *[bufferSize]byte // buffer[from:to] was read and not used yet; nil while idle
	from, to int
}

// fill reads more from the member.
func (l *link) fill() error {
	if l.buffer == nil {
		l.buffer = buffers.Get().(*[bufferSize]byte)
	}
	if l.from == l.to {
		l.from, l.to = 0, 0
	}
	if l.to == len(l.buffer) { // only while a head is incomplete, which is shorter than the buffer
		l.to = copy(l.buffer[:], l.unread())
		l.from = 0
	}
	n, err := l.conn.Read(l.buffer[l.to:])
	l.to += n
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

func (l *link) unread() []byte {
	if l.buffer == nil {
		return nil
	}
	return l.buffer[l.from:l.to]
}

// isIntact says whether the connection may carry another request: the last response ended where it should.
func (l *link) isIntact() bool { return l.head.KeepAlive && l.from == l.to }

// rest makes the link need little memory while it is idle.
func (l *link) rest() {
	l.idleSince = time.Now()
	l.head.Reset()
	if l.buffer != nil {
		buffers.Put(l.buffer)
	}
	l.buffer, l.from, l.to = nil, 0, 0
}

func (l *link) close() {
	_ = l.conn.Close()
	_ = l.socket.Close()
	l.rest()
}

package proxy

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"sync"
	"unsafe"
)

const (
	// tlsBufferSize is what one read of a TLS connection may take: four records. With less than the two and a half records crypto/tls
	// would begin to make its own, larger, buffers.
	tlsBufferSize = 64 << 10
	// maxKeptPart of a record moves to a buffer of its own size while the rest of it is awaited, so that slow senders do not keep large ones.
	maxKeptPart = 4 << 10
)

// tlsBuffers wait for connections that have something to read.
var tlsBuffers = sync.Pool{New: func() any { return new([tlsBufferSize]byte) }}

// crypto/tls keeps its buffers for as long as a connection lives: one that has once received a large record has 17 kB and more for
// ever. So an idle connection's are taken away, by their places in [tls.Conn]; where a later Go has others, they stay.
var (
	rawInputAt = bufferOf("rawInput") // what was received, encrypted or not
	handAt     = bufferOf("hand")     // messages of the handshake
)

// bufferOf is the place of a buffer in a [tls.Conn]; 0: there is none of that name.
func bufferOf(name string) uintptr {
	field, ok := reflect.TypeFor[tls.Conn]().FieldByName(name)
	if !ok || field.Type != reflect.TypeFor[bytes.Buffer]() {
		return 0
	}
	return field.Offset
}

// bufferAt is only to be used between the calls of a connection's Read.
func bufferAt(c *tls.Conn, place uintptr) *bytes.Buffer {
	return (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c), place))
}

// forgetHandshake gives up the buffer of the handshake's messages, which are as large as certificates.
func forgetHandshake(c *tls.Conn) {
	if handAt == 0 {
		return
	}
	if messages := bufferAt(c, handAt); messages.Len() == 0 {
		*messages = bytes.Buffer{}
	}
}

// lend gives the connection a buffer to read into.
func (s *tlsStream) lend() {
	if rawInputAt == 0 || s.lent != nil {
		return
	}
	s.lent = tlsBuffers.Get().(*[tlsBufferSize]byte)
	input := bufferAt(s.conn, rawInputAt)
	part := input.Bytes()
	if len(part) > len(s.lent)/2 {
		return // it has its own, larger, one
	}
	*input = *bytes.NewBuffer(append(s.lent[:0], part...))
}

// takeBack is called when nothing is left to read: no plaintext points into the buffer then.
func (s *tlsStream) takeBack() {
	if s.lent == nil {
		return
	}
	input := bufferAt(s.conn, rawInputAt)
	part := input.Bytes()
	if len(part) > maxKeptPart {
		return
	}
	*input = *bytes.NewBuffer(bytes.Clone(part))
	tlsBuffers.Put(s.lent)
	s.lent = nil
}

// giveUp is called when nothing will be read any more.
func (s *tlsStream) giveUp() {
	if s.lent != nil {
		*bufferAt(s.conn, rawInputAt) = bytes.Buffer{}
		tlsBuffers.Put(s.lent)
		s.lent = nil
	}
}

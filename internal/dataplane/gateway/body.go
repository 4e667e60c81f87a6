package gateway

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"poise/internal/dataplane/h1"
)

const (
	// bufferSize is how much of a body is read at once.
	bufferSize = 32 << 10
	// smallBody is the longest body that is taken whole before a member is chosen: its request goes out in one piece, needs no
	// goroutine of its own, and does not occupy a member while a slow client sends it.
	smallBody = 16 << 10
)

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// requestBody is what a client sends. It counts, and follows the client's silence.
type requestBody struct {
	x      *exchange
	small  []byte // the whole body, where it was taken
	read   atomic.Int64
	failed atomic.Bool // the client did not send it all
	stream bool        // is neither empty nor small
}

func (b *requestBody) begin(x *exchange) {
	b.x = x
	length := x.r.ContentLength
	b.stream = length < 0 || length > smallBody
}

// reset makes it ready for the next exchange.
func (b *requestBody) reset() {
	b.x, b.small, b.stream = nil, b.small[:0], false
	b.read.Store(0)
	b.failed.Store(false)
}

// takeSmall reads a small body.
func (b *requestBody) takeSmall() (ok bool) {
	n := int(b.x.r.ContentLength)
	if b.stream || n == 0 {
		return true
	}
	if cap(b.small) < n {
		b.small = make([]byte, n)
	}
	b.small = b.small[:n]
	if _, err := io.ReadFull(b, b.small); err != nil {
		b.failed.Store(true)
		return false
	}
	b.x.wait(&b.x.silence.upload, nobody)
	return true
}

// Read reads from the client.
func (b *requestBody) Read(p []byte) (int, error) {
	b.x.wait(&b.x.silence.upload, theClient)
	n, err := b.x.r.Body.Read(p)
	b.read.Add(int64(n))
	next := theMember
	if err != nil {
		next = nobody
		b.failed.Store(err != io.EOF)
	}
	b.x.wait(&b.x.silence.upload, next)
	return n, err
}

// Close implements io.Closer, for net/http.
func (b *requestBody) Close() error { return b.x.r.Body.Close() }

// trailers are those that the client has sent after the body and that members may see.
func (b *requestBody) trailers() http.Header {
	passed := http.Header{}
	for name, values := range b.x.r.Trailer {
		if h1.IsTrailer(name) && len(values) > 0 {
			passed[name] = values
		}
	}
	return passed
}

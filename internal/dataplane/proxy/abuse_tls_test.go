package proxy

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// TestHalfHandshakes has more clients than handshakes may be under way say hello, or half of it, and then nothing. Those who come later are
// served all the same, although nobody comes after them.
func TestHalfHandshakes(t *testing.T) {
	const stuck = 60
	f := newFortress(t, true)
	f.engine.handshakes.mu.Lock()
	f.engine.handshakes.most, f.engine.handshakes.patience = stuck/4, 50*time.Millisecond
	f.engine.handshakes.mu.Unlock()
	whole := clientHello(t, f.client)
	for i := range stuck {
		hello := whole
		if i%2 == 0 {
			hello = whole[:len(whole)/2]
		}
		tell(t, f.dial(), string(hello))
	}
	eventually(t, "the crowd", func() bool {
		hs := f.engine.handshakes
		hs.mu.Lock()
		defer hs.mu.Unlock()
		return hs.underWay.Len() == hs.most
	})
	c := tls.Client(f.dial(), f.client)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	tell(t, c, get)
	expect(t, c, okay)
	f.others(200)()
}

// clientHello is what a client says first.
func clientHello(t *testing.T, config *tls.Config) []byte {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	go func() { _ = tls.Client(far, config).Handshake(); _ = far.Close() }()
	var header [5]byte
	if _, err := io.ReadFull(near, header[:]); err != nil {
		t.Fatal(err)
	}
	hello := make([]byte, binary.BigEndian.Uint16(header[3:]))
	if _, err := io.ReadFull(near, hello); err != nil {
		t.Fatal(err)
	}
	return append(header[:], hello...)
}

// TestSmallRecords has clients send requests in records of one byte each.
func TestSmallRecords(t *testing.T) {
	const clients = 50
	f := newFortress(t, true)
	settle := f.others(200)
	var wg sync.WaitGroup
	for range clients {
		c := f.secureDial()
		wg.Go(func() {
			for range 10 {
				for i := range get {
					_, _ = io.WriteString(c, get[i:i+1])
				}
				got := make([]byte, len(okay))
				if _, err := io.ReadFull(c, got); err != nil || string(got) != okay {
					t.Errorf("%q, %v", got, err)
					return
				}
			}
		})
	}
	wg.Wait()
	settle()
}

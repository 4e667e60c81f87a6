package tlsconf

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"poise/internal/dataplane"
	"poise/internal/testpki"
)

func certificateOf(t testing.TB, p testpki.Pair) dataplane.Certificate {
	return dataplane.Certificate{Chain: p.Chain, Key: p.KeyDER(t)}
}

// serverTLS is a listener with one certificate.
func serverTLS(t testing.TB, p testpki.Pair) *dataplane.ServerTLS {
	return &dataplane.ServerTLS{Certificates: []dataplane.Certificate{certificateOf(t, p)}}
}

func newServer(t testing.TB, c *dataplane.ServerTLS) *tls.Config {
	t.Helper()
	config, err := Server(c, &TicketKeys{})
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// meet makes a handshake, has the server send a byte, so that the client reads its ticket, and tells what each side has seen.
// The error is the server's, or else the client's.
func meet(t testing.TB, server, client *tls.Config) (seen, told tls.ConnectionState, err error) {
	t.Helper()
	a, b := newWire()
	done := make(chan error, 1)
	s, c := tls.Server(a, server), tls.Client(b, client)
	go func() {
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("x"))
		}
		_ = a.Close()
		done <- err
	}()
	_, clientErr := io.ReadFull(c, make([]byte, 1))
	_ = b.Close()
	serverErr := <-done
	return s.ConnectionState(), c.ConnectionState(), errors.Join(serverErr, clientErr)
}

// wire is one end of a connection in memory. Unlike those of net.Pipe, its writes do not wait for a reader.
type wire struct {
	in   <-chan []byte
	out  chan<- []byte
	rest []byte
}

func newWire() (*wire, *wire) {
	there, back := make(chan []byte, 1000), make(chan []byte, 1000)
	return &wire{in: there, out: back}, &wire{in: back, out: there}
}

func (w *wire) Read(p []byte) (int, error) {
	for len(w.rest) == 0 {
		next, open := <-w.in
		if !open {
			return 0, io.EOF
		}
		w.rest = next
	}
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

func (w *wire) Write(p []byte) (int, error) {
	w.out <- bytes.Clone(p)
	return len(p), nil
}

func (w *wire) Close() error                     { close(w.out); return nil }
func (w *wire) LocalAddr() net.Addr              { return &net.UnixAddr{Name: "wire"} }
func (w *wire) RemoteAddr() net.Addr             { return &net.UnixAddr{Name: "wire"} }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

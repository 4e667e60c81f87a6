package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
)

// maxHeader is how many bytes the header of an HTTP/2 answer may have.
const maxHeader = 16 << 10

// checkTLSHello succeeds when a TLS handshake does. A pool that has its members verified has it done here as well.
func checkTLSHello(ctx context.Context, network dataplane.Net, w *way, at netip.AddrPort) error {
	c, err := openTLS(ctx, network, w, at)
	if err != nil {
		return err
	}
	return c.Close()
}

// checkHTTPS is checkHTTP over TLS, with HTTP/2 where the member prefers that of what the pool offers.
func checkHTTPS(ctx context.Context, network dataplane.Net, w *way, at netip.AddrPort) error {
	c, err := openTLS(ctx, network, w, at)
	if err != nil {
		return err
	}
	defer c.Close()
	if c.ConnectionState().NegotiatedProtocol == "h2" {
		return askHTTP2(ctx, c, &w.monitor, at)
	}
	return ask(c, &w.monitor, at)
}

// openTLS opens a connection and makes the handshake. The caller closes it.
func openTLS(ctx context.Context, network dataplane.Net, w *way, at netip.AddrPort) (*tls.Conn, error) {
	if w.tlsErr != nil {
		return nil, unable("cannot speak TLS: " + w.tlsErr.Error())
	}
	raw, err := open(ctx, network, w, at)
	if err != nil {
		return nil, err
	}
	c := tls.Client(raw, w.tls)
	if err := c.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, explainHandshake(err)
	}
	return c, nil
}

// explainHandshake puts what went wrong into words; timeouts stay what they are.
func explainHandshake(err error) error {
	switch {
	case isTimeout(err), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		return failure("TLS handshake failed: the member closed the connection")
	}
	return failure("TLS handshake failed: " + strings.ReplaceAll(err.Error(), "tls: ", ""))
}

// askHTTP2 is ask in HTTP/2.
func askHTTP2(ctx context.Context, c net.Conn, m *dataplane.Monitor, at netip.AddrPort) error {
	if _, err := request(m, at); err != nil { // what cannot be asked in one version cannot in the other
		return err
	}
	transport := &http.Transport{
		DialTLSContext:     func(context.Context, string, string) (net.Conn, error) { return c, nil },
		ForceAttemptHTTP2:  true,
		DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
	}
	defer transport.CloseIdleConnections()
	path := m.Path
	if path == "" {
		path = defaultPath
	}
	r := (&http.Request{
		Method: m.Method, Host: hostOf(m, at), URL: &url.URL{Scheme: "https", Host: at.String(), Opaque: path},
		Header: http.Header{"User-Agent": nil}, // none
	}).WithContext(ctx)
	response, err := transport.RoundTrip(r)
	if isTimeout(err) {
		return err
	}
	if err != nil {
		return failure(fmt.Sprintf("no answer in HTTP/2: %s", err))
	}
	_ = response.Body.Close()
	return judge(m, response.StatusCode)
}

package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"poise/internal/dataplane/h1"
	"poise/internal/dataplane/l7"
)

// http2Link is a connection of HTTP/2 to a member, for many requests at a time.
type http2Link struct {
	conn      *http.ClientConn
	idleSince time.Time // guarded by links.mu; zero: was in use when last looked at
}

// retire closes a connection that has ended, or that nobody has used for long.
func (l *http2Link) retire(now time.Time) (retired bool) {
	switch {
	case l.conn.Err() != nil:
	case l.conn.InFlight() > 0:
		l.idleSince = time.Time{}
		return false
	case l.idleSince.IsZero():
		l.idleSince = now
		return false
	case now.Sub(l.idleSince) <= maxIdleTime:
		return false
	}
	_ = l.conn.Close()
	return true
}

// overHTTP2 carries the exchange over a connection of HTTP/2, of which a place is reserved. It is false when the member has certainly not
// taken the request, which may then be sent again.
func (x *exchange) overHTTP2(l *http2Link, pool *l7.Pool) (taken bool) {
	ctx, cancel := context.WithCancel(x.r.Context())
	defer cancel()
	x.abort.set(canceler(cancel))
	defer x.abort.set(nil)
	if x.body.stream && x.r.ProtoMajor == 1 {
		_ = x.control.EnableFullDuplex()
	}
	request := x.newRequest(pool).WithContext(ctx)
	if x.body.stream {
		x.wait(&x.silence.upload, theClient)
	}
	x.wait(&x.silence.response, theMember)
	response, err := l.conn.RoundTrip(request)
	if err != nil {
		if x.r.Context().Err() == nil && x.body.read.Load() == int64(len(x.body.small)) && wasRefused(err) {
			return false
		}
		x.fail(err)
		return true
	}
	defer response.Body.Close()
	if response.StatusCode < 200 || response.StatusCode > 999 {
		x.fail(&h1.Error{Status: http.StatusBadGateway, Reason: "invalid status"})
		return true
	}
	x.meter.BytesIn.Add(uint64(max(x.r.ContentLength, 0)))
	if err := x.relayHTTP2(response, pool); err != nil && !x.broken {
		x.fail(err)
	}
	return true
}

// newRequest is the request as the member gets it.
func (x *exchange) newRequest(pool *l7.Pool) *http.Request {
	path := x.head.Path()
	target := &url.URL{Scheme: "http", Host: x.head.Host(), Opaque: path}
	if pool.TLS != nil {
		target.Scheme = "https"
	}
	if target.Host == "" {
		target.Host = x.member.Address.String()
	}
	if strings.HasPrefix(path, "//") { // as an opaque target it would be an authority
		if parsed, err := url.ParseRequestURI(path); err == nil {
			target.Opaque, target.Path, target.RawPath, target.RawQuery = "", parsed.Path, parsed.RawPath, parsed.RawQuery
		}
	}
	r := &http.Request{
		Method: x.head.Method, URL: target, Host: target.Host,
		Proto: "HTTP/2.0", ProtoMajor: 2, Header: x.newHeader(pool), ContentLength: x.r.ContentLength,
	}
	switch {
	case x.body.stream:
		r.Trailer = http.Header{}
		for name := range x.r.Trailer {
			if h1.IsTrailer(name) {
				r.Trailer[name] = nil
			}
		}
		r.Body = &trailedBody{&x.body, r.Trailer}
	case len(x.body.small) > 0:
		r.Body = io.NopCloser(bytes.NewReader(x.body.small))
	}
	return r
}

// newHeader are the fields that the member gets.
func (x *exchange) newHeader(pool *l7.Pool) http.Header {
	header := make(http.Header, x.head.Len()+8)
	drop := x.site.Drop(pool) | h1.SetOf(h1.Host, h1.ContentLength, h1.TransferEncoding, h1.Trailer, h1.Upgrade)
	x.out = x.out[:0]
	for i := range x.head.Len() {
		if x.head.Passes(i, drop) {
			_, name, value := x.head.Field(i)
			x.out = appendField(x.out, name, value)
		}
	}
	if pool.DropsCookie() {
		x.out = pool.AppendCookies(x.out, &x.head)
	}
	x.out = x.site.AppendInserted(x.out, x.session.client, pool)
	for name, value := range l7.Lines(x.out) { // copies, as net/http's HPACK tables hold on to strings
		header.Add(name, value)
	}
	if strings.Contains(strings.ToLower(x.r.Header.Get("Te")), "trailers") {
		header.Set("Te", "trailers")
	}
	if header["User-Agent"] == nil {
		header["User-Agent"] = nil // keeps net/http from naming itself
	}
	return header
}

// trailedBody gives net/http the trailers of a request when its body has ended.
type trailedBody struct {
	*requestBody
	trailer http.Header
}

func (b *trailedBody) Read(p []byte) (int, error) {
	n, err := b.requestBody.Read(p)
	if err == io.EOF {
		for name, values := range b.trailers() {
			b.trailer[name] = values
		}
	}
	return n, err
}

// relayHTTP2 passes the response on.
func (x *exchange) relayHTTP2(response *http.Response, pool *l7.Pool) error {
	fields := l7.PairsOf(response.Header)
	var unframed h1.Set
	if len(response.Trailer) > 0 && x.r.ProtoMajor == 1 { // HTTP/1.1 has trailers only behind chunks
		unframed, response.ContentLength = h1.SetOf(h1.ContentLength), -1
	}
	x.respond(response.StatusCode, fields, func(i int, drop h1.Set) bool {
		known, _, _ := fields.Field(i)
		return !(drop | unframed).Has(known)
	}, pool)
	unknownLength := response.ContentLength < 0
	if unknownLength && !x.flush() {
		return errClient
	}
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	for left := response.ContentLength; ; {
		x.wait(&x.silence.response, theMember)
		n, err := response.Body.Read(buffer[:])
		if n > 0 {
			left -= int64(n)
			if !x.write(buffer[:n]) || err == nil && left != 0 && !x.flush() {
				return errClient
			}
		}
		if err == io.EOF {
			x.addTrailers(l7.PairsOf(response.Trailer))
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// streamError has the shape of net/http's own, which [errors.As] fills in.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return "stream error" }

// refusedStream is REFUSED_STREAM (RFC 9113 §7).
const refusedStream = 7

// wasRefused says whether the member has certainly not begun with a request (RFC 9113 §8.7): it has refused the stream, or gone away
// before it.
func wasRefused(err error) bool {
	var stream streamError
	if errors.As(err, &stream) {
		return stream.Code == refusedStream
	}
	message := err.Error() // net/http has no other name for them
	return strings.Contains(message, "client connection not usable") || strings.Contains(message, "graceful shutdown GOAWAY")
}

package console

import (
	"io"
	"net/http"
	"sync"
)

// transport carries requests to the APIs. Those of our own server are handed to its handler, which spares sockets and
// works behind any proxy; everything else goes over the network.
type transport struct {
	host   string // of our own server, with the port
	local  http.Handler
	remote http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.local == nil || r.URL.Host != t.host {
		return t.remote.RoundTrip(r)
	}
	in := r.Clone(r.Context())
	in.RequestURI, in.RemoteAddr = r.URL.RequestURI(), "console"
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	reader, writer := io.Pipe()
	answer := &localAnswer{header: http.Header{}, body: writer, begun: make(chan struct{})}
	go answer.serve(t.local, in)
	select {
	case <-answer.begun:
	case <-r.Context().Done():
		_ = reader.CloseWithError(r.Context().Err()) // what the handler still writes fails, so that it ends
		return nil, r.Context().Err()
	}
	return &http.Response{
		Status: http.StatusText(answer.status), StatusCode: answer.status, Header: answer.sent, Body: reader, Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1,
	}, nil
}

// localAnswer is a [http.ResponseWriter] that streams to whoever reads the answer's body.
type localAnswer struct {
	header http.Header
	sent   http.Header // as it was when the answer began
	status int
	body   *io.PipeWriter
	once   sync.Once
	begun  chan struct{} // closed once status and sent are there
}

func (a *localAnswer) serve(handler http.Handler, r *http.Request) {
	defer r.Body.Close()
	defer a.body.Close()
	defer a.WriteHeader(http.StatusOK)
	handler.ServeHTTP(a, r)
}

func (a *localAnswer) Header() http.Header { return a.header }

func (a *localAnswer) WriteHeader(status int) {
	a.once.Do(func() {
		a.status, a.sent = status, a.header.Clone()
		close(a.begun)
	})
}

func (a *localAnswer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// Flush has nothing to do: each write is read at once.
func (a *localAnswer) Flush() { a.WriteHeader(http.StatusOK) }

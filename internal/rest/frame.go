package rest

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"
)

var requestIDForm = regexp.MustCompile(`^req-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// Served is one request that was answered.
type Served struct {
	Method string
	// Service is the first segment of the path, and Route the pattern of the [Route] that has answered; both are "" when
	// none has: then they would be whatever the client has made up.
	Service, Route string
	Status         int
	Took           time.Duration
}

// Frame goes around every API. It gives each request an id and answers with it (x-openstack-request-id), finds its source,
// logs it, and turns a panic into a 500 that says no more than the id. Its zero value but for Log is ready for use.
type Frame struct {
	Log *slog.Logger
	// Proxies are believed when they say whom they ask for.
	Proxies Proxies
	// LogRequests tells whether each request gets a line at level INFO; nil: it gets one at DEBUG.
	LogRequests func() bool
	// Classify turns errors of the database into [ErrUnavailable] or [ErrNotText], and leaves others; nil leaves all.
	Classify func(error) error
	// Tell is who counts requests; nil: nobody.
	Tell func(Served)
}

// exchange is what the frame learns of a request on its way through the rooms.
type exchange struct {
	Served

	caller   Caller
	classify func(error) error
}

// Around is next within the frame.
func (f Frame) Around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin, id := time.Now(), "req-"+newUUID()
		w.Header().Set("X-Openstack-Request-Id", id)
		x := &exchange{Served: Served{Method: r.Method}, classify: f.Classify}
		ctx, from := f.withSource(r)
		ctx = context.WithValue(context.WithValue(ctx, requestIDKey, id), exchangeKey, x)
		answer := &answerWriter{ResponseWriter: w, connection: http.NewResponseController(w)}
		defer func() {
			if problem := recover(); problem != nil {
				f.logPanic(ctx, answer, problem)
			}
			x.Status, x.Took = answer.status, time.Since(begin)
			if x.Route != "" {
				x.Service, _, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
			}
			f.logRequest(ctx, r, x, from)
			if f.Tell != nil {
				f.Tell(x.Served)
			}
		}()
		r = r.WithContext(ctx)
		if err := takeBody(answer, r); err != nil {
			status, _ := Status(err)
			http.Error(answer, err.Error(), status)
			return
		}
		next.ServeHTTP(answer, r)
	})
}

// withSource puts the source of the request into its context. A request that one of our own rooms makes has that of the
// request which it serves.
func (f Frame) withSource(r *http.Request) (ctx context.Context, from string) {
	if source := Source(r.Context()); source != "" {
		return r.Context(), source
	}
	address, ok := f.Proxies.client(r)
	if !ok {
		return r.Context(), r.RemoteAddr
	}
	return context.WithValue(r.Context(), sourceKey, sourceOf(address)), address.String()
}

func (f Frame) logPanic(ctx context.Context, answer *answerWriter, problem any) {
	id := RequestID(ctx)
	f.Log.ErrorContext(ctx, "panic", "request", id, "panic", problem, "stack", string(debug.Stack()))
	if answer.status == 0 {
		WriteJSON(answer, http.StatusInternalServerError, map[string]any{
			"faultcode": "Server", "faultstring": "Internal error; the server's log has it under " + id, "debuginfo": nil,
		})
	}
}

func (f Frame) logRequest(ctx context.Context, r *http.Request, x *exchange, from string) {
	level := slog.LevelDebug
	if f.LogRequests != nil && f.LogRequests() {
		level = slog.LevelInfo
	}
	if !f.Log.Enabled(ctx, level) {
		return
	}
	line := []any{"request", RequestID(ctx), "method", r.Method, "path", r.URL.Path, "from", from}
	if x.caller.UserID != "" {
		line = append(line, "user", x.caller.UserID, "project", x.caller.ProjectID)
	}
	if global := r.Header.Get("X-Openstack-Request-Id"); requestIDForm.MatchString(global) {
		line = append(line, "global_request", global)
	}
	f.Log.Log(ctx, level, "http", append(line, "status", x.Status, "ms", x.Took.Milliseconds())...)
}

// takeBody has the deadline of [NewServer] for the request end with its body: what comes then, a stream for example, may
// take its time. The body of a GET or HEAD means nothing and nobody reads it, so it is read here.
func takeBody(w *answerWriter, r *http.Request) error {
	if r.Body == nil || r.Body == http.NoBody {
		w.endReadDeadline()
		return nil
	}
	r.Body = &timedBody{ReadCloser: r.Body, ended: w.endReadDeadline}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil
	}
	_, err := ReadBody(w.ResponseWriter, r, MaxBody)
	r.Body = http.NoBody
	return err
}

// timedBody calls ended once the whole body is read.
type timedBody struct {
	io.ReadCloser

	ended func()
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.ended()
	}
	return n, err
}

func newUUID() string {
	id, err := uuid.NewRandomFromReader(rand.Reader)
	if err != nil { // crypto/rand does not fail on a supported system
		panic(err)
	}
	return id.String()
}

// answerWriter remembers the status for the log, and ends connections whose client does not read.
type answerWriter struct {
	http.ResponseWriter

	status     int
	connection *http.ResponseController // of another kind than net/http's it has no deadlines, and needs none
}

func (w *answerWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write writes in pieces, each of which the client has to take within [pieceTimeout].
func (w *answerWriter) Write(p []byte) (written int, err error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	for first := true; first || len(p) > 0; first = false {
		piece := p[:min(len(p), pieceBytes)]
		_ = w.connection.SetWriteDeadline(time.Now().Add(pieceTimeout))
		n, err := w.ResponseWriter.Write(piece)
		written += n
		if err != nil {
			return written, err
		}
		p = p[len(piece):]
	}
	return written, nil
}

func (w *answerWriter) endReadDeadline() { _ = w.connection.SetReadDeadline(time.Time{}) }

// Unwrap lets http.ResponseController reach the connection.
func (w *answerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Package rest is what poise's HTTP APIs have in common: the route table, request ids, limits, the access log, and who
// is calling. What an API says (its JSON, its faults) belongs to the API's own room.
package rest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// MaxBody is the largest request body in bytes that any API takes (Octavia's own limit, octavia-api.md §4.1).
const MaxBody = 114_688

// Caller is who makes a request, as a verified token says it.
type Caller struct {
	UserID      string
	UserName    string
	DomainID    string // the user's domain
	ProjectID   string // "" for a token without project
	ProjectName string
	Roles       []string // names, implied ones included
}

// HasRole tells whether the caller has one of the roles.
func (c Caller) HasRole(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(c.Roles, name) })
}

// ErrUnauthenticated is what a [Verifier] answers for a token that is missing, unknown, expired or revoked.
var ErrUnauthenticated = errors.New("the request you have made requires authentication")

// Verifier turns a token (the X-Auth-Token header) into its caller. It returns [ErrUnauthenticated] for a bad token
// and any other error when it could not find out.
type Verifier interface {
	Verify(ctx context.Context, token string) (Caller, error)
}

type contextKey int

const (
	callerKey contextKey = iota
	requestIDKey
	servedKey
)

// WithCaller returns a context that carries the caller.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey, c)
}

// CallerFrom returns the caller of a request behind [Authenticate].
func CallerFrom(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey).(Caller)
	return c
}

// RequestID returns the id (req-<uuid>) of the request that ctx belongs to.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey).(string)
	return id
}

// Authenticate admits requests with a valid token and puts the caller into their context. Others get 401 in Keystone's
// middleware's form with where to sign in; identityURL is the public address of the identity API.
func Authenticate(v Verifier, identityURL string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, err := v.Verify(r.Context(), r.Header.Get("X-Auth-Token"))
		switch {
		case errors.Is(err, ErrUnauthenticated):
			w.Header().Set("WWW-Authenticate", fmt.Sprintf("Keystone uri=%q", identityURL))
			WriteJSON(w, http.StatusUnauthorized, map[string]any{"error": map[string]any{
				"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication.",
			}})
		case err != nil:
			slog.ErrorContext(r.Context(), "token could not be checked", "request", RequestID(r.Context()), "err", err)
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			next.ServeHTTP(w, r.WithContext(WithCaller(r.Context(), caller)))
		}
	})
}

// WriteJSON answers with status and v as JSON. Errors of the connection are the client's affair and not reported.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	body, err := appendJSON(nil, v)
	if err != nil { // a type that cannot be marshalled is a mistake of ours, not of the data
		panic(fmt.Sprintf("answer cannot be encoded: %v", err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// ErrBodyTooLarge is what [ReadBody] returns for a body over its limit.
var ErrBodyTooLarge = errors.New("the request body is too large")

// bodyTimeout bounds how long a client may take to send a body.
const bodyTimeout = 30 * time.Second

// ReadBody reads the whole request body, at most limit bytes ([MaxBody] unless the API has a reason).
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	connection := http.NewResponseController(w) // has no deadlines in some tests: then there is nothing to bound
	_ = connection.SetReadDeadline(time.Now().Add(bodyTimeout))
	defer func() { _ = connection.SetReadDeadline(time.Time{}) }()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, ErrBodyTooLarge
	}
	return body, err
}

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

// Frame goes around every API: it gives each request an id and answers with it (x-openstack-request-id), logs one line
// for each request, turns a panic into a 500 that says no more than the id, and tells whoever counts requests.
func Frame(log *slog.Logger, next http.Handler, tell ...func(Served)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		id := "req-" + newUUID()
		w.Header().Set("X-Openstack-Request-Id", id)
		served := Served{Method: r.Method}
		ctx := context.WithValue(context.WithValue(r.Context(), requestIDKey, id), servedKey, &served)
		watched := &statusWriter{ResponseWriter: w}
		line := []any{"request", id, "method", r.Method, "path", r.URL.Path, "from", r.RemoteAddr}
		if global := r.Header.Get("X-Openstack-Request-Id"); requestIDForm.MatchString(global) {
			line = append(line, "global_request", global)
		}
		defer func() {
			if problem := recover(); problem != nil {
				log.ErrorContext(ctx, "panic", "request", id, "panic", problem, "stack", string(debug.Stack()))
				if watched.status == 0 {
					WriteJSON(watched, http.StatusInternalServerError, map[string]any{
						"faultcode": "Server", "faultstring": "Internal error; the server's log has it under " + id, "debuginfo": nil,
					})
				}
			}
			served.Status, served.Took = watched.status, time.Since(begin)
			log.InfoContext(ctx, "http", append(line, "status", served.Status, "ms", served.Took.Milliseconds())...)
			if served.Route != "" {
				served.Service, _, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
			}
			for _, to := range tell {
				to(served)
			}
		}()
		next.ServeHTTP(watched, r.WithContext(ctx))
	})
}

func newUUID() string {
	id, err := uuid.NewRandomFromReader(rand.Reader)
	if err != nil { // crypto/rand does not fail on a supported system
		panic(err)
	}
	return id.String()
}

// statusWriter remembers the status for the access log.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

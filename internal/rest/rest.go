// Package rest is what poise's HTTP APIs have in common: the route table, request ids, limits, the access log, and who
// is calling. What an API says (its JSON, its faults) belongs to the API's own room.
package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
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
	// Roles are names, implied ones included. The role admin is among them only where it makes an administrator of the
	// cloud: the verifier decides that, for every API alike.
	Roles []string
}

// RoleAdmin is the role of the cloud's administrators.
const RoleAdmin = "admin"

// IsAdmin tells whether the caller is an administrator of the cloud.
func (c Caller) IsAdmin() bool { return c.HasRole(RoleAdmin) }

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
	sourceKey
	exchangeKey
)

// WithCaller returns a context that carries the caller, and has the log of requests name it.
func WithCaller(ctx context.Context, c Caller) context.Context {
	if x, ok := ctx.Value(exchangeKey).(*exchange); ok {
		x.caller = c
	}
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
			if !errors.Is(classify(r.Context(), err), ErrUnavailable) { // the health check says that
				slog.ErrorContext(r.Context(), "token could not be checked", "request", RequestID(r.Context()), "err", err)
			}
			w.Header().Set("Retry-After", retryAfter)
			WriteJSON(w, http.StatusServiceUnavailable, map[string]any{"error": map[string]any{
				"code": http.StatusServiceUnavailable, "title": http.StatusText(http.StatusServiceUnavailable),
				"message": ErrUnavailable.Error(),
			}})
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

// ReadBody reads the whole request body, at most limit bytes ([MaxBody] unless the API has a reason). [NewServer] bounds the
// time that it takes.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, ErrBodyTooLarge
	case err != nil: // the connection is the client's affair
		return nil, ErrBodyIncomplete
	}
	return body, nil
}

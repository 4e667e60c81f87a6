package rest

import (
	"errors"
	"net/http"
	"strings"
)

// Route is one line of an API's route table.
type Route struct {
	Method string
	// Pattern is the path as [http.ServeMux] reads it, with "{name}" for a variable segment, without a trailing slash
	// (the root is "/"). A request may carry one: OpenStack's services accept both.
	Pattern string
	// Handler answers the request; it returns the error, having written nothing, when it refuses.
	Handler func(w http.ResponseWriter, r *http.Request) error
}

// Fault writes an error in an API's own form. Beside the API's errors it is given those that [Status] knows.
type Fault func(w http.ResponseWriter, r *http.Request, err error)

// Routes makes one handler of a route table. A HEAD request is answered by the GET route, unless it has its own.
// Two routes with the same method and pattern are a mistake of the program, so it panics.
func Routes(table []Route, fault Fault) http.Handler {
	mux := http.NewServeMux()
	for _, route := range table {
		mux.HandleFunc(route.Method+" "+exactly(route.Pattern), func(w http.ResponseWriter, r *http.Request) {
			if x, ok := r.Context().Value(exchangeKey).(*exchange); ok {
				x.Route = route.Pattern
			}
			if err := route.Handler(w, r); err != nil {
				if err = classify(r.Context(), err); errors.Is(err, ErrUnavailable) {
					w.Header().Set("Retry-After", retryAfter)
				}
				fault(w, r, err)
			}
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = withoutTrailingSlash(r)
		if refused := refusal(mux, w, r); refused != nil {
			fault(w, r, refused)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// exactly keeps the root pattern from matching every path below it.
func exactly(pattern string) string {
	if pattern == "/" {
		return "/{$}"
	}
	return pattern
}

// refusal finds what the mux would answer in its own words, for the API to say in its form: paths that nobody serves,
// methods that a path does not have, and unclean paths, which the mux would redirect (a client that is sent elsewhere
// loses its body).
func refusal(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) error {
	if isUnclean(r.URL.Path) || !IsText(r.URL.Path) { // what is no text can be nobody's id
		return ErrNoRoute
	}
	own, pattern := mux.Handler(r)
	if pattern != "" {
		return nil
	}
	answer := muxAnswer{header: http.Header{}}
	own.ServeHTTP(&answer, r)
	if answer.status != http.StatusMethodNotAllowed {
		return ErrNoRoute
	}
	w.Header()["Allow"] = answer.header["Allow"]
	return ErrMethod
}

// muxAnswer takes what the mux says and keeps the status and the header of it.
type muxAnswer struct {
	header http.Header
	status int
}

func (a *muxAnswer) Header() http.Header         { return a.header }
func (a *muxAnswer) WriteHeader(status int)      { a.status = status }
func (a *muxAnswer) Write(p []byte) (int, error) { return len(p), nil }

func withoutTrailingSlash(r *http.Request) *http.Request {
	path := strings.TrimSuffix(r.URL.Path, "/")
	if path == "" {
		path = "/"
	}
	if path == r.URL.Path {
		return r
	}
	shorter := r.WithContext(r.Context())
	address := *r.URL
	address.Path, address.RawPath = path, strings.TrimSuffix(r.URL.RawPath, "/")
	shorter.URL = &address
	return shorter
}

func isUnclean(path string) bool {
	for _, segment := range strings.Split(path, "/")[1:] {
		if segment == "." || segment == ".." || (segment == "" && path != "/") {
			return true
		}
	}
	return false
}

// Package octavia is the Octavia v2 wire: routes, JSON shapes, filters, paging, faults and authorisation. It is the only
// room that knows Octavia's JSON and fault format; what a request means is decided in lb, and carried out by the
// [Control] that it is given.
//
// A request goes through the same steps whatever it is about: the token (401), the Accept header (406), the route (404,
// 405), the body against the resource's attribute table (400), the object or its parent (404), the policy (403), and
// then the change itself with the rules of lb (400, 409, 501).
//
// Each resource is a table of attributes ([resource], in the file of its name). Decoding, rendering, field selection,
// filters and sorting all come from that table.
package octavia

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"poise/internal/rest"
)

// Config is what an [API] works with.
type Config struct {
	Control   Control
	Watch     Watch
	Past      Past
	FollowLog FollowLog
	// Health returns why the server does not do its work; nil: it always does.
	Health       func(ctx context.Context) []string
	Certificates Certificates
	Quotas       Quotas
	Offers       Offers
	Verifier     rest.Verifier
	PublicURL    string // the public address of this API, without a trailing slash; links begin with it
	IdentityURL  string // the public address of the identity API, told to clients without a valid token
	Log          *slog.Logger

	RBAC         RBAC // "" means [RBACDefault]
	EnforceScope bool // refuse tokens that are not of a project
}

// API serves the Octavia v2 API.
type API struct {
	Config
	watchers, followers streamLimits

	logsEnded chan struct{} // closed by endLogs
	endLogs   func()
}

// New makes an API.
func New(c Config) *API {
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	ended := make(chan struct{})
	return &API{
		Config:    c,
		watchers:  newStreamLimits("streams of changes", maxWatchers, maxWatchersOfProject, maxWatchersOfUser),
		followers: newStreamLimits("streams of access logs", maxFollowers, maxFollowersOfProject, maxFollowersOfUser),
		logsEnded: ended, endLogs: sync.OnceFunc(func() { close(ended) }),
	}
}

// Handler serves the API at the root: whoever mounts it below a prefix strips that prefix. It expects [rest.Frame]
// around it.
func (a *API) Handler() http.Handler {
	open := rest.Routes(a.openRoutes(), a.fault)
	closed := rest.Authenticate(a.Verifier, a.IdentityURL, a.negotiate(rest.Routes(a.routes(), a.fault)))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch strings.TrimSuffix(r.URL.Path, "/") {
		case "", "/healthcheck", "/openapi.json":
			open.ServeHTTP(w, r)
		default:
			closed.ServeHTTP(w, r)
		}
	})
}

// call is one request on its way through a handler.
type call struct {
	*API
	w http.ResponseWriter
	r *http.Request
	route
	query   url.Values // the parameters that the route takes
	unknown []string   // the names of those that it does not
	caller  rest.Caller
	// maxBody is the largest body in bytes that the request may have.
	maxBody int64
}

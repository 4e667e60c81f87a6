package console

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
)

// Base is the path below which the console is served.
const Base = "/console"

// Config is what a [Console] works with.
type Config struct {
	// IdentityURL is the identity API (…/v3) of the cloud that people sign in to; its catalogue leads to all others.
	IdentityURL string
	// PublicURL is where browsers reach the server that the console is part of, without a path. With https the
	// session's cookie is for TLS alone.
	PublicURL string
	// Local answers the APIs that are below PublicURL without a connection to ourselves; nil when there are none.
	Local http.Handler
	// Source is where a browser's request comes from, as limits count it; nil: the address of the connection.
	Source func(*http.Request) string
	Log    *slog.Logger
}

// Console serves the pages.
type Console struct {
	Config
	doors   *doors
	watches *watches
	assets  *assets
	cloud   http.RoundTripper // to the APIs
}

// New makes a console. The caller closes it.
func New(c Config) (*Console, error) {
	public, err := url.Parse(c.PublicURL)
	if err != nil {
		return nil, fmt.Errorf("public address of the console: %w", err)
	}
	files, err := loadAssets()
	if err != nil {
		return nil, err
	}
	c.IdentityURL = strings.TrimSuffix(c.IdentityURL, "/")
	return &Console{
		Config: c, assets: files, doors: newDoors(public.Scheme == "https"), watches: newWatches(c.Log),
		cloud: transport{host: public.Host, local: c.Local, remote: http.DefaultTransport},
	}, nil
}

// identityIsLocal tells whether people sign in to the identity service of our own server.
func (c *Console) identityIsLocal() bool {
	public, err := url.Parse(c.PublicURL)
	identity, identityErr := url.Parse(c.IdentityURL)
	return err == nil && identityErr == nil && c.Local != nil && public.Host == identity.Host
}

// Close ends the streams of open pages, so that a server can stop, and what watches the clouds for them.
func (c *Console) Close() { c.watches.close() }

// Handler serves everything below [Base], which is not stripped from the path.
func (c *Console) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Base, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, Base+"/", http.StatusMovedPermanently)
	})
	mux.HandleFunc("GET "+Base+"/static/{name...}", c.assets.serve)
	for _, p := range pages() {
		mux.Handle(p.method+" "+Base+p.pattern, c.page(p))
	}
	guarded := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header())
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		guarded.ServeHTTP(w, r)
	})
}

// maxForm is the largest form in bytes; a pool with some thousand members fits.
const maxForm = 1 << 20

// secure sets the headers that keep a page to what it came with: no script, style or frame of anybody else, and none
// within the page.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "+
		"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// Welcome sends browsers that ask for the root of the server to the console, and leaves everybody else to next.
func Welcome(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" && r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") {
			http.Redirect(w, r, Base+"/", http.StatusFound)
			return
		}
		next.ServeHTTP(w, r)
	})
}

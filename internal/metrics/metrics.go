// Package metrics tells the operator, and the Prometheus of the operator, how a poise server does: its process, the requests
// of its APIs, the control plane's work, the load balancers by their statuses, and what the data plane has carried in all. The
// metrics of one load balancer for its owner are another matter: see the PROMETHEUS listener.
package metrics

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"poise/internal/dataplane"
	"poise/internal/lb"
	"poise/internal/rest"
)

const (
	// scrapeTimeout bounds how long one page may take.
	scrapeTimeout = 10 * time.Second
	// maxScrapes are made at the same time.
	maxScrapes = 4
)

// Config is what a [Service] needs to know.
type Config struct {
	// Token is what a client may say instead of signing in.
	Token    string
	Verifier rest.Verifier
	// Balancers reads all load balancers.
	Balancers func(ctx context.Context) ([]lb.Snapshot, error)
	// Counters reads the live statistics of a load balancer by listener.
	Counters func(loadBalancerID string) map[string]dataplane.Counters
	// QueueLength is how many load balancers wait for the control plane.
	QueueLength func() int
	// DroppedRecords is how many lines of access logs were not written.
	DroppedRecords func() uint64
	Log            *slog.Logger
}

// Service is the page of metrics.
type Service struct {
	Config
	page      http.Handler
	requests  *prometheus.HistogramVec
	attempts  prometheus.Histogram
	failures  prometheus.Counter
	tokenHash [sha256.Size]byte
}

// New makes the page.
func New(c Config) *Service {
	s := &Service{
		Config:    c,
		tokenHash: sha256.Sum256([]byte(c.Token)),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "poise_http_request_duration_seconds", Help: "Time that requests of the APIs took, by route and status.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"service", "method", "route", "status"}),
		attempts: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "poise_reconcile_duration_seconds", Help: "Time that attempts to apply a load balancer took.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5, 60},
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "poise_reconcile_failures_total", Help: "Attempts to apply a load balancer that failed and are made again.",
		}),
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector(),
		s.requests, s.attempts, s.failures,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "poise_reconcile_queue_length", Help: "Load balancers that wait to be applied.",
		}, func() float64 { return float64(c.QueueLength()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "poise_access_log_dropped_total", Help: "Lines of access logs that were not written to their file.",
		}, func() float64 { return float64(c.DroppedRecords()) }),
		newCloud(c),
	)
	s.page = promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: logger{c.Log}, ErrorHandling: promhttp.ContinueOnError, Timeout: scrapeTimeout, MaxRequestsInFlight: maxScrapes,
	})
	return s
}

// Served counts a request (rest.Frame).
func (s *Service) Served(r rest.Served) {
	if r.Route == "" { // the client may have made it up
		r.Service, r.Route, r.Method = "none", "none", "any"
	}
	s.requests.WithLabelValues(r.Service, r.Method, r.Route, strconv.Itoa(r.Status)).Observe(r.Took.Seconds())
}

// Attempted counts an attempt to apply a load balancer (control.Control.OnAttempt).
func (s *Service) Attempted(took time.Duration, err error) {
	s.attempts.Observe(took.Seconds())
	if err != nil {
		s.failures.Inc()
	}
}

// ServeHTTP answers those who have the token, and administrators.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	allowed, err := s.allows(r)
	switch {
	case err != nil:
		s.Log.ErrorContext(r.Context(), "token could not be checked", "request", rest.RequestID(r.Context()), "err", err)
		w.WriteHeader(http.StatusServiceUnavailable)
	case !allowed:
		w.Header().Set("WWW-Authenticate", `Bearer realm="metrics"`)
		http.Error(w, "metrics.token of the data directory, or an administrator's X-Auth-Token, is needed", http.StatusUnauthorized)
	default:
		w.Header().Set("Cache-Control", "no-store")
		s.page.ServeHTTP(w, r)
	}
}

func (s *Service) allows(r *http.Request) (bool, error) {
	if token, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); isBearer {
		given := sha256.Sum256([]byte(token)) // so that the comparison says nothing about the length either
		return s.Token != "" && subtle.ConstantTimeCompare(given[:], s.tokenHash[:]) == 1, nil
	}
	caller, err := s.Verifier.Verify(r.Context(), r.Header.Get("X-Auth-Token"))
	if errors.Is(err, rest.ErrUnauthenticated) {
		return false, nil
	}
	return caller.IsAdmin(), err
}

// logger is how the library reports what could not be collected.
type logger struct{ *slog.Logger }

func (l logger) Println(v ...any) { l.Warn("metrics are incomplete this time", "err", v) }

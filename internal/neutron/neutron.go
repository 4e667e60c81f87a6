// Package neutron is the embedded network service: networks, subnets, ports, security groups, QoS policies, routers and
// floating IPs, spoken on the wire of OpenStack Networking v2.0 and kept in SQL.
//
// What users write here becomes real through the fabric: after each committed change the service describes everything
// that should exist (a [fabric.Topology]) and the fabric makes it so, again and again until it succeeds. Ports are
// addresses and names only; who owns a port (a load balancer, a server) plugs it.
//
// Load balancers do not come through HTTP but through a door of Go methods (vip.go, attachment.go).
package neutron

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"sync"

	"poise/internal/database"
	"poise/internal/fabric"
	"poise/internal/rest"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Config is what the service stands on.
type Config struct {
	DB     *database.DB
	Fabric fabric.Fabric
	Log    *slog.Logger
	// PublicURL is where clients find [Service.Handler], without a trailing slash ("http://127.0.0.1:9876/network").
	PublicURL string
	// Quota is that of projects for which nothing was set; what is left out has the limit of [DefaultQuota].
	Quota Quota
}

// Service is the network service. [Service.Run] must run while it is used: changes wait for its reconciling.
type Service struct {
	db        *database.DB
	fabric    fabric.Fabric
	log       *slog.Logger
	publicURL string
	quota     Quota // of projects for which nothing was set
	handler   http.Handler
	apply     *reconciler

	mu       sync.Mutex // guards watchers
	watchers []func(deviceID string)
}

// New brings the service's tables up to date.
func New(ctx context.Context, c Config) (*Service, error) {
	own, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("neutron migrations: %w", err)
	}
	if err := c.DB.Migrate(ctx, "neutron", own); err != nil {
		return nil, err
	}
	if err := checkDefaults(c.Quota); err != nil {
		return nil, err
	}
	s := &Service{db: c.DB, fabric: c.Fabric, log: c.Log, publicURL: c.PublicURL, quota: c.Quota.over(DefaultQuota())}
	s.apply = newReconciler(s.applyTopology, c.Log)
	s.handler = rest.Routes(s.routes(), s.fault)
	return s, nil
}

// Handler answers below the service's prefix, which the caller has stripped; it stands behind [rest.Authenticate].
func (s *Service) Handler() http.Handler { return s.handler }

// Run keeps the fabric as the database says until ctx ends: once at the start, after each change, and after a failure
// again until it succeeds.
func (s *Service) Run(ctx context.Context) error { return s.apply.run(ctx) }

// AwaitStart waits until the fabric has been given the topology for the first time since the start of [Service.Run], so
// that there is something to plug into.
func (s *Service) AwaitStart(ctx context.Context) { s.apply.await(ctx, 1) }

// Ready tells whether the fabric has been given the topology since the start.
func (s *Service) Ready() bool { return s.apply.settled() }

// String names the task.
func (s *Service) String() string { return "neutron" }

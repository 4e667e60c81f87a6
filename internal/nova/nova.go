// Package nova is the embedded compute service of the playground. A server is a network card with an address of its
// own (in the linux fabric: in a namespace of its own) and, when its metadata ask for it, a small service that greets
// whoever connects. Users read; only administrators make, stop and delete servers.
//
// The database says which servers there should be. One task ([Service.Run]) makes them so: at the start, after each
// change, and again after a failure.
package nova

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"

	"github.com/google/uuid"

	"poise/internal/database"
	"poise/internal/fabric"
	"poise/internal/rest"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Network is what servers need of the network service. Its refusals have a method Status() int.
type Network interface {
	// TakeServerPort gives an existing port to a server and returns the port's project.
	TakeServerPort(ctx context.Context, caller rest.Caller, serverID, portID string) (projectID string, err error)
	// MakeServerPort makes a port for a server; the zero Addr leaves the choice of the address to the network.
	MakeServerPort(ctx context.Context, caller rest.Caller, serverID, projectID, networkID string, a netip.Addr) (portID string, err error)
	// ReleaseServerPorts deletes or frees the ports of a server; it is fine when there are none.
	ReleaseServerPorts(ctx context.Context, serverID string) error
	// Attachment says how a port is plugged.
	Attachment(ctx context.Context, portID string) (fabric.Port, error)
	// NetworkName is the name of a network.
	NetworkName(ctx context.Context, networkID string) (string, error)
	// OnAttachmentChange asks for a call after a port of a device has changed.
	OnAttachmentChange(func(deviceID string))
}

// Config is what the service stands on.
type Config struct {
	DB      *database.DB
	Fabric  fabric.Fabric
	Network Network
	Log     *slog.Logger
	// PublicURL is where clients find [Service.Handler], without a trailing slash ("http://127.0.0.1:9876/compute").
	PublicURL string
}

// Service is the compute service. [Service.Run] must run while it is used: changes wait for it.
type Service struct {
	db        *database.DB
	fabric    fabric.Fabric
	network   Network
	log       *slog.Logger
	publicURL string
	handler   http.Handler
	machines  *machines
}

// New brings the service's tables up to date.
func New(ctx context.Context, c Config) (*Service, error) {
	own, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("nova migrations: %w", err)
	}
	if err := c.DB.Migrate(ctx, "nova", own); err != nil {
		return nil, err
	}
	s := &Service{db: c.DB, fabric: c.Fabric, network: c.Network, log: c.Log, publicURL: c.PublicURL}
	s.machines = newMachines(s)
	s.handler = rest.Routes(s.routes(), s.fault)
	c.Network.OnAttachmentChange(func(deviceID string) {
		if uuid.Validate(deviceID) == nil { // other devices are not servers
			s.machines.settle(context.Background(), deviceID)
		}
	})
	return s, nil
}

// Handler answers below the service's prefix, which the caller has stripped; it stands behind [rest.Authenticate].
func (s *Service) Handler() http.Handler { return s.handler }

// Run keeps the servers as the database says until ctx ends. The servers' namespaces stay, their services end.
func (s *Service) Run(ctx context.Context) error { return s.machines.run(ctx) }

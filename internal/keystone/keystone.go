// Package keystone is the small identity service that poise offers when it stands alone. It speaks the part of the
// Identity v3 API that OpenStack's clients need to sign in, to find the other services and to look after users,
// projects and roles.
//
// A token is 32 random bytes, of which only a hash is kept. What it stands for (a user, a project, roles) is looked up
// each time it is used, so a disabled user, a removed role or a deleted project takes effect at once. Answers are
// remembered for a few seconds; every change made by this process forgets them.
package keystone

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"poise/internal/database"
	"poise/internal/rest"
)

// Path is where the service lives below the server's public address.
const Path = "/identity"

const (
	// DefaultTokenLifetime is how long a token is good for unless [Config] says otherwise.
	DefaultTokenLifetime = 12 * time.Hour
	// sweepEvery is how often expired tokens are deleted.
	sweepEvery = 15 * time.Minute
)

//go:embed migrations/*.sql
var migrations embed.FS

// Config is what a [Service] needs to know.
type Config struct {
	DB     *database.DB
	Region string // the name of the one region
	// PublicURL is the server's public address without a path ("http://127.0.0.1:9876"); links are made from it.
	PublicURL string
	// Endpoints are the other services of the catalogue; the identity service adds itself.
	Endpoints     []Endpoint
	TokenLifetime time.Duration // 0: DefaultTokenLifetime
	// AdminAnywhere makes administrators of the cloud of those who have the role admin on any project or domain, as
	// OpenStack did of old. Otherwise it counts in the administrators' project alone.
	AdminAnywhere bool
	Log           *slog.Logger
}

// Endpoint is a service of the catalogue.
type Endpoint struct {
	Type string // "load-balancer"
	Name string // "octavia"
	Path string // below the public address: "/load-balancer"
}

// Service is the identity service. It implements [rest.Verifier].
type Service struct {
	db        *database.DB
	log       *slog.Logger
	region    string
	publicURL string
	catalog   []catalogService
	lifetime  time.Duration
	// adminAnywhere has the role admin count in every project and domain.
	adminAnywhere bool
	passwords     *passwords
	sessions      *sessionCache
	unsaved       unsavedTokens
	unremembered  reasons // why it is not remembered where users sign in
}

var _ rest.Verifier = (*Service)(nil)

// New brings the tables up to date and returns the service.
func New(ctx context.Context, c Config) (*Service, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("identity migrations: %w", err)
	}
	if err := c.DB.Migrate(ctx, "keystone", files); err != nil {
		return nil, err
	}
	if c.TokenLifetime == 0 {
		c.TokenLifetime = DefaultTokenLifetime
	}
	publicURL := strings.TrimRight(c.PublicURL, "/")
	return &Service{
		db:        c.DB,
		log:       c.Log,
		region:    c.Region,
		publicURL: publicURL + Path,
		catalog:   makeCatalog(publicURL, c.Region, c.Endpoints),
		lifetime:  c.TokenLifetime,

		adminAnywhere: c.AdminAnywhere,
		passwords:     newPasswords(),
		sessions:      newSessionCache(),
		unsaved:       unsavedTokens{tokens: map[string]tokenRow{}},
	}, nil
}

// URL is the public address of the identity API, for [rest.Authenticate].
func (s *Service) URL() string { return s.publicURL }

// Handler serves the API; the prefix [Path] is already stripped from its requests. Clients ask for [Path] itself, too,
// and do not all follow a redirect, so it has to be mounted with and without a slash at the end.
func (s *Service) Handler() http.Handler {
	return rest.Routes(s.routes(), s.writeFault)
}

// Verify implements [rest.Verifier].
func (s *Service) Verify(ctx context.Context, token string) (rest.Caller, error) {
	found, err := s.session(ctx, token)
	if err != nil {
		return rest.Caller{}, err
	}
	return found.caller(), nil
}

// Run deletes expired tokens, and saves those that could not be saved, from time to time until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	var saving sync.WaitGroup
	defer saving.Wait()
	saving.Go(func() { s.runSaving(ctx) })
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "expired tokens stay until the next attempt", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (s *Service) String() string { return "identity service" }

func (s *Service) sweep(ctx context.Context) error {
	_, err := s.db.NewDelete().Model((*tokenRow)(nil)).Where("expires_at <= ?", time.Now().UnixMicro()).Exec(ctx)
	if err != nil {
		return fmt.Errorf("expired tokens: %w", err)
	}
	return nil
}

// change runs f in a transaction. Afterwards no session from before is remembered.
func (s *Service) change(ctx context.Context, f func(ctx context.Context, tx bun.Tx) error) error {
	s.unsaved.newEra()
	err := s.db.Tx(ctx, f)
	if err == nil {
		s.unsaved.clear()
	}
	s.sessions.forget()
	return err
}

// isNoRows tells whether a query found nothing.
func isNoRows(err error) bool { return errors.Is(err, errNoRows) }

// Package barbican is the small key manager that poise offers when it stands alone: it keeps certificates, keys and
// passphrases. It speaks the part of the Key Manager v1 API that the openstack client, gophercloud, Terraform and
// Octavia's users need: secrets with payload and user metadata, containers of them, their consumers and access lists.
// Orders, quotas, transport keys and secret stores are not offered and answer 404.
//
// Payloads are encrypted before they reach the database, under keys that are in a file beside it and not in it; see
// keyring and sealed. Whoever has only one of the two has nothing.
//
// Who may do what follows Barbican's default policy. In their own project, the roles admin, member and creator make,
// read, change and delete; observer reads; reader alone does nothing. An access list may take a secret or a container
// away from the project, so that only its creator and the project's admin keep it, and may let single users of any
// project read it. Barbican's default differs in two points: there the role admin reads the attributes of other
// projects' secrets and deletes them, and lists name what an access list hides. Here they do not.
//
// An expired secret is as good as gone: it is neither found nor listed.
package barbican

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"

	"poise/internal/database"
	"poise/internal/rest"
)

const (
	// MaxPayload is the longest payload in bytes, as it stands in the request; Barbican's own default.
	MaxPayload = 20_000
	// maxPerProject is how many secrets, and how many containers, a project may have.
	maxPerProject = 10_000
	// maxContainerSecrets, maxConsumers, maxMetadata and maxReaders are how many of these a secret or a container may have.
	maxContainerSecrets = 100
	maxConsumers        = 1000
	maxMetadata         = 100
	maxReaders          = 1000
)

//go:embed migrations/*.sql
var migrations embed.FS

// Config is what a [Service] needs to know.
type Config struct {
	DB *database.DB
	// PublicURL is where clients reach the API, without a slash at the end: "http://127.0.0.1:9876/key-manager".
	PublicURL string
	// KeyFile is the path of the file with the keys. It is made at the first start.
	KeyFile string
	Log     *slog.Logger
}

// Service is the key manager.
type Service struct {
	db        *database.DB
	log       *slog.Logger
	publicURL string
	keys      *keyring
	onChange  func(ids ...string) // see OnChange
}

// New brings the tables up to date, reads or makes the key file, and returns the service. It fails when a secret in the
// database is encrypted with a key that the file does not have.
func New(ctx context.Context, c Config) (*Service, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("key manager migrations: %w", err)
	}
	if err := c.DB.Migrate(ctx, "barbican", files); err != nil {
		return nil, err
	}
	keys, err := openKeys(ctx, c.DB, c.KeyFile)
	if err != nil {
		return nil, err
	}
	return &Service{
		db: c.DB, log: c.Log, publicURL: strings.TrimRight(c.PublicURL, "/"), keys: keys, onChange: func(...string) {},
	}, nil
}

// openKeys reads the key file, and makes one only for a database that needs none yet.
func openKeys(ctx context.Context, db *database.DB, path string) (*keyring, error) {
	var needed []string
	err := db.NewSelect().Model((*secretRow)(nil)).Distinct().Column("key_id").Where("key_id IS NOT NULL").Scan(ctx, &needed)
	if err != nil {
		return nil, fmt.Errorf("keys in use: %w", err)
	}
	ring, err := readKeys(path)
	if errors.Is(err, fs.ErrNotExist) && len(needed) == 0 {
		return makeKeys(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("key file %s is gone, and the database has secrets that only it can decrypt; restore it from a copy", path)
	}
	if err != nil {
		return nil, err
	}
	for _, id := range needed {
		if _, known := ring.keys[id]; !known {
			return nil, fmt.Errorf("key file %s is not the one of this database: it lacks key %s, which secrets are encrypted with", path, id)
		}
	}
	return ring, nil
}

// Handler serves the API; the prefix of [Config.PublicURL] is already stripped from its requests. It stands behind
// [rest.Authenticate].
func (s *Service) Handler() http.Handler {
	return rest.Routes(s.routes(), s.writeFault)
}

func (s *Service) String() string { return "key manager" }

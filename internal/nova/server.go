package nova

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"poise/internal/rest"
)

const (
	maxMetadata = 128 // entries
	maxText     = 255 // characters of a key or value
)

// server is one row.
type server struct {
	bun.BaseModel `bun:"table:nova_servers,alias:s"`
	ID            string            `bun:"id,pk"`
	ProjectID     string            `bun:"project_id"`
	UserID        string            `bun:"user_id"`
	Name          string            `bun:"name"`
	Stopped       bool              `bun:"stopped"`
	Metadata      map[string]string `bun:"metadata"`
	Ports         []string          `bun:"ports"`
	Revision      int64             `bun:"revision"`
	CreatedAt     string            `bun:"created_at"`
	UpdatedAt     string            `bun:"updated_at"`
}

func timestamp() string { return time.Now().UTC().Format(time.RFC3339) }

// nameForm is what a server may be called: a host name's label. A name becomes an argument of a program that reads it
// as a command (see [startNcat]), so nothing else is let in.
var nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// program is what answers on a server's port.
type program string

const (
	builtin program = ""     // the greeter in this process
	ncat    program = "ncat" // the real one, where it is installed
)

// service is what a server's metadata ask for.
type service struct {
	port    uint16 // 0: no service
	program program
}

// serviceOf reads the metadata greet_port, service ("on" or "off") and program ("ncat").
func serviceOf(metadata map[string]string) (service, error) {
	wanted := service{}
	if text, ok := metadata["greet_port"]; ok {
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil || port == 0 {
			return wanted, badRequest("greet_port must be a TCP port, not '%s'", text)
		}
		wanted.port = uint16(port)
	}
	switch metadata["service"] {
	case "", "on":
	case "off":
		wanted.port = 0
	default:
		return wanted, badRequest("service must be 'on' or 'off', not '%s'", metadata["service"])
	}
	switch wanted.program = program(metadata["program"]); wanted.program {
	case builtin, ncat:
		return wanted, nil
	}
	return wanted, badRequest("program must be 'ncat' or absent, not '%s'", metadata["program"])
}

func checkMetadata(metadata map[string]string) error {
	if len(metadata) > maxMetadata {
		return badRequest("a server has at most %d metadata items", maxMetadata)
	}
	for key, value := range metadata {
		if key == "" || utf8.RuneCountInString(key) > maxText || utf8.RuneCountInString(value) > maxText {
			return badRequest("metadata keys and values have 1 to %d characters", maxText)
		}
	}
	_, err := serviceOf(metadata)
	return err
}

// visible narrows to what the caller may see; everywhere adds the other projects for an administrator.
func visible(c rest.Caller, everywhere bool) func(*bun.SelectQuery) *bun.SelectQuery {
	return func(q *bun.SelectQuery) *bun.SelectQuery {
		if everywhere && isAdmin(c) {
			return q
		}
		return q.Where("s.project_id = ? AND s.project_id <> ''", c.ProjectID)
	}
}

func isAdmin(c rest.Caller) bool { return c.IsAdmin() }

// admin is the caller for what the service does of its own accord.
var admin = rest.Caller{Roles: []string{"admin"}}

func (s *Service) list(ctx context.Context, narrow func(*bun.SelectQuery) *bun.SelectQuery) ([]*server, error) {
	rows := []*server{}
	if err := s.db.NewSelect().Model(&rows).Apply(narrow).Order("s.created_at DESC", "s.id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("servers: %w", err)
	}
	return rows, nil
}

// find looks a server up with the caller's eyes.
func (s *Service) find(ctx context.Context, db bun.IDB, c rest.Caller, id string) (*server, error) {
	rows := []*server{}
	if err := db.NewSelect().Model(&rows).Apply(visible(c, true)).Where("s.id = ?", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	if len(rows) == 0 {
		return nil, notFound("Instance %s could not be found.", id)
	}
	return rows[0], nil
}

// edit changes one server and waits until the change is real.
func (s *Service) edit(ctx context.Context, c rest.Caller, id string, f func(*server) error) (*server, error) {
	var row *server
	err := s.db.Tx(ctx, func(ctx context.Context, tx bun.Tx) (err error) {
		if row, err = s.find(ctx, tx, c, id); err != nil {
			return err
		}
		row.Metadata = maps.Clone(row.Metadata)
		if err := f(row); err != nil {
			return err
		}
		row.Revision++
		row.UpdatedAt = timestamp()
		if _, err := tx.NewUpdate().Model(row).WherePK().Exec(ctx); err != nil {
			return fmt.Errorf("server update: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.machines.settle(ctx, id)
	return row, nil
}

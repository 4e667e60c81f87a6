package barbican

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// entity is what secrets and containers have in common.
type entity struct {
	ID        string `bun:",pk"`
	ProjectID string
	CreatorID string
	Name      string `bun:",nullzero"`
	CreatedAt int64  // microseconds since 1970, as UpdatedAt
	UpdatedAt int64
}

type secretRow struct {
	bun.BaseModel `bun:"table:barbican_secret,alias:e"`

	entity
	ExpiresAt   int64 // microseconds since 1970, 0: never
	SecretType  string
	Algorithm   string `bun:",nullzero"`
	BitLength   int    `bun:",nullzero"`
	Mode        string `bun:",nullzero"`
	ContentType string `bun:",nullzero"` // "": no payload yet
	sealed
}

// withoutPayload are the columns of a secret that are not the sealed payload.
var withoutPayload = []string{
	"id", "project_id", "creator_id", "name", "created_at", "updated_at", "expires_at", "secret_type", "algorithm",
	"bit_length", "mode", "content_type",
}

type metadataRow struct {
	bun.BaseModel `bun:"table:barbican_metadata,alias:m"`

	SecretID string
	Key      string
	Value    string
}

type containerRow struct {
	bun.BaseModel `bun:"table:barbican_container,alias:e"`

	entity
	Type string
}

type containerSecretRow struct {
	bun.BaseModel `bun:"table:barbican_container_secret,alias:cs"`

	ContainerID string
	SecretID    string
	Name        string
}

type aclRow struct {
	bun.BaseModel `bun:"table:barbican_acl,alias:a"`

	EntityID      string `bun:",pk"`
	ProjectAccess bool
	CreatedAt     int64
	UpdatedAt     int64
}

type aclUserRow struct {
	bun.BaseModel `bun:"table:barbican_acl_user,alias:au"`

	EntityID string
	UserID   string
}

type consumerRow struct {
	bun.BaseModel `bun:"table:barbican_consumer,alias:c"`

	EntityID     string
	Service      string
	ResourceType string
	ResourceID   string
	ProjectID    string
	CreatedAt    int64
}

// kind is one of the two kinds of entities.
type kind struct {
	path  string // in addresses: "secrets"
	ref   string // in bodies: "secret_ref"
	table bun.Ident
}

var (
	secrets    = kind{path: "secrets", ref: "secret_ref", table: "barbican_secret"}
	containers = kind{path: "containers", ref: "container_ref", table: "barbican_container"}
)

func now() int64 { return time.Now().UnixMicro() }

// unexpired narrows a query of secrets to those that are still there.
func unexpired(query *bun.SelectQuery) *bun.SelectQuery {
	return query.Where("(e.expires_at = 0 OR e.expires_at > ?)", now())
}

// find reads whose the entity with the id is, whoever asks.
func (k kind) find(ctx context.Context, db bun.IDB, id string) (entity, error) {
	var e entity
	query := db.NewSelect().TableExpr("? AS e", k.table).ColumnExpr("e.id, e.project_id, e.creator_id").Where("e.id = ?", id)
	if k == secrets {
		unexpired(query)
	}
	return e, k.found(query.Scan(ctx, &e.ID, &e.ProjectID, &e.CreatorID), id)
}

// found gives the error of a query for one entity its meaning.
func (k kind) found(err error, id string) error {
	if errors.Is(err, sql.ErrNoRows) {
		return errNotFound(k)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", k.path, id, err)
	}
	return nil
}

// touch notes that something of the entity changes, and fails when it is gone. It comes first in a transaction: until its
// end, others who change the same entity wait.
func (k kind) touch(ctx context.Context, tx bun.Tx, id string) error {
	return mustChange(ctx, tx.NewUpdate().TableExpr("?", k.table).Set("updated_at = ?", now()).Where("id = ?", id), errNotFound(k))
}

// remove deletes the entity and what hangs on it.
func (k kind) remove(ctx context.Context, tx bun.Tx, id string) error {
	if _, err := tx.NewDelete().Model((*aclRow)(nil)).Where("entity_id = ?", id).Exec(ctx); err != nil {
		return err
	}
	if _, err := tx.NewDelete().Model((*consumerRow)(nil)).Where("entity_id = ?", id).Exec(ctx); err != nil {
		return err
	}
	return mustChange(ctx, tx.NewDelete().TableExpr("?", k.table).Where("id = ?", id), errNotFound(k))
}

// statement is an UPDATE or a DELETE.
type statement interface {
	Exec(ctx context.Context, dest ...any) (sql.Result, error)
}

// mustChange runs the statement, and fails with missing when it finds no row.
func mustChange(ctx context.Context, s statement, missing error) error {
	result, err := s.Exec(ctx)
	if err != nil {
		return err
	}
	if count, err := result.RowsAffected(); err != nil || count == 0 {
		return errors.Join(err, missing)
	}
	return nil
}

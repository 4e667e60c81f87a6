// Package database opens poise's SQL database and brings its tables up to date. Two engines are equal: SQLite, embedded
// in one file, and PostgreSQL. Rooms that keep something (store, keystone, neutron, nova) own their tables and nobody
// else's: each brings its own migrations, in SQL that both engines read alike, and queries through bun.
package database

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	goosedb "github.com/pressly/goose/v3/database"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// maxConnections bounds the connections of one process to the database.
	maxConnections = 8
	// connectTimeout bounds a connection to PostgreSQL, unless its address says otherwise (connect_timeout).
	connectTimeout = 5 * time.Second
	// busyTimeout is how long SQLite waits for another writer before it gives up with "busy".
	busyTimeout = 10 * time.Second
	// maxAttempts bounds how often [DB.Tx] tries a transaction that lost a race.
	maxAttempts = 10
)

// DB is an open database.
type DB struct {
	*bun.DB
	engine goosedb.Dialect
	writer sync.Mutex // held by a transaction on SQLite: its writers then queue fairly instead of polling its lock

	sqlite *sqliteFile // nil on PostgreSQL
	file   *os.File    // locked, see Lock

	postgres *pgx.ConnConfig // nil on SQLite
	token    string          // of this process
	session  *pgx.Conn       // holds the lock
	locked   atomic.Bool
}

// Open opens the database at where: a postgres:// address, or the path of a SQLite file, which is created with
// mode 0600 when it is not there.
func Open(ctx context.Context, where string) (*DB, error) {
	if strings.HasPrefix(where, "postgres://") || strings.HasPrefix(where, "postgresql://") {
		return openPostgres(ctx, where)
	}
	return openSQLite(ctx, where)
}

func openPostgres(ctx context.Context, address string) (*DB, error) {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, fmt.Errorf("postgres address: %w", err)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	db := &DB{engine: goosedb.DialectPostgres, postgres: config, token: strings.ToLower(rand.Text())}
	config.RuntimeParams["application_name"] = applicationName(db.token)
	pool := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(db.checkHolder))
	pool.SetMaxOpenConns(maxConnections)
	pool.SetMaxIdleConns(maxConnections)
	if err := pool.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("postgres: %w", err), pool.Close())
	}
	db.DB = bun.NewDB(pool, pgdialect.New())
	return db, nil
}

// Close gives the lock back, if it is held, after the last connection.
func (db *DB) Close() error {
	err := db.DB.Close()
	if db.file != nil {
		err = errors.Join(err, db.file.Close())
	}
	return err
}

// Migrate brings the tables of one room up to date. migrations holds goose's numbered .sql files at its top; room
// names the table in which their progress is kept.
func (db *DB) Migrate(ctx context.Context, room string, migrations fs.FS) error {
	progress, err := goosedb.NewStore(db.engine, "migrations_"+room)
	if err != nil {
		return fmt.Errorf("migrations of %s: %w", room, err)
	}
	provider, err := goose.NewProvider(goosedb.DialectCustom, db.DB.DB, migrations, goose.WithStore(progress))
	if err != nil {
		return fmt.Errorf("migrations of %s: %w", room, err)
	}
	if err := refuseNewer(ctx, provider); err != nil {
		return fmt.Errorf("tables of %s: %w", room, err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrations of %s: %w", room, err)
	}
	return nil
}

// refuseNewer refuses tables that a later poise has made: nobody knows what this one would do to them.
func refuseNewer(ctx context.Context, provider *goose.Provider) error {
	is, err := provider.GetDBVersion(ctx)
	if err != nil {
		return err
	}
	known := int64(0)
	for _, source := range provider.ListSources() {
		known = max(known, source.Version)
	}
	if is > known {
		return fmt.Errorf("the database has version %d of them, and this poise knows no later one than %d; start a newer poise", is, known)
	}
	return nil
}

// Tx runs f in one transaction and commits it when f returns nil. A transaction that lost a race with another (a
// serialization failure, a deadlock, a busy SQLite) is run again, so f must not have effects outside of tx.
func (db *DB) Tx(ctx context.Context, f func(ctx context.Context, tx bun.Tx) error) error {
	if db.engine == goosedb.DialectSQLite3 {
		db.writer.Lock()
		defer db.writer.Unlock()
	}
	for attempt := 1; ; attempt++ {
		err := db.RunInTx(ctx, nil, f)
		if err == nil || !lostRace(err) || attempt == maxAttempts || ctx.Err() != nil {
			return err
		}
	}
}

func lostRace(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "40001" || pg.Code == "40P01" // serialization_failure, deadlock_detected
	}
	var lite *sqlite.Error
	return errors.As(err, &lite) && lite.Code()&0xff == sqlite3.SQLITE_BUSY
}

// IsDuplicate tells whether err is a violation of a unique constraint or primary key.
func IsDuplicate(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23505" // unique_violation
	}
	var lite *sqlite.Error
	return errors.As(err, &lite) &&
		(lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || lite.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
}

// IsReference tells whether err is a violation of a foreign key: what is referred to is not there, or what is to go is
// referred to.
func IsReference(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23503" // foreign_key_violation
	}
	var lite *sqlite.Error
	return errors.As(err, &lite) && lite.Code() == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY
}

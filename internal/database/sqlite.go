package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	goosedb "github.com/pressly/goose/v3/database"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
)

const (
	// roomNeeded is how many free bytes the disk must have before a database that was opened on a
	// full disk shares its index again.
	roomNeeded = 1 << 20
	// roomInterval is how often that is looked at.
	roomInterval = time.Second
)

// sqliteFile makes the connections to a SQLite file. Usually they share an index of the write-ahead
// log, which is a file beside it (-shm). On a full disk that file cannot be made: then there is one
// connection, and its index is in memory.
type sqliteFile struct {
	path           string
	shared, single driver.Connector
	isSingle       atomic.Bool
}

// openSQLite uses the write-ahead log with a full sync at each commit, so that what was
// acknowledged survives a power cut as well, and takes the write lock at the start of each
// transaction, so that two writers queue instead of failing.
func openSQLite(ctx context.Context, path string) (*DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("database directory: %w", err)
	}
	created, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // SQLite gives its side files the same mode
	if err != nil {
		return nil, fmt.Errorf("database file: %w", err)
	}
	if err := created.Close(); err != nil {
		return nil, fmt.Errorf("database file: %w", err)
	}
	file := &sqliteFile{path: path}
	if file.shared, err = file.connector(); err != nil {
		return nil, err
	}
	// https://sqlite.org/wal.html, "Use of WAL Without Shared-Memory"
	if file.single, err = file.connector("locking_mode(EXCLUSIVE)"); err != nil {
		return nil, err
	}
	pool := sql.OpenDB(file)
	pool.SetMaxOpenConns(maxConnections)
	pool.SetMaxIdleConns(maxConnections)
	err = pool.PingContext(ctx)
	if err != nil && IsFull(err) {
		file.isSingle.Store(true)
		pool.SetMaxOpenConns(1)
		err = pool.PingContext(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite %s: %w", path, err), pool.Close())
	}
	return &DB{DB: bun.NewDB(pool, sqlitedialect.New()), engine: goosedb.DialectSQLite3, sqlite: file}, nil
}

// connector makes connections with pragmas that come before the first access to the log.
func (f *sqliteFile) connector(pragmas ...string) (driver.Connector, error) {
	options := url.Values{
		"_pragma": pragmas, "_journal_mode": {"WAL"}, "_synchronous": {"FULL"}, "_foreign_keys": {"1"},
		"_busy_timeout": {strconv.FormatInt(busyTimeout.Milliseconds(), 10)}, "_txlock": {"immediate"},
	}
	c, err := sqlite.NewConnector("file:" + (&url.URL{Path: f.path}).EscapedPath() + "?" + options.Encode())
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	return c, nil
}

// Connect implements [driver.Connector].
func (f *sqliteFile) Connect(ctx context.Context) (driver.Conn, error) {
	if f.isSingle.Load() {
		return f.single.Connect(ctx)
	}
	return f.shared.Connect(ctx)
}

// Driver implements [driver.Connector].
func (f *sqliteFile) Driver() driver.Driver { return f.shared.Driver() }

// hasRoom tells whether the disk has room again.
func (f *sqliteFile) hasRoom() bool {
	var disk unix.Statfs_t
	return unix.Statfs(filepath.Dir(f.path), &disk) == nil && disk.Bavail*uint64(disk.Bsize) >= roomNeeded
}

// awaitRoom waits, where there is one connection because the disk was full at the start, until
// there is room for more.
func (db *DB) awaitRoom(ctx context.Context) {
	ticker := time.NewTicker(roomInterval)
	defer ticker.Stop()
	for db.sqlite.isSingle.Load() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if db.sqlite.hasRoom() {
			db.share(ctx)
		}
	}
}

// share replaces the one connection by those that share an index, or goes back to it when there is
// no room after all.
func (db *DB) share(ctx context.Context) {
	only, err := db.DB.DB.Conn(ctx)
	if err != nil {
		return
	}
	db.sqlite.isSingle.Store(false)
	_ = only.Raw(func(any) error { return driver.ErrBadConn }) // has the pool close it
	_ = only.Close()
	if db.PingContext(ctx) != nil {
		db.sqlite.isSingle.Store(true)
		return
	}
	db.SetMaxOpenConns(maxConnections)
}

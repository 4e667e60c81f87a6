// Package databasetest runs a test on both database engines: a fresh SQLite file, and a fresh database of a private
// PostgreSQL server that lives as long as the test binary and listens on nothing but a socket in its own directory.
//
// A package that uses it stops the server at the end:
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(databasetest.Suite{M: m}) }
package databasetest

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"

	"poise/internal/database"
)

// Suite is all tests of a package, and the end of the server after them.
type Suite struct{ M *testing.M }

// Run runs the tests, stops the server if one was started, and returns the exit code.
func (s Suite) Run() int {
	code := s.M.Run()
	if err := theServer.stop(); err != nil {
		fmt.Println("PostgreSQL:", err)
		return max(code, 1)
	}
	return code
}

// Each runs f as the sub-tests "sqlite" and "postgres", each with an empty database of its own. The second is skipped
// where PostgreSQL's programs are not installed.
func Each(t *testing.T, f func(t *testing.T, db *database.DB)) {
	t.Run("sqlite", func(t *testing.T) { f(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { f(t, open(t, NewPostgres(t))) })
}

// SQLite opens an empty SQLite database for tests that do not ask about the engine.
func SQLite(t testing.TB) *database.DB {
	return open(t, filepath.Join(t.TempDir(), "test.db"))
}

func open(t testing.TB, where string) *database.DB {
	db, err := database.Open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("closing the database: %v", err)
		}
	})
	return db
}

var databases atomic.Int64

// NewPostgres creates an empty database and returns its address, for a process of its own. It goes away with the server.
func NewPostgres(t *testing.T) string {
	address := theServer.address(t)
	name := fmt.Sprintf("test%d", databases.Add(1))
	admin, err := sql.Open("pgx", address("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	if _, err := admin.ExecContext(context.Background(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return address(name)
}

// socketAddress is how pgx reaches a database through the socket in dir.
func socketAddress(dir, name string) string {
	query := url.Values{"host": {dir}, "user": {superuser}}
	return "postgres:///" + name + "?" + query.Encode()
}

package database_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"poise/internal/database"
	"poise/internal/database/databasetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(databasetest.Suite{M: m}) }

func open(t *testing.T, where string) *database.DB {
	t.Helper()
	db, err := database.Open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func eachAddress(t *testing.T, f func(t *testing.T, address string)) {
	t.Run("sqlite", func(t *testing.T) { f(t, filepath.Join(t.TempDir(), "test.db")) })
	t.Run("postgres", func(t *testing.T) { f(t, databasetest.NewPostgres(t)) })
}

// TestSecondServerIsRefused wants the second server on one database told who the first one is.
func TestSecondServerIsRefused(t *testing.T) {
	eachAddress(t, func(t *testing.T, address string) {
		first, second := open(t, address), open(t, address)
		me := database.Holder{Host: "one.example", PID: 4711, DataDir: "/data/one", Since: time.Unix(1_700_000_000, 0)}
		if err := first.Lock(t.Context(), me); err != nil {
			t.Fatal(err)
		}
		err := second.Lock(t.Context(), database.Holder{Host: "two.example", PID: 4712, DataDir: "/data/two", Since: time.Now()})
		var held *database.HeldError
		if !errors.As(err, &held) || held.By.Host != me.Host || held.By.PID != me.PID || held.By.DataDir != me.DataDir ||
			!held.By.Since.Equal(me.Since) {
			t.Errorf("the second server is told %v", err)
		}
	})
}

// TestLockIsTakenAgain ends the session of the lock: its server takes it again, in another session.
func TestLockIsTakenAgain(t *testing.T) {
	address := databasetest.NewPostgres(t)
	db, other := open(t, address), open(t, address)
	hold(t, db)
	ended := keep(t, db)
	endSessions(t, other)
	eventually(t, "the lock is held again", func() bool { return holders(t, other) == 1 })
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE mine (id BIGINT)"); err != nil {
		t.Errorf("the holder cannot write: %v", err)
	}
	select {
	case err := <-ended:
		t.Errorf("the server ends: %v", err)
	default:
	}
}

// TestLostLockFencesOff has another server take the lock while the first one has no session. The first one can change
// nothing any more, and is told to end.
func TestLostLockFencesOff(t *testing.T) {
	address := databasetest.NewPostgres(t)
	first, second := open(t, address), open(t, address)
	hold(t, first)
	endSessions(t, second) // the first one does not look after its lock yet
	if err := second.Lock(t.Context(), database.Holder{Host: "two.example", PID: 2, DataDir: "/two", Since: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if _, err := first.ExecContext(t.Context(), "CREATE TABLE mine (id BIGINT)"); err == nil || !database.IsUnavailable(err) {
		t.Errorf("who has lost the lock writes: %v", err)
	}
	err := <-keep(t, first)
	var held *database.HeldError
	if !errors.As(err, &held) || held.By.Host != "two.example" {
		t.Errorf("who has lost the lock is told %v", err)
	}
	if _, err := second.ExecContext(t.Context(), "CREATE TABLE mine (id BIGINT)"); err != nil {
		t.Error(err)
	}
}

func hold(t *testing.T, db *database.DB) {
	t.Helper()
	host, _ := os.Hostname()
	if err := db.Lock(t.Context(), database.Holder{Host: host, PID: os.Getpid(), DataDir: "/one", Since: time.Now()}); err != nil {
		t.Fatal(err)
	}
}

func keep(t *testing.T, db *database.DB) <-chan error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended, done := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(done)
		ended <- db.KeepLock(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return ended
}

// endSessions ends every session of the database but that of the caller, as a broken network would.
func endSessions(t *testing.T, db *database.DB) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the lock is free", func() bool { return holders(t, db) == 0 })
}

func holders(t *testing.T, db *database.DB) (n int) {
	t.Helper()
	err := db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
		WHERE locktype = 'advisory' AND datname = current_database()`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: ", what)
		}
	}
}

// TestNewerTablesAreRefused starts an older poise on what a newer one has made.
func TestNewerTablesAreRefused(t *testing.T) {
	one := fstest.MapFS{"00001_a.sql": {Data: []byte("-- +goose Up\nCREATE TABLE a (id BIGINT);\n")}}
	two := fstest.MapFS{"00001_a.sql": one["00001_a.sql"], "00002_b.sql": {Data: []byte("-- +goose Up\nCREATE TABLE b (id BIGINT);\n")}}
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		if err := db.Migrate(t.Context(), "room", two); err != nil {
			t.Fatal(err)
		}
		err := db.Migrate(t.Context(), "room", one)
		if err == nil || !strings.Contains(err.Error(), "version 2") || !strings.Contains(err.Error(), "than 1") {
			t.Errorf("tables of version 2 are taken by who knows 1: %v", err)
		}
		if err := db.Migrate(t.Context(), "room", two); err != nil {
			t.Error(err)
		}
	})
}

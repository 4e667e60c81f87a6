package database_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"poise/internal/database"
	"poise/internal/testhost"
)

// TestOpenOnFullDisk opens a SQLite file while the disk is full, after a clean end and after a
// crash. What was committed can be read; a change is refused, and works once there is room, with as
// many connections as ever.
func TestOpenOnFullDisk(t *testing.T) {
	for name, crash := range map[string]bool{"clean": false, "crash": true} {
		t.Run(name, func(t *testing.T) {
			disk := testhost.SmallDisk(t)
			path := filepath.Join(disk, "test.db")
			before := open(t, path)
			exec(t, before, "CREATE TABLE kept (x TEXT)")
			exec(t, before, "INSERT INTO kept VALUES ('before')")
			if crash {
				copyFile(t, filepath.Join(disk, "crashed.db"), path)
				path = filepath.Join(disk, "crashed.db")
			}
			if err := before.Close(); err != nil {
				t.Fatal(err)
			}
			free := testhost.Fill(t, disk)
			db := open(t, path)
			hold(t, db)
			keep(t, db)
			if got := kept(t, db); got != "before" {
				t.Errorf("on the full disk there is %q", got)
			}
			if _, err := db.ExecContext(t.Context(), "INSERT INTO kept VALUES (?)", "refused"); !database.IsFull(err) {
				t.Errorf("a change on the full disk: %v", err)
			}
			free()
			exec(t, db, "UPDATE kept SET x = 'after'")
			eventually(t, "many connections", func() bool { return db.Stats().MaxOpenConnections > 1 })
			var together sync.WaitGroup
			for range 100 {
				together.Go(func() {
					if got := kept(t, db); got != "after" {
						t.Errorf("with room there is %q", got)
					}
				})
			}
			together.Wait()
		})
	}
}

func exec(t *testing.T, db *database.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(statement, err)
	}
}

func kept(t *testing.T, db *database.DB) (x string) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT x FROM kept").Scan(&x); err != nil {
		t.Error(err)
	}
	return x
}

// copyFile makes a copy as a crash leaves the file: with its log, whose changes are not in the file
// yet.
func copyFile(t *testing.T, to, from string) {
	t.Helper()
	for _, suffix := range []string{"", "-wal"} {
		text, err := os.ReadFile(from + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to+suffix, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

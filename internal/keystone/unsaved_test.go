package keystone_test

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"poise/internal/database"
	"poise/internal/database/databasetest"
	"poise/internal/keystone"
	"poise/internal/testhost"
)

// eachFull runs f on each engine. full makes the database take no changes, and free ends that.
func eachFull(t *testing.T, f func(t *testing.T, db *database.DB, full func() (free func()))) {
	t.Run("sqlite", func(t *testing.T) {
		disk := testhost.SmallDisk(t)
		db := openAt(t, filepath.Join(disk, "test.db"))
		f(t, db, func() func() {
			if _, err := db.ExecContext(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
				t.Fatal(err)
			}
			return testhost.Fill(t, disk)
		})
	})
	t.Run("postgres", func(t *testing.T) {
		db := openAt(t, databasetest.NewPostgres(t))
		readOnly := func(is string) {
			t.Helper()
			c, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, statement := range []string{"SET default_transaction_read_only = off", `DO $$ BEGIN EXECUTE
				format('ALTER DATABASE %I SET default_transaction_read_only = ` + is + `', current_database()); END $$`} {
				if _, err := c.ExecContext(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			db.SetMaxIdleConns(-1) // new sessions begin with it
			db.SetMaxIdleConns(2)
		}
		f(t, db, func() func() {
			readOnly("on")
			return func() { t.Helper(); readOnly("off") }
		})
	})
}

func openAt(t *testing.T, where string) *database.DB {
	t.Helper()
	db, err := database.Open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// TestSignInOnFullDisk signs in while the database takes no changes. The tokens work, can be
// exchanged and given back, outlive the full disk, and end as others do. The log says once that
// sources are not remembered.
func TestSignInOnFullDisk(t *testing.T) {
	eachFull(t, func(t *testing.T, db *database.DB, full func() func()) {
		var log safeBuffer
		c := newCloudWith(t, db, func(k *keystone.Config) { k.Log = slog.New(slog.NewTextHandler(&log, nil)) })
		admin := c.admin()
		project := admin.want(201, "POST", "/v3/projects", object{"project": object{"name": "p"}}).text("project", "id")
		free := full()
		var people []*cloud
		for range 3 {
			people = append(people, c.demo())
		}
		who := people[0].want(200, "GET", "/v3/auth/tokens", nil, "X-Subject-Token", people[0].token)
		if got := who.text("token", "project", "name"); got != "demo" {
			t.Errorf("the token is for %q", got)
		}
		exchange := object{"auth": object{"identity": object{"methods": []string{"token"}, "token": object{"id": people[0].token}}}}
		second := c.with(people[0].want(201, "POST", "/v3/auth/tokens", exchange).header.Get("X-Subject-Token"))
		people[1].want(204, "DELETE", "/v3/auth/tokens", nil, "X-Subject-Token", people[1].token)
		people[1].want(401, "GET", "/v3/auth/projects", nil)
		c.want(401, "POST", "/v3/auth/tokens", passwordAuth("demo", "wrong", nil))
		if answer := admin.call("PATCH", "/v3/projects/"+project, object{"project": object{"description": "full"}}); answer.status < 500 {
			t.Errorf("a change of the full database: %d", answer.status)
		}
		people[0].want(200, "GET", "/v3/auth/projects", nil) // a change that failed has ended nothing
		if n := strings.Count(log.String(), "not remembered"); n != 1 {
			t.Errorf("%d lines of the log say that sources are not remembered, want 1:\n%s", n, log.String())
		}
		free()
		saved := func() (n int) {
			if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM keystone_token").Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		before := saved()
		c.service.SaveNow(t.Context())
		if got := saved() - before; got != 3 {
			t.Errorf("%d tokens were saved, want those of 2 people and 1 exchanged", got)
		}
		admin.want(200, "PATCH", "/v3/projects/"+project, object{"project": object{"description": "free"}})
		for _, one := range []*cloud{people[0], people[2], second} {
			one.want(200, "GET", "/v3/auth/projects", nil)
		}
	})
}

// TestRevokedOnFullDisk changes the password of somebody whose token is not saved yet, and of
// somebody while tokens are made.
func TestRevokedOnFullDisk(t *testing.T) {
	eachFull(t, func(t *testing.T, db *database.DB, full func() func()) {
		c := newCloud(t, db)
		free := full()
		unsaved := c.demo()
		free()
		c.want(204, "POST", "/v3/users/"+c.userID("demo")+"/password", object{"user": object{
			"password": "another password", "original_password": demoPassword,
		}})
		unsaved.want(401, "GET", "/v3/auth/projects", nil)
		c.service.SaveNow(t.Context())
		unsaved.want(401, "GET", "/v3/auth/projects", nil)
	})
}

// userID is the id of a user of the default domain.
func (c *cloud) userID(name string) string {
	c.Helper()
	list, _ := c.admin().want(200, "GET", "/v3/users?name="+name, nil).dig("users").([]any)
	if len(list) != 1 {
		c.Fatalf("users %s: %v", name, list)
	}
	id, _ := list[0].(object)["id"].(string)
	return id
}

// safeBuffer is a buffer that several goroutines use.
type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

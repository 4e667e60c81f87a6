package barbican_test

import (
	"bytes"
	"encoding/base64"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"poise/internal/barbican"
	"poise/internal/database"
	"poise/internal/database/databasetest"
)

const plaintext = "the quick brown fox guards the private key"

// Neither the database's files nor the log ever hold the payload or a key, whether all goes well or not.
func TestPayloadIsEncryptedAtRest(t *testing.T) {
	dir := t.TempDir()
	db, err := database.Open(t.Context(), filepath.Join(dir, "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	v := newVault(t, db)
	settings := config(db, v.keyFile)
	settings.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if v.service, err = barbican.New(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	ref := v.store(plaintext, "name", "marker of the row")
	twoSteps := v.want(201, "POST", "/v1/secrets", object{}).dig("secret_ref").(string)
	v.want(204, "PUT", twoSteps, plaintext, "Content-Type", "text/plain")
	v.want(200, "GET", ref+"/payload", nil)
	if _, err := db.ExecContext(t.Context(), "UPDATE barbican_secret SET project_id = 'shop'"); err != nil {
		t.Fatal(err)
	}
	v.as(bob).want(500, "GET", ref+"/payload", nil)
	keys, err := os.ReadFile(v.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	key := strings.Fields(string(keys))
	raw, err := base64.StdEncoding.DecodeString(key[len(key)-1])
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"marker of the row", "is damaged"} {
		if !found(t, dir, form) {
			t.Errorf("the search does not find %q, which is in the database or the log", form)
		}
	}
	for _, form := range []string{
		plaintext, base64.StdEncoding.EncodeToString([]byte(plaintext)), plaintext[:16], plaintext[20:], key[len(key)-1], string(raw),
	} {
		if found(t, dir, form) {
			t.Errorf("%q is in the database's files or in the log", form)
		}
	}
}

// found tells whether a file of the directory holds the text.
func found(t *testing.T, dir, text string) bool {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte(text)) {
			return true
		}
	}
	return false
}

func TestKeyFileIsPrivateAndStays(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		v := newVault(t, db)
		first, err := os.ReadFile(v.keyFile)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(v.keyFile)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v: %v", info.Mode(), err)
		}
		if entries, err := os.ReadDir(filepath.Dir(v.keyFile)); err != nil || len(entries) != 1 {
			t.Errorf("beside the key file there is more: %v, %v", entries, err)
		}
		ref := v.store(plaintext)
		v.service = open(t, db, v.keyFile)
		second, err := os.ReadFile(v.keyFile)
		if err != nil || !bytes.Equal(first, second) {
			t.Errorf("the second start changed the key file: %v", err)
		}
		if got := v.want(200, "GET", ref+"/payload", nil).text; got != plaintext {
			t.Errorf("payload after a restart: %q", got)
		}
	})
}

func TestStartWithAnotherKeyFile(t *testing.T) {
	tests := map[string]struct {
		change func(path string, text []byte) error
		says   string
	}{
		"lost":  {func(path string, _ []byte) error { return os.Remove(path) }, "is gone"},
		"empty": {func(path string, _ []byte) error { return os.WriteFile(path, nil, 0o600) }, "no key"},
		"cut off": {func(path string, text []byte) error {
			return os.WriteFile(path, text[:len(text)-10], 0o600)
		}, "damaged"},
		"changed": {func(path string, text []byte) error {
			return os.WriteFile(path, bytes.Replace(text, text[len(text)-9:len(text)-5], []byte("AAAA"), 1), 0o600)
		}, "damaged"},
		"garbage": {func(path string, _ []byte) error { return os.WriteFile(path, []byte("\x00\xff\n"), 0o600) }, "an id and a key"},
		"another database's": {func(path string, _ []byte) error {
			text, err := os.ReadFile(newVault(t, databasetest.SQLite(t)).keyFile)
			if err != nil {
				return err
			}
			return os.WriteFile(path, text, 0o600)
		}, "not the one of this database"},
		"too long": {func(path string, _ []byte) error {
			return os.WriteFile(path, bytes.Repeat([]byte("#"), 1<<20), 0o600)
		}, "longer than"},
		"a directory": {func(path string, _ []byte) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Mkdir(path, 0o700)
		}, "is a directory"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			db := databasetest.SQLite(t)
			v := newVault(t, db)
			v.store(plaintext)
			text, err := os.ReadFile(v.keyFile)
			if err != nil {
				t.Fatal(err)
			}
			if err := test.change(v.keyFile, text); err != nil {
				t.Fatal(err)
			}
			_, err = barbican.New(t.Context(), config(db, v.keyFile))
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("start says %v, want %q", err, test.says)
			}
			key := strings.Fields(string(text))
			if err != nil && strings.Contains(err.Error(), key[len(key)-1]) {
				t.Error("the error tells the key")
			}
		})
	}
}

// A crash before the first start is over leaves no half of a key file: what it may leave is in the way of nothing.
func TestKeyFileAfterACrash(t *testing.T) {
	keyFile := filepath.Join(t.TempDir(), "secrets.key")
	if err := os.WriteFile(keyFile+".new-123", []byte("# half a"), 0o600); err != nil {
		t.Fatal(err)
	}
	db := databasetest.SQLite(t)
	open(t, db, keyFile)
	open(t, db, keyFile)
}

// Two servers that start at once on one directory agree on one key.
func TestKeyFileIsMadeOnce(t *testing.T) {
	db := databasetest.SQLite(t)
	v := newVault(t, db)
	keyFile := filepath.Join(t.TempDir(), "secrets.key")
	done := make(chan error)
	services := make([]*barbican.Service, 4)
	for i := range services {
		go func() {
			var err error
			services[i], err = barbican.New(t.Context(), config(db, keyFile))
			done <- err
		}()
	}
	for range services {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	v.service = services[0]
	ref := v.store(plaintext)
	for _, v.service = range services {
		v.want(200, "GET", ref+"/payload", nil)
	}
}

// Rotation: a new key in front of the old one encrypts what comes, and the old one still decrypts what there is.
func TestRotatedKeyFile(t *testing.T) {
	db := databasetest.SQLite(t)
	v := newVault(t, db)
	before := v.store("before")
	other, err := os.ReadFile(newVault(t, databasetest.SQLite(t)).keyFile)
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(v.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(v.keyFile, append(other, old...), 0o600); err != nil {
		t.Fatal(err)
	}
	v.service = open(t, db, v.keyFile)
	after := v.store("after")
	for ref, want := range map[string]string{before: "before", after: "after"} {
		if got := v.want(200, "GET", ref+"/payload", nil).text; got != want {
			t.Errorf("payload %q, want %q", got, want)
		}
	}
	var keys []string
	if err := db.NewSelect().Table("barbican_secret").ColumnExpr("DISTINCT key_id").Scan(t.Context(), &keys); err != nil || len(keys) != 2 {
		t.Errorf("keys in use: %v, %v", keys, err)
	}
}

// Whoever can write to the database can neither change a payload nor give it to another secret or project.
func TestTamperedRow(t *testing.T) {
	tests := map[string]string{
		"payload":      "UPDATE barbican_secret SET sealed = (SELECT sealed FROM barbican_secret WHERE name = 'other') WHERE name = 'mine'",
		"key":          "UPDATE barbican_secret SET wrapped_key = (SELECT wrapped_key FROM barbican_secret WHERE name = 'other') WHERE name = 'mine'",
		"both":         "UPDATE barbican_secret SET (sealed, wrapped_key) = (SELECT sealed, wrapped_key FROM barbican_secret WHERE name = 'other') WHERE name = 'mine'",
		"project":      "UPDATE barbican_secret SET project_id = 'shop' WHERE name = 'mine'",
		"unknown key":  "UPDATE barbican_secret SET key_id = 'x' WHERE name = 'mine'",
		"nothing left": "UPDATE barbican_secret SET sealed = NULL, wrapped_key = NULL WHERE name = 'mine'",
	}
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		v := newVault(t, db)
		for name, statement := range tests {
			ref, other := v.store(plaintext, "name", "mine"), v.store("another payload", "name", "other")
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
			reader := v.as(alice)
			if name == "project" {
				reader = v.as(bob)
			}
			if got := reader.want(500, "GET", ref+"/payload", nil); strings.Contains(got.text, "payload is damaged") {
				t.Errorf("%s: the client is told %s", name, got.text)
			}
			reader.want(204, "DELETE", ref, nil)
			v.want(204, "DELETE", other, nil)
		}
	})
}

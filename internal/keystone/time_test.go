package keystone_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"poise/internal/database"
	"poise/internal/database/databasetest"
	"poise/internal/keystone"
	"poise/internal/rest"
)

// newService makes a service without a server, which can live in a bubble of faked time.
func newService(t testing.TB, db *database.DB) *keystone.Service {
	t.Helper()
	service, err := keystone.New(t.Context(), keystone.Config{
		DB: db, Region: "RegionOne", PublicURL: "http://127.0.0.1", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := service.Bootstrap(t.Context(), keystone.Accounts(adminPassword, demoPassword)); err != nil {
		t.Fatal(err)
	}
	return service
}

// login signs demo in and returns the status and the token.
func login(t testing.TB, service *keystone.Service, password string) (int, string) {
	t.Helper()
	body, err := json.Marshal(passwordAuth("demo", password, nil))
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	service.Handler().ServeHTTP(w, httptest.NewRequest("POST", "/v3/auth/tokens", strings.NewReader(string(body))))
	return w.Code, w.Header().Get("X-Subject-Token")
}

func TestTokensExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := databasetest.SQLite(t)
		service := newService(t, db)
		ctx, cancel := context.WithCancel(t.Context())
		swept := make(chan error)
		go func() { swept <- service.Run(ctx) }()

		_, token := login(t, service, demoPassword)
		time.Sleep(keystone.DefaultTokenLifetime - time.Minute)
		if _, err := service.Verify(ctx, token); err != nil {
			t.Errorf("a minute before the end: %v", err)
		}
		time.Sleep(time.Minute)
		if _, err := service.Verify(ctx, token); !errors.Is(err, rest.ErrUnauthenticated) {
			t.Errorf("at the end the token is good for %v", err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		kept, err := db.NewSelect().Table("keystone_token").Count(ctx)
		if err != nil || kept != 0 {
			t.Errorf("%d expired tokens are kept: %v", kept, err)
		}
		cancel()
		if err := <-swept; err != nil {
			t.Error(err)
		}
	})
}

func TestFailedLoginsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := newService(t, databasetest.SQLite(t))
		for range 4 {
			if status, _ := login(t, service, "wrong"); status != 401 {
				t.Fatalf("status %d", status)
			}
		}
		if status, _ := login(t, service, demoPassword); status != 429 {
			t.Errorf("after four failures: status %d", status)
		}
		time.Sleep(12 * time.Second)
		if status, _ := login(t, service, demoPassword); status != 201 {
			t.Errorf("twelve seconds later: status %d", status)
		}
	})
}

// BenchmarkVerify measures a token that is remembered and one that is read from the database.
func BenchmarkVerify(b *testing.B) {
	service := newService(b, databasetest.SQLite(b))
	_, token := login(b, service, demoPassword)
	b.Run("remembered", func(b *testing.B) {
		for b.Loop() {
			if _, err := service.Verify(b.Context(), token); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("unknown", func(b *testing.B) {
		for n := 0; b.Loop(); n++ {
			if _, err := service.Verify(b.Context(), fmt.Sprint(n)); !errors.Is(err, rest.ErrUnauthenticated) {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkLogin measures a login with a password, most of which is the hash.
func BenchmarkLogin(b *testing.B) {
	service := newService(b, databasetest.SQLite(b))
	for b.Loop() {
		if status, _ := login(b, service, demoPassword); status != 201 {
			b.Fatal(status)
		}
	}
}

// FuzzLogin sends bodies that nobody has foreseen; none of them signs in or upsets the service.
func FuzzLogin(f *testing.F) {
	service := newService(f, databasetest.SQLite(f))
	for _, scope := range []any{nil, "unscoped", onProject("demo"), object{"domain": object{"id": "default"}}} {
		body, err := json.Marshal(passwordAuth("nobody", "x", scope))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(body))
	}
	f.Add(`{"auth":{"identity":{"methods":["token"],"token":{"id":"x"}},"scope":{"system":null}}}`)
	f.Add(`{"auth":{"identity":{"methods":["application_credential"],"application_credential":{"name":"x","user":{"id":"y"}}}}}`)
	f.Fuzz(func(t *testing.T, body string) {
		w := httptest.NewRecorder()
		service.Handler().ServeHTTP(w, httptest.NewRequest("POST", "/v3/auth/tokens", strings.NewReader(body)))
		if w.Code != 400 && w.Code != 401 && w.Code != 429 {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
}

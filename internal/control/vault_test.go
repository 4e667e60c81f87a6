package control_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"poise/internal/barbican"
	"poise/internal/certificate"
	"poise/internal/control"
	"poise/internal/database"
	"poise/internal/dataplane"
	"poise/internal/rest"
)

// vault is a real key manager, in the words of the control plane.
type vault struct {
	certificate.Resolver
	*barbican.Service
	caller rest.Caller
}

func openVault(t *testing.T, db *database.DB) *vault {
	t.Helper()
	manager, err := barbican.New(t.Context(), barbican.Config{
		DB: db, PublicURL: "http://cloud.test", KeyFile: filepath.Join(filepath.Dir(t.TempDir()), "secrets.key") /* one for each test */, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	v := &vault{Service: manager, caller: rest.Caller{UserID: "u", ProjectID: "p", Roles: []string{"member"}}}
	v.Resolver = certificate.Resolver{Keys: doors{manager}, Projects: users{"p": {"u", "v"}}, Opener: certificate.NewOpener()}
	return v
}

var _ control.Secrets = (*vault)(nil)

func (v *vault) Certificate(ctx context.Context, projectID, ref string) (dataplane.Certificate, time.Time, error) {
	return v.Resolver.Certificate(ctx, projectID, ref)
}

// users are those of projects.
type users map[string][]string

func (u users) UsersOf(_ context.Context, projectID string) ([]string, error) {
	return u[projectID], nil
}

// doors are those of the key manager, with its refusals in the words of those who read certificates.
type doors struct{ manager *barbican.Service }

func (d doors) Payload(ctx context.Context, caller rest.Caller, ref string) ([]byte, string, error) {
	payload, contentType, err := d.manager.Payload(ctx, caller, ref)
	return payload, contentType, refusal(err)
}

func (d doors) Certificate(ctx context.Context, caller rest.Caller, ref string) (certificate.Parts, error) {
	c, err := d.manager.Certificate(ctx, caller, ref)
	return certificate.Parts(c), refusal(err)
}

func refusal(err error) error {
	if errors.Is(err, barbican.ErrRefused) {
		return errors.Join(certificate.ErrRefused, err)
	}
	return err
}

// call makes a request as the vault's caller.
func (v *vault) call(t *testing.T, method, path, contentType string, body []byte) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(rest.WithCaller(t.Context(), v.caller), method, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	v.Handler().ServeHTTP(w, r)
	return w
}

// store keeps a payload as a secret of the vault's caller and returns its address.
func (v *vault) store(t *testing.T, payload []byte) (ref string) {
	t.Helper()
	body, _ := json.Marshal(map[string]any{
		"payload": base64.StdEncoding.EncodeToString(payload), "payload_content_type": "application/octet-stream",
		"payload_content_encoding": "base64",
	})
	w := v.call(t, http.MethodPost, "/v1/secrets", "application/json", body)
	var made struct {
		Ref string `json:"secret_ref"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &made); w.Code != http.StatusCreated || err != nil {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return made.Ref
}

// replace replaces the payload of a secret.
func (v *vault) replace(t *testing.T, ref string, payload []byte) {
	t.Helper()
	if w := v.call(t, http.MethodPut, pathOf(ref), "application/octet-stream", payload); w.Code != http.StatusNoContent {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
}

func (v *vault) remove(t *testing.T, ref string) {
	t.Helper()
	if w := v.call(t, http.MethodDelete, pathOf(ref), "", nil); w.Code != http.StatusNoContent {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
}

func pathOf(ref string) string { return ref[len("http://cloud.test"):] }

// bundle is a new certificate with its key, and the certificate in DER.
func bundle(t *testing.T, expires time.Time) (pkcs, leaf []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "www.example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: expires,
	}
	leaf, err = x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(leaf)
	if err != nil {
		t.Fatal(err)
	}
	if pkcs, err = pkcs12.Modern.Encode(key, parsed, nil, ""); err != nil {
		t.Fatal(err)
	}
	return pkcs, leaf
}

package pkcs12_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	gopkcs12 "software.sslmate.com/src/go-pkcs12"

	"poise/internal/pkcs12"
	"poise/internal/testpki"
)

func TestDecode(t *testing.T) {
	pair := testpki.NewAuthority(t, "authority").Issue(t, "www.example.org")
	for name, test := range map[string]struct {
		encoder *gopkcs12.Encoder
		slow    bool
	}{
		"modern": {gopkcs12.Modern, false}, "legacy": {gopkcs12.LegacyDES, false}, "slow": {gopkcs12.Modern.WithIterations(50_001), true},
	} {
		t.Run(name, func(t *testing.T) {
			bundle, err := test.encoder.Encode(pair.Key, pair.Certificate, nil, "")
			if err != nil {
				t.Fatal(err)
			}
			_, chain, err := pkcs12.Decode(bundle, 50_000)
			if slow := errors.As(err, new(pkcs12.TooSlow)); slow != test.slow || !slow && (err != nil || chain[0].Subject.CommonName != "www.example.org") {
				t.Errorf("%v, %v", chain, err)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	pair := testpki.NewAuthority(f, "authority").Issue(f, "www.example.org")
	bundle, err := gopkcs12.Modern.Encode(pair.Key, pair.Certificate, nil, "")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bundle)
	f.Fuzz(func(t *testing.T, der []byte) {
		if _, chain, err := pkcs12.Decode(der, 5_000); err == nil && len(chain) == 0 {
			t.Error("no error, and no certificate")
		}
	})
}

// TestHiddenIterations opens bundles with a private key in the encrypted part, for which a key is to be derived by two billion
// iterations: minutes.
func TestHiddenIterations(t *testing.T) {
	pair := testpki.NewAuthority(t, "authority").Issue(t, "www.example.org")
	for name, hide := range map[string]bool{"a further key": false, "the only key": true} {
		t.Run(name, func(t *testing.T) {
			done := make(chan error, 1)
			bundle := hiddenKey(t, pair, hide)
			go func() {
				_, _, err := pkcs12.Decode(bundle, 50_000)
				done <- err
			}()
			select {
			case err := <-done:
				if err == nil {
					t.Error("it was opened")
				}
			case <-time.After(20 * time.Second):
				t.Fatal("the key derivation that is hidden in the encrypted part goes on")
			}
		})
	}
}

// TestOpenSSL reads what OpenSSL writes, in its older and its newer way, and with the fewest iterations.
func TestOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	dir := t.TempDir()
	pair := testpki.NewAuthority(t, "authority").Issue(t, "www.example.org")
	key, err := x509.MarshalPKCS8PrivateKey(pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"key.pem": {Type: "PRIVATE KEY", Bytes: key}, "cert.pem": {Type: "CERTIFICATE", Bytes: pair.Raw}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, options := range map[string][]string{
		"as it is": nil, "triple DES": {"-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"},
		"few iterations": {"-iter", "1"}, "without a MAC": {"-nomac"}, "in the clear": {"-keypbe", "NONE", "-certpbe", "NONE"},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(dir, "out.p12")
			args := append([]string{
				"pkcs12", "-export", "-inkey", filepath.Join(dir, "key.pem"), "-in", filepath.Join(dir, "cert.pem"),
				"-passout", "pass:", "-out", out,
			}, options...)
			if output, err := exec.CommandContext(t.Context(), openssl, args...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, output)
			}
			der, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if _, chain, err := pkcs12.Decode(der, 50_000); err != nil || chain[0].Subject.CommonName != "www.example.org" {
				t.Errorf("%v %v", chain, err)
			}
		})
	}
}

package certificate

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"poise/internal/lb"
)

// TestPassphrases reads one key in the encryptions of openssl (testdata/keys), with the passphrase and without.
func TestPassphrases(t *testing.T) {
	plain, err := readKey(keyFile(t, "plain"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"plain", "pbkdf2-aes256-sha256", "pbkdf2-aes128-sha512", "pbkdf2-des3-sha1", "scrypt-aes256", "pem-aes256",
	} {
		t.Run(name, func(t *testing.T) {
			key, err := readKey(keyFile(t, name), []byte("secret"))
			if err != nil || !plain.(*ecdsa.PrivateKey).Equal(key) {
				t.Fatalf("another key, %v", err)
			}
			if name == "plain" {
				return
			}
			if _, err := readKey(keyFile(t, name), []byte("Secret")); err != errWrongPassphrase {
				t.Errorf("with a wrong passphrase: %v", err)
			}
			if _, err := readKey(keyFile(t, name), nil); err != errNoPassphrase {
				t.Errorf("without a passphrase: %v", err)
			}
		})
	}
	block, _ := pem.Decode(keyFile(t, "pbkdf2-aes256-sha256"))
	if key, err := readKey(block.Bytes, []byte("secret")); err != nil || !plain.(*ecdsa.PrivateKey).Equal(key) {
		t.Errorf("in DER: another key, %v", err)
	}
	for name, message := range map[string]string{
		"slow-pbkdf2": "3000000 times", "slow-scrypt": "at a cost", "pbes1": "not supported",
	} {
		begin := time.Now()
		if _, err := readKey(keyFile(t, name), []byte("secret")); err == nil || !strings.Contains(err.Error(), message) || time.Since(begin) > time.Second {
			t.Errorf("%s: %v after %v", name, err, time.Since(begin))
		}
	}
}

// TestContainerWithPassphrase puts an encrypted key beside its certificate.
func TestContainerWithPassphrase(t *testing.T) {
	key, err := readKey(keyFile(t, "plain"), nil)
	if err != nil {
		t.Fatal(err)
	}
	var none *authority
	parts := Parts{PrivateKey: keyFile(t, "pbkdf2-aes256-sha256")}
	parts.Certificate = pemOf(none.sign(t, key.(*ecdsa.PrivateKey), func(*x509.Certificate) {}))
	for passphrase, message := range map[string]string{
		"secret": "",
		"wrong":  "The private key is unreadable. Error: the passphrase does not fit",
		"":       "The private key is unreadable. Error: it is encrypted, and its container has no private_key_passphrase",
	} {
		parts.Passphrase = []byte(passphrase)
		_, err := Parse(parts, time.Now())
		if message == "" && err != nil || message != "" && (lb.CodeOf(err) != lb.Invalid || err.Error() != message) {
			t.Errorf("%q: %v, want %q", passphrase, err, message)
		}
	}
}

func keyFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "keys", name+".pem"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

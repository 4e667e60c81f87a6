package conformance

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"poise/internal/clouds"
)

// TestKeyWithPassphrase has listeners refer to a container whose private key has a passphrase (made by openssl).
func TestKeyWithPassphrase(t *testing.T) {
	address, credentials := startServer(t, "[log]\nlevel = \"warn\"\n")
	p := &player{base: "http://" + address, tokens: map[string]string{}}
	user := credentials.Clouds[clouds.User].Auth
	p.tokens["member"], _ = p.signIn(t, user.Username, user.Password, user.ProjectName)
	network := p.make(t, "member", "/network/v2.0/networks", "network", map[string]any{"name": "n"})
	subnet := p.make(t, "member", "/network/v2.0/subnets", "subnet",
		map[string]any{"network_id": network, "cidr": "10.0.0.0/24", "ip_version": 4})
	balancer := p.make(t, "member", "/load-balancer/v2.0/lbaas/loadbalancers", "loadbalancer", map[string]any{"vip_subnet_id": subnet})

	certificate, key := p.secret(t, selfSigned(t, "plain.pem")), p.secret(t, keyFile(t, "pbkdf2-aes256-sha256.pem"))
	for name, test := range map[string]struct {
		passphrase string // "" for none
		port       int
		status     int
		message    string
	}{
		"right passphrase": {"secret", 443, 201, ""},
		"wrong passphrase": {"guess", 444, 400, "The private key is unreadable. Error: the passphrase does not fit"},
		"no passphrase":    {"", 445, 400, "The private key is unreadable. Error: it is encrypted, and its container has no private_key_passphrase"},
	} {
		t.Run(name, func(t *testing.T) {
			parts := []map[string]string{{"name": "certificate", "secret_ref": certificate}, {"name": "private_key", "secret_ref": key}}
			if test.passphrase != "" {
				parts = append(parts, map[string]string{"name": "private_key_passphrase", "secret_ref": p.secret(t, test.passphrase)})
			}
			container := p.keep(t, "containers", map[string]any{"type": "certificate", "name": "c", "secret_refs": parts})["container_ref"]
			status, answer := p.post(t, "/load-balancer/v2.0/lbaas/listeners", map[string]any{"listener": map[string]any{
				"loadbalancer_id": balancer, "protocol": "TERMINATED_HTTPS", "protocol_port": test.port, "default_tls_container_ref": container,
			}})
			if status != test.status || test.message != "" && answer["faultstring"] != test.message {
				t.Errorf("%d %v, want %d %s", status, answer, test.status, test.message)
			}
			if made, ok := answer["listener"].(map[string]any); ok {
				p.untilOnline(t, fmt.Sprint(made["id"]))
			}
		})
	}
}

// untilOnline waits until a listener serves.
func (p *player) untilOnline(t *testing.T, listener string) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	late := time.After(patience)
	for {
		shown := string(p.send(t, "member", http.MethodGet, "/load-balancer/v2.0/lbaas/listeners/"+listener+"?status_reasons=true", ""))
		if strings.Contains(shown, `"operating_status":"ONLINE"`) {
			return
		}
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("the listener does not serve: %s", shown)
		}
	}
}

// secret keeps a text in the key manager and returns its address.
func (p *player) secret(t *testing.T, payload string) string {
	t.Helper()
	ref, _ := p.keep(t, "secrets", map[string]any{"payload": payload, "payload_content_type": "text/plain"})["secret_ref"].(string)
	return ref
}

// keep makes something in the key manager.
func (p *player) keep(t *testing.T, kind string, body map[string]any) map[string]any {
	t.Helper()
	status, answer := p.post(t, "/key-manager/v1/"+kind, body)
	if status != http.StatusCreated {
		t.Fatalf("%s: %d %v", kind, status, answer)
	}
	return answer
}

// post makes a request as a member.
func (p *player) post(t *testing.T, path string, body any) (status int, answer map[string]any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.base+path, strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Auth-Token", p.tokens["member"])
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, answer
}

func keyFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../internal/certificate/testdata/keys/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// selfSigned is a certificate in PEM for the key in a file.
func selfSigned(t *testing.T, file string) string {
	t.Helper()
	block, _ := pem.Decode([]byte(keyFile(t, file)))
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key := parsed.(*ecdsa.PrivateKey)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "www.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

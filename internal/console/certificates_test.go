package console_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gopkcs12 "software.sslmate.com/src/go-pkcs12"

	"poise/internal/testpki"
)

// inPEM are a certificate and its key as somebody pastes them.
func inPEM(t *testing.T, p testpki.Pair) (certificate, key string) {
	t.Helper()
	certificateFile, keyFile := p.WriteFiles(t)
	for file, into := range map[string]*string{certificateFile: &certificate, keyFile: &key} {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		*into = string(raw)
	}
	return strings.TrimSpace(certificate), strings.TrimSpace(key)
}

// A certificate is stored as secrets and a container of them, and what is wrong is said at its field before anything is made.
func TestStoreCertificate(t *testing.T) {
	authority := testpki.NewAuthority(t, "authority")
	certificate, key := inPEM(t, authority.Issue(t, "www.example.org"))
	_, foreign := inPEM(t, authority.Issue(t, "www.example.com"))
	typed := func(certificate, key string) url.Values {
		return url.Values{"name": {"shop"}, "form": {"pem"}, "region": {"One"}, "certificate": {certificate}, "private_key": {key}, "intermediates": {""}}
	}
	for name, test := range map[string]struct {
		form  url.Values
		field string
	}{
		"no certificate":           {typed("nothing", key), "certificate"},
		"a certificate in its key": {typed(certificate, certificate), "private_key"},
		"no key":                   {typed(certificate, ""), "private_key"},
		"a foreign key":            {typed(certificate, foreign), "private_key"},
		"no name":                  {url.Values{"name": {""}, "form": {"pem"}, "certificate": {certificate}, "private_key": {key}}, "name"},
		"no bundle":                {url.Values{"name": {"shop"}, "form": {"pkcs12"}}, "pkcs12"},
	} {
		t.Run(name, func(t *testing.T) {
			cloud := newCloud(t)
			got := signedIn(t, serve(t, cloud), "ann").post("/certificates/new", test.form, "HX-Request", "true")
			if got.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(got.text, `id="error-`+test.field+`"`) || len(cloud.changes()) > 0 {
				t.Errorf("%d, %v\n%s", got.StatusCode, cloud.changes(), got.text)
			}
		})
	}
	cloud := newCloud(t)
	if got := signedIn(t, serve(t, cloud), "ann").post("/certificates/new", typed(certificate, key), "HX-Request", "true"); got.StatusCode != http.StatusOK {
		t.Fatalf("%d\n%s", got.StatusCode, got.text)
	}
	at := cloud.URL + "/keys/v1/secrets/made-"
	want := []sentRequest{
		{"POST", "secrets", map[string]any{"name": "shop certificate", "secret_type": "certificate", "payload": certificate, "payload_content_type": "text/plain"}},
		{"POST", "secrets", map[string]any{"name": "shop private key", "secret_type": "private", "payload": key, "payload_content_type": "text/plain"}},
		{"POST", "containers", map[string]any{"name": "shop", "type": "certificate", "secret_refs": []any{
			map[string]any{"name": "certificate", "secret_ref": at + "1"}, map[string]any{"name": "private_key", "secret_ref": at + "2"},
		}}},
	}
	if diff := cmp.Diff(want, cloud.changes(), cmp.AllowUnexported(sentRequest{})); diff != "" {
		t.Error(diff)
	}
}

// A bundle is uploaded as it is; one that would take long to open is refused.
func TestStoreBundle(t *testing.T) {
	pair := testpki.NewAuthority(t, "authority").Issue(t, "www.example.org")
	for name, test := range map[string]struct {
		encoder *gopkcs12.Encoder
		status  int
	}{
		"a bundle":              {gopkcs12.Modern, http.StatusOK},
		"one that takes long":   {gopkcs12.Modern.WithIterations(100_000), http.StatusUnprocessableEntity},
		"one that is encrypted": {nil, http.StatusUnprocessableEntity},
	} {
		t.Run(name, func(t *testing.T) {
			passphrase, encoder := "", test.encoder
			if encoder == nil {
				passphrase, encoder = "secret", gopkcs12.Modern
			}
			bundle, err := encoder.Encode(pair.Key, pair.Certificate, []*x509.Certificate{}, passphrase)
			if err != nil {
				t.Fatal(err)
			}
			var body bytes.Buffer
			w := multipart.NewWriter(&body)
			for field, value := range map[string]string{"name": "shop", "form": "pkcs12", "region": "One"} {
				if err := w.WriteField(field, value); err != nil {
					t.Fatal(err)
				}
			}
			file, err := w.CreateFormFile("pkcs12", "shop.p12")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := file.Write(bundle); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			cloud := newCloud(t)
			v := signedIn(t, serve(t, cloud), "ann")
			got := v.do(v.request(http.MethodPost, "/certificates/new", body.String(), []string{"Content-Type", w.FormDataContentType(), "HX-Request", "true"}))
			if got.StatusCode != test.status || (len(cloud.changes()) == 1) != (test.status == http.StatusOK) {
				t.Errorf("%d, %v\n%s", got.StatusCode, cloud.changes(), got.text)
			}
		})
	}
}

// The page says what a certificate is, how long it is good, and who uses it; one in use cannot be deleted, but replaced.
func TestCertificatesPage(t *testing.T) {
	authority := testpki.NewAuthority(t, "The Authority")
	now := time.Now()
	ends := func(days int) testpki.Pair {
		return authority.Issue(t, "www.example.org", func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = now.AddDate(-1, 0, 0), now.Add(time.Duration(days)*24*time.Hour+time.Hour)
			c.DNSNames = []string{"www.example.org", "shop.example.org"}
		})
	}
	for name, test := range map[string]struct {
		days int
		want string
	}{
		"good": {90, `status-ok`}, "soon": {29, `status-warn`}, "urgent": {6, `status-bad`}, "expired": {-2, "expired"},
	} {
		t.Run(name, func(t *testing.T) {
			cloud := newCloud(t)
			cloud.fill(t, "ann", "shop")
			pair := ends(test.days)
			cloud.answers["keys/secrets/leaf-one/payload"] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Raw})
			v := signedIn(t, serve(t, cloud), "ann")
			got := v.get("/certificates")
			for _, want := range []string{test.want, "The Authority", "shop.example.org", "?tab=listeners"} {
				if !strings.Contains(got.text, want) {
					t.Errorf("%q is not on the page:\n%s", want, got.text)
				}
			}
			if got := v.post("/certificates/One/containers/bag-one/delete", nil); got.StatusCode != http.StatusUnprocessableEntity || len(cloud.changes()) > 0 {
				t.Errorf("deleting what is in use: %d, %v", got.StatusCode, cloud.changes())
			}
			certificate, key := inPEM(t, ends(365))
			got = v.post("/certificates/One/containers/bag-one/replace", url.Values{"certificate": {certificate}, "private_key": {key}}, "HX-Request", "true")
			var paths []string
			for _, sent := range cloud.changes() {
				paths = append(paths, sent.method+" "+sent.path)
			}
			if diff := cmp.Diff([]string{"PUT secrets/key-one", "PUT secrets/leaf-one"}, paths); got.StatusCode != http.StatusOK || diff != "" {
				t.Errorf("replacing: %d %s\n%s", got.StatusCode, diff, got.text)
			}
		})
	}
}

// A listener's form sends of TLS what has changed, and nothing else.
func TestListenerSecurity(t *testing.T) {
	cloud := newCloud(t)
	cloud.fill(t, "ann", "shop")
	v := signedIn(t, serve(t, cloud), "ann")
	path := "/load-balancers/One/one/listeners/listener-one/modify"
	form := url.Values{
		"name": {"shop"}, "description": {"shop"}, "protocol": {"TERMINATED_HTTPS"}, "default_pool_id": {"pool-one"}, "default_tls_container_ref": {"type"},
		"default_tls_container_typed": {"http://elsewhere/1"}, "sni_container_refs": {"", "http://elsewhere/2"}, "tls_versions": {"", "TLSv1.3"}, "alpn_protocols": {""},
		"insert_headers": {"", "X-Forwarded-For"}, "client_authentication": {"MANDATORY"}, "client_ca_tls_container_ref": {"shop"}, "hsts_max_age": {"3600"},
		"hsts_include_subdomains": {"", "yes"}, "hsts_preload": {""},
	}
	if got := v.post(path, form, "HX-Request", "true"); got.StatusCode != http.StatusOK {
		t.Fatalf("%d\n%s", got.StatusCode, got.text)
	}
	sent := cloud.changes()[0].body["listener"].(map[string]any)
	want := map[string]any{
		"name": "shop", "description": "shop", "default_pool_id": "pool-one", "default_tls_container_ref": "http://elsewhere/1",
		"sni_container_refs": []any{"http://elsewhere/2"}, "tls_versions": []any{"TLSv1.3"}, "insert_headers": map[string]any{"X-Forwarded-For": "true"},
		"client_authentication": "MANDATORY", "hsts_max_age": 3600.0, "hsts_include_subdomains": true,
	}
	for _, name := range []string{"connection_limit", "timeout_client_data", "timeout_member_connect", "timeout_member_data", "timeout_tcp_inspect", "allowed_cidrs"} {
		delete(sent, name)
	}
	if diff := cmp.Diff(want, sent); diff != "" {
		t.Error(diff)
	}
}

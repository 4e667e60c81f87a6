package proxy

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"poise/internal/dataplane"
	"poise/internal/testpki"
)

// secureBench is a TERMINATED_HTTPS listener whose member tells what it was told of the client.
func secureBench(t *testing.T, secure *dataplane.ServerTLS) *bench {
	b := newHTTPBench(t, httpMember(t, "a", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "certificate %s verify %s %s", r.Header.Get("X-SSL-Client-Has-Cert"), r.Header.Get("X-SSL-Client-Verify"),
			r.Header.Get("X-SSL-Client-DN"))
	}))
	b.config.Listeners[0].TLS = secure
	b.config.Listeners[0].HTTP.Insert = []dataplane.Insertion{
		dataplane.XSSLClientHasCert, dataplane.XSSLClientVerify, dataplane.XSSLClientDN,
	}
	b.apply()
	return b
}

// askByOpenSSL sends a request by openssl s_client, and returns what it prints.
func askByOpenSSL(t *testing.T, b *bench, arguments ...string) (answer, complaint string) {
	t.Helper()
	arguments = append([]string{"s_client", "-connect", b.addr(), "-quiet"}, arguments...)
	command := exec.CommandContext(t.Context(), "openssl", arguments...)
	command.WaitDelay = patience
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out, complaints bytes.Buffer
	command.Stdout, command.Stderr = &out, &complaints
	if err := command.Start(); err != nil {
		t.Fatal("openssl s_client: ", err)
	}
	_, _ = io.WriteString(in, "GET / HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n")
	_ = command.Wait() // it waits for the listener's end, and fails where the handshake does
	_ = in.Close()
	_, answer, _ = strings.Cut(out.String(), "\r\n\r\n")
	return answer, complaints.String()
}

// versionFlags have openssl s_client speak one version; the old ones it speaks at its lowest level of security only.
var versionFlags = map[string][]string{
	"TLSv1":   {"-tls1", "-cipher", "DEFAULT@SECLEVEL=0"},
	"TLSv1.1": {"-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"},
	"TLSv1.2": {"-tls1_2"},
	"TLSv1.3": {"-tls1_3"},
}

var everyVersion = []string{"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}

// clientCertificates are those of the matrix, as files for openssl s_client.
type clientCertificates struct {
	ca    *testpki.Authority
	list  []byte
	flags map[string][]string
}

func newClientCertificates(t *testing.T) *clientCertificates {
	ca, foreign := testpki.NewAuthority(t, "ca"), testpki.NewAuthority(t, "foreign")
	revoked := ca.Issue(t, "revoked")
	c := &clientCertificates{ca: ca, list: ca.Revoke(t, time.Now().Add(time.Hour), revoked), flags: map[string][]string{"none": nil}}
	for name, pair := range map[string]testpki.Pair{
		"good": ca.Issue(t, "good"), "revoked": revoked, "foreign": foreign.Issue(t, "foreign"),
		"expired": ca.Issue(t, "expired", testpki.Expired),
	} {
		chainFile, keyFile := pair.WriteFiles(t)
		c.flags[name] = []string{"-cert", chainFile, "-key", keyFile}
	}
	return c
}

// What openssl is told, by the client's certificate. With TLS 1.3 there is an alert of its own for a missing one.
var alerts = map[string]string{
	"none": "alert handshake failure", "revoked": "alert bad certificate", "foreign": "alert unknown ca", "expired": "alert certificate expired",
}

// Every version with every kind of client authentication and every kind of client.
func TestOpenSSLClientAuthentication(t *testing.T) {
	t.Parallel()
	clients := newClientCertificates(t)
	for _, version := range everyVersion {
		for _, mode := range []dataplane.ClientAuth{dataplane.NoClientAuth, dataplane.OptionalClientAuth, dataplane.RequiredClientAuth} {
			b := secureBench(t, &dataplane.ServerTLS{
				Handshake:    dataplane.Handshake{Versions: []string{version}},
				Certificates: []dataplane.Certificate{certificate(t, clients.ca.Issue(t, "www.example.com"))},
				ClientAuth:   mode, ClientCAs: [][]byte{clients.ca.Raw}, Revocations: [][]byte{clients.list},
			})
			for client, flags := range clients.flags {
				want, alert := "certificate 0 verify 0 ", ""
				switch {
				case mode == dataplane.NoClientAuth, client == "none" && mode == dataplane.OptionalClientAuth:
				case client == "good":
					want = `certificate 1 verify 0 "/CN=good"`
				default:
					want, alert = "", alerts[client]
				}
				if client == "none" && alert != "" && version == "TLSv1.3" {
					alert = "alert certificate required"
				}
				answer, complaint := askByOpenSSL(t, b, append(slices.Clone(versionFlags[version]), flags...)...)
				if strings.TrimSuffix(answer, `""`) != want || !strings.Contains(complaint, alert) {
					t.Errorf("%s, %s, %s: %q, want %q and %q:\n%s", version, mode, client, answer, want, alert, complaint)
				}
			}
		}
	}
}

// Whatever versions are allowed, clients of each are served or told that theirs is not.
func TestOpenSSLVersions(t *testing.T) {
	t.Parallel()
	pair := testpki.NewAuthority(t, "ca").Issue(t, "www.example.com")
	for _, allowed := range []string{"", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3", "TLSv1.1 TLSv1.3", "TLSv1 TLSv1.1 TLSv1.2 TLSv1.3"} {
		b := secureBench(t, &dataplane.ServerTLS{
			Handshake:    dataplane.Handshake{Versions: strings.Fields(allowed)},
			Certificates: []dataplane.Certificate{certificate(t, pair)},
		})
		for _, version := range everyVersion {
			answer, complaint := askByOpenSSL(t, b, versionFlags[version]...)
			want := slices.Contains(strings.Fields(allowed), version) || allowed == "" && version >= "TLSv1.2"
			if (answer != "") != want || !want && !strings.Contains(complaint, "protocol") {
				t.Errorf("%q allowed, %s: %q\n%s", allowed, version, answer, complaint)
			}
		}
	}
}

// openssl comes again with its session, by either version and after the configuration has changed.
func TestOpenSSLResumption(t *testing.T) {
	t.Parallel()
	pair := testpki.NewAuthority(t, "ca").Issue(t, "www.example.com")
	b := secureBench(t, &dataplane.ServerTLS{Certificates: []dataplane.Certificate{certificate(t, pair)}})
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		session := filepath.Join(t.TempDir(), "session")
		askByOpenSSL(t, b, version, "-sess_out", session)
		before := b.counters().Resumptions
		other := testpki.NewAuthority(t, "other").Issue(t, "www.example.com")
		b.config.Listeners[0].TLS = &dataplane.ServerTLS{Certificates: []dataplane.Certificate{certificate(t, other)}}
		b.apply()
		if answer, complaint := askByOpenSSL(t, b, version, "-sess_in", session); answer == "" || b.counters().Resumptions != before+1 {
			t.Errorf("%s: %q, %d resumptions\n%s", version, answer, b.counters().Resumptions, complaint)
		}
	}
}

// openssl verifies the whole chain and the name.
func TestOpenSSLVerifies(t *testing.T) {
	t.Parallel()
	root := testpki.NewAuthority(t, "root")
	below := root.NewAuthority(t, "below")
	standard := below.Issue(t, "", testpki.DNS("www.example.com"))
	special := below.IssueFor(t, testpki.NewRSAKey(t), "", testpki.DNS("*.special.example.com"))
	b := secureBench(t, &dataplane.ServerTLS{Certificates: []dataplane.Certificate{certificate(t, standard), certificate(t, special)}})
	rootFile := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(rootFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"www.example.com": true, "a.special.example.com": true, "other.example.com": false} {
		answer, complaint := askByOpenSSL(t, b, "-servername", name, "-verify_hostname", name, "-CAfile", rootFile, "-verify_return_error")
		if (answer != "") != want {
			t.Errorf("%s: %q\n%s", name, answer, complaint)
		}
	}
}

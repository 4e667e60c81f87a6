package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poise/internal/dataplane"
	"poise/internal/testpki"
)

func TestCertificateByName(t *testing.T) {
	ca := testpki.NewAuthority(t, "ca")
	var c dataplane.ServerTLS
	for _, p := range []testpki.Pair{
		ca.Issue(t, "standard.example.com"),
		ca.Issue(t, "two.example.com", testpki.DNS("a.example.com", "*.Sub.example.com")),
		ca.Issue(t, "*.example.com"),
		ca.Issue(t, "", testpki.DNS("exact.sub.example.com")),
	} {
		c.Certificates = append(c.Certificates, certificateOf(t, p))
	}
	server := newServer(t, &c)
	for name, want := range map[string]int{
		"":                          0,
		"standard.example.com":      0,
		"elsewhere.org":             0,
		"example.com":               0,
		"a.example.com":             1,
		"A.EXAMPLE.com":             1,
		"two.example.com":           1,
		"x.sub.example.com":         1,
		"other.example.com":         2,
		"deep.x.sub.example.com":    0,
		"exact.sub.example.com":     3,
		"localhost":                 0,
		"notstandard.example.com":   2,
		"standard.example.com.evil": 0,
	} {
		_, told, err := meet(t, server, &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err != nil {
			t.Errorf("%q: %v", name, err)
		} else if got := told.PeerCertificates[0].Raw; string(got) != string(c.Certificates[want].Chain[0]) {
			t.Errorf("%q got the certificate of %s", name, told.PeerCertificates[0].Subject)
		}
	}
}

func TestCertificateByTypeOfKey(t *testing.T) {
	ca := testpki.NewAuthority(t, "ca")
	byRSA := ca.IssueFor(t, testpki.NewRSAKey(t), "a", testpki.DNS("www.example.com"))
	byECDSA := ca.Issue(t, "b", testpki.DNS("www.example.com"))
	server := newServer(t, &dataplane.ServerTLS{Certificates: []dataplane.Certificate{certificateOf(t, byECDSA), certificateOf(t, byRSA)}})
	for suite, want := range map[uint16]string{
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: "a", tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: "b",
	} {
		_, told, err := meet(t, server, &tls.Config{
			ServerName: "www.example.com", InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite},
		})
		if err != nil || told.PeerCertificates[0].Subject.CommonName != want {
			t.Errorf("%s: %v, %v", tls.CipherSuiteName(suite), told.PeerCertificates, err)
		}
	}
}

func TestVersions(t *testing.T) {
	server := serverTLS(t, testpki.NewAuthority(t, "ca").Issue(t, "www"))
	all := []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13}
	for _, test := range []struct {
		names string
		want  string // what clients get whose highest version is each of all
	}{
		{"", "- - 1.2 1.3"},
		{"TLSv1.2 TLSv1.3", "- - 1.2 1.3"},
		{"TLSv1.3 TLSv1.2 TLSv1.1 TLSv1", "1.0 1.1 1.2 1.3"},
		{"TLSv1.3", "- - - 1.3"},
		{"TLSv1.2", "- - 1.2 1.2"},
		{"TLSv1.1 TLSv1.3", "- 1.1 1.1 1.3"},
		{"TLSv1 TLSv1.2", "1.0 1.0 1.2 1.2"},
		{"SSLv3 TLSv1.2", "- - 1.2 1.2"},
	} {
		server.Versions = strings.Fields(test.names)
		config := newServer(t, server)
		var got []string
		for _, highest := range all {
			_, told, err := meet(t, config, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: highest})
			if err != nil {
				got = append(got, "-")
				continue
			}
			got = append(got, strings.TrimPrefix(tls.VersionName(told.Version), "TLS "))
		}
		if diff := cmp.Diff(test.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.names, diff)
		}
	}
}

// Whoever presents a certificate presents a good one; whether one has to is the listener's choice.
func TestClientAuthentication(t *testing.T) {
	ca, foreign := testpki.NewAuthority(t, "ca"), testpki.NewAuthority(t, "ca")
	below := ca.NewAuthority(t, "below")
	revoked, deep := ca.Issue(t, "revoked"), below.Issue(t, "deep revoked")
	valid := time.Now().Add(time.Hour)
	lists := [][]byte{foreign.Revoke(t, valid), ca.Revoke(t, valid, revoked), below.Revoke(t, valid, deep)}
	clients := map[string]testpki.Pair{
		"good": ca.Issue(t, "good"), "good, below": below.Issue(t, "good"), "none": {},
		"revoked": revoked, "revoked, below": deep, "foreign": foreign.Issue(t, "good"),
		"expired":        ca.Issue(t, "expired", testpki.Expired),
		"not for client": ca.Issue(t, "server", func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }),
	}
	for _, mode := range []dataplane.ClientAuth{dataplane.NoClientAuth, dataplane.OptionalClientAuth, dataplane.RequiredClientAuth} {
		c := serverTLS(t, ca.Issue(t, "www"))
		c.ClientAuth, c.ClientCAs, c.Revocations = mode, [][]byte{ca.Raw}, lists
		server := newServer(t, c)
		for name, client := range clients {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				state, _, err := meet(t, server, clientWith(client, version))
				want := mode == dataplane.NoClientAuth || strings.HasPrefix(name, "good") ||
					name == "none" && mode == dataplane.OptionalClientAuth
				if (err == nil) != want {
					t.Errorf("%s, %s, %s: %v", mode, name, tls.VersionName(version), err)
				}
				shown := err == nil && NewPeer(state).Certificate != nil
				if shown != (strings.HasPrefix(name, "good") && mode != dataplane.NoClientAuth) {
					t.Errorf("%s, %s, %s: certificate shown: %t", mode, name, tls.VersionName(version), shown)
				}
			}
		}
	}
}

func clientWith(p testpki.Pair, version uint16) *tls.Config {
	config := &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version}
	if p.Certificate != nil {
		certificate := p.TLS() // whatever authorities the server names
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
	}
	return config
}

// As in OpenSSL, certificates of an authority without a list that is valid now are not accepted.
func TestMissingLists(t *testing.T) {
	ca := testpki.NewAuthority(t, "ca")
	below := ca.NewAuthority(t, "below")
	valid, over := time.Now().Add(time.Hour), time.Now().Add(-time.Minute)
	for name, test := range map[string]struct {
		lists [][]byte
		want  bool
	}{
		"both":                   {[][]byte{ca.Revoke(t, valid), below.Revoke(t, valid)}, true},
		"authority's is missing": {[][]byte{below.Revoke(t, valid)}, false},
		"client's is missing":    {[][]byte{ca.Revoke(t, valid)}, false},
		"client's is over":       {[][]byte{ca.Revoke(t, valid), below.Revoke(t, over)}, false},
		"an old and a new one":   {[][]byte{ca.Revoke(t, valid), below.Revoke(t, over), below.Revoke(t, valid)}, true},
		"authority is revoked":   {[][]byte{ca.Revoke(t, valid, below.Pair), below.Revoke(t, valid)}, false},
	} {
		c := serverTLS(t, ca.Issue(t, "www"))
		c.ClientAuth, c.ClientCAs, c.Revocations = dataplane.RequiredClientAuth, [][]byte{ca.Raw}, test.lists
		_, _, err := meet(t, newServer(t, c), clientWith(below.Issue(t, "client"), tls.VersionTLS13))
		if (err == nil) != test.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProtocols(t *testing.T) {
	c := serverTLS(t, testpki.NewAuthority(t, "ca").Issue(t, "www"))
	c.ALPN = []string{"http/1.0", "http/1.1", "h2"} // a set: its order means nothing
	server := newServer(t, c)
	for offered, want := range map[string]string{
		"": "", "h2": "h2", "http/1.1": "http/1.1", "http/1.0": "http/1.0", "http/1.0 h2": "h2", "http/1.0 http/1.1": "http/1.1",
	} {
		_, told, err := meet(t, server, &tls.Config{InsecureSkipVerify: true, NextProtos: strings.Fields(offered)})
		if err != nil || told.NegotiatedProtocol != want {
			t.Errorf("%q: %q, %v", offered, told.NegotiatedProtocol, err)
		}
	}
}

// Browsers refuse HTTP/2 with old ciphers, so they are not led into it.
func TestHTTP2WithOldCiphers(t *testing.T) {
	c := serverTLS(t, testpki.NewAuthority(t, "ca").Issue(t, "www"))
	c.ALPN = []string{"h2", "http/1.1"}
	for _, test := range []struct {
		ciphers, versions string
		client            *tls.Config
		want              string
	}{
		{"", "", &tls.Config{}, "h2"},
		{"", "", &tls.Config{MaxVersion: tls.VersionTLS12}, "h2"},
		{"DEFAULT", "", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}, "http/1.1"},
		{"ECDHE-ECDSA-AES128-SHA", "", &tls.Config{MaxVersion: tls.VersionTLS12}, "http/1.1"},
		{"ECDHE-ECDSA-AES128-SHA", "", &tls.Config{}, "h2"},
		{"", "TLSv1.1 TLSv1.3", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}, "http/1.1"},
		{"ECDHE-ECDSA-AES128-SHA", "TLSv1.3", &tls.Config{}, "h2"},
	} {
		c.Ciphers, c.Versions = test.ciphers, strings.Fields(test.versions)
		test.client.InsecureSkipVerify, test.client.NextProtos = true, []string{"h2", "http/1.1"}
		_, told, err := meet(t, newServer(t, c), test.client)
		if err != nil || told.NegotiatedProtocol != test.want {
			t.Errorf("%q, %q, client up to %x: %q, %v", test.ciphers, test.versions, test.client.MaxVersion, told.NegotiatedProtocol, err)
		}
	}
}

// TestOldVersions has the ciphers that nobody chose fit each version, and refuses a list that fits none.
func TestOldVersions(t *testing.T) {
	c := serverTLS(t, testpki.NewAuthority(t, "ca").Issue(t, "www"))
	for _, name := range []string{"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"} {
		c.Versions, c.Ciphers = []string{name}, ""
		version := versionNames[name]
		seen, _, err := meet(t, newServer(t, c), &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10})
		if err != nil || seen.Version != version {
			t.Errorf("%s: %x, %v", name, seen.Version, err)
		}
		c.Ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256:AES128-GCM-SHA256"
		_, err = Server(c, &TicketKeys{})
		if want := version < tls.VersionTLS12; (err != nil) != want || want && !strings.Contains(err.Error(), "is there in "+name) {
			t.Errorf("%s with ciphers of TLS 1.2: %v", name, err)
		}
	}
	c.Versions, c.Ciphers = []string{"TLSv1.2"}, ""
	if config := newServer(t, c); len(config.CipherSuites) != 6 {
		t.Errorf("%d suites for TLS 1.2", len(config.CipherSuites))
	}
}

func TestPeer(t *testing.T) {
	ca := testpki.NewAuthority(t, "ca")
	c := serverTLS(t, ca.Issue(t, "www"))
	c.ClientAuth, c.ClientCAs, c.ALPN = dataplane.OptionalClientAuth, [][]byte{ca.Raw}, []string{"h2"}
	server := newServer(t, c)
	client := clientWith(ca.Issue(t, "alice"), tls.VersionTLS12)
	client.ServerName, client.NextProtos = "www.example.com", []string{"h2"}
	state, _, err := meet(t, server, client)
	if err != nil {
		t.Fatal(err)
	}
	p := NewPeer(state)
	got := fmt.Sprintln(p.ServerName, p.Version, p.Cipher, p.Protocol, p.Resumed, p.Subject(), p.Issuer(), p.VerifyResult())
	want := fmt.Sprintln("www.example.com", "TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", "h2", false, "/CN=alice", "/CN=ca", 0)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if state, _, err = meet(t, server, clientWith(testpki.Pair{}, tls.VersionTLS13)); err != nil {
		t.Fatal(err)
	}
	p = NewPeer(state)
	got = fmt.Sprintln(p.ServerName, p.Version, p.Cipher, p.Protocol, p.Resumed, p.Subject(), p.Issuer(), p.VerifyResult())
	want = fmt.Sprintln("", "TLSv1.3", "TLS_AES_128_GCM_SHA256", "", false, "", "", 0)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// What a user can do wrong, and what is said about it.
func TestErrors(t *testing.T) {
	ca := testpki.NewAuthority(t, "ca")
	good, other := certificateOf(t, ca.Issue(t, "www")), certificateOf(t, ca.Issue(t, "www"))
	mixed := dataplane.Certificate{Chain: good.Chain, Key: other.Key}
	for want, c := range map[string]*dataplane.ServerTLS{
		"there is no certificate":                                           {},
		"the private key does not belong to the certificate":                {Certificates: []dataplane.Certificate{mixed}},
		"certificate 2: the private key does not belong to the certificate": {Certificates: []dataplane.Certificate{good, mixed}},
		"the certificate is missing":                                        {Certificates: []dataplane.Certificate{{Key: good.Key}}},
		"the certificate cannot be read":                                    {Certificates: []dataplane.Certificate{{Chain: [][]byte{{1}}, Key: good.Key}}},
		"the private key cannot be read":                                    {Certificates: []dataplane.Certificate{{Chain: good.Chain}}},
		"client authentication needs the certificate of an authority":       {Certificates: []dataplane.Certificate{good}, ClientAuth: dataplane.OptionalClientAuth},
		"authorities of clients: the certificate cannot be read": {
			Certificates: []dataplane.Certificate{good}, ClientAuth: dataplane.OptionalClientAuth, ClientCAs: [][]byte{{1}},
		},
		"revoked clients: the list cannot be read": {
			Certificates: []dataplane.Certificate{good}, ClientAuth: dataplane.OptionalClientAuth, ClientCAs: [][]byte{ca.Raw},
			Revocations: [][]byte{{1}},
		},
		`none of the TLS versions ["SSLv3"] is available`: {
			Certificates: []dataplane.Certificate{good}, Handshake: dataplane.Handshake{Versions: []string{"SSLv3"}},
		},
		`none of the ciphers "DHE-RSA-AES128-SHA" is available`: {
			Certificates: []dataplane.Certificate{good}, Handshake: dataplane.Handshake{Ciphers: "DHE-RSA-AES128-SHA"},
		},
	} {
		if _, err := Server(c, &TicketKeys{}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

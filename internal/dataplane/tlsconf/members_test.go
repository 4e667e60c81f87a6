package tlsconf

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"poise/internal/dataplane"
	"poise/internal/testpki"
)

func TestMembersAreVerified(t *testing.T) {
	ca, foreign := testpki.NewAuthority(t, "ca"), testpki.NewAuthority(t, "ca")
	below := ca.NewAuthority(t, "below")
	revoked := ca.Issue(t, "", testpki.DNS("www.example.com"))
	lists := [][]byte{ca.Revoke(t, time.Now().Add(time.Hour), revoked), below.Revoke(t, time.Now().Add(time.Hour))}
	members := map[string]testpki.Pair{
		"good":    ca.Issue(t, "", testpki.DNS("www.example.com")),
		"below":   below.Issue(t, "", testpki.DNS("www.example.com")),
		"foreign": foreign.Issue(t, "", testpki.DNS("www.example.com")),
		"expired": ca.Issue(t, "", testpki.DNS("www.example.com"), testpki.Expired),
		"revoked": revoked,
		"other":   ca.Issue(t, "", testpki.DNS("other.example.com")),
	}
	for _, test := range []struct {
		name       string
		pool       dataplane.ClientTLS
		serverName string
		accepted   string
	}{
		{"without authorities nothing is verified", dataplane.ClientTLS{}, "", "good below foreign expired revoked other"},
		{"not even the name", dataplane.ClientTLS{}, "www.example.com", "good below foreign expired revoked other"},
		{"chain", dataplane.ClientTLS{CAs: [][]byte{ca.Raw}}, "", "good below revoked other"},
		{"chain and name", dataplane.ClientTLS{CAs: [][]byte{ca.Raw}}, "www.example.com", "good below revoked"},
		{"chain and list", dataplane.ClientTLS{CAs: [][]byte{ca.Raw}, Revocations: lists}, "", "good below other"},
	} {
		for name, pair := range members {
			client, err := Client(&test.pool, test.serverName)
			if err != nil {
				t.Fatal(err)
			}
			asked := ""
			server := &tls.Config{Certificates: []tls.Certificate{pair.TLS()}}
			server.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) { asked = h.ServerName; return nil, nil }
			_, _, err = meet(t, server, client)
			want := false
			for accepted := range strings.FieldsSeq(test.accepted) {
				want = want || accepted == name
			}
			if (err == nil) != want || asked != test.serverName {
				t.Errorf("%s, %s: %v (asked for %q)", test.name, name, err, asked)
			}
		}
	}
}

func TestMembersSeeOurCertificate(t *testing.T) {
	ca := testpki.NewAuthority(t, "ca")
	own := certificateOf(t, ca.Issue(t, "poise"))
	client, err := Client(&dataplane.ClientTLS{
		Certificate: &own, Handshake: dataplane.Handshake{Versions: []string{"TLSv1.2"}, Ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384", ALPN: []string{"h2"}},
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	member := ca.Issue(t, "member").TLS()
	seen, _, err := meet(t, &tls.Config{
		Certificates: []tls.Certificate{member}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool(), NextProtos: []string{"h2"},
	}, client)
	if err != nil {
		t.Fatal(err)
	}
	p := NewPeer(seen)
	if got := fmt.Sprint(p.Subject(), p.Version, p.Cipher, p.Protocol); got != "/CN=poiseTLSv1.2ECDHE-ECDSA-AES256-GCM-SHA384h2" {
		t.Error(got)
	}
}

func TestSessionsWithMembers(t *testing.T) {
	ca := testpki.NewAuthority(t, "ca")
	for _, lists := range [][][]byte{nil, {ca.Revoke(t, time.Now().Add(time.Hour))}} {
		m, err := NewMembers(&dataplane.ClientTLS{CAs: [][]byte{ca.Raw}, Revocations: lists})
		if err != nil {
			t.Fatal(err)
		}
		a, b := netip.MustParseAddrPort("10.0.0.1:443"), netip.MustParseAddrPort("10.0.0.2:443")
		config := func() *tls.Config { return &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, "member").TLS()}} }
		atA, atB := config(), config()
		for i, want := range []bool{false, true, true} {
			if resumes(t, atA, m.Config("", a)) != want || resumes(t, atB, m.Config("", b)) != want {
				t.Errorf("visit %d: resumed is not %t", i, want)
			}
		}
	}
}

func TestNamesThatClientsInvent(t *testing.T) {
	m, err := NewMembers(&dataplane.ClientTLS{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxMemberConfigs {
		m.Config(fmt.Sprint(i), netip.AddrPort{})
	}
	if len(m.configs) > maxMemberConfigs {
		t.Errorf("%d configurations are kept", len(m.configs))
	}
}

func TestVersionsToMembers(t *testing.T) {
	for names, want := range map[string][2]uint16{
		"":                {tls.VersionTLS12, tls.VersionTLS13},
		"TLSv1.1 TLSv1.3": {tls.VersionTLS13, tls.VersionTLS13},
		"TLSv1 TLSv1.2 TLSv1.3": {
			tls.VersionTLS12, tls.VersionTLS13,
		},
	} {
		c, err := Client(&dataplane.ClientTLS{Handshake: dataplane.Handshake{Versions: strings.Fields(names)}}, "")
		if err != nil || c.MinVersion != want[0] || c.MaxVersion != want[1] {
			t.Errorf("%s: %v to %v, %v", names, c.MinVersion, c.MaxVersion, err)
		}
	}
}

package l7

import (
	"crypto/x509/pkix"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poise/internal/dataplane"
	"poise/internal/dataplane/h1"
	"poise/internal/dataplane/tlsconf"
)

var everyInsertion = []dataplane.Insertion{
	"X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Forwarded-IP", "X-Client-IP", "X-Real-IP",
	"X-SSL-Client-Verify", "X-SSL-Client-Has-Cert", "X-SSL-Client-DN", "X-SSL-Client-CN", "X-SSL-Issuer", "X-SSL-Client-SHA1",
	"X-SSL-Client-Not-Before", "X-SSL-Client-Not-After",
}

func TestInserted(t *testing.T) {
	addresses := []string{"X-Forwarded-IP: 192.0.2.7", "X-Client-IP: 192.0.2.7", "X-Real-IP: 192.0.2.7"}
	withCertificate := append(addresses[:3:3],
		"X-SSL-Client-Verify: 0", "X-SSL-Client-Has-Cert: 1", `X-SSL-Client-DN: "/CN=Alice"`, `X-SSL-Client-CN: "Alice"`,
		`X-SSL-Issuer: "/CN=Alice"`, `X-SSL-Client-SHA1: "735AD571C189D7BA84464BF4A9F1D2280175B128"`,
		`X-SSL-Client-Not-Before: "260102030405Z"`, `X-SSL-Client-Not-After: "270102030405Z"`,
	)
	without := append(addresses[:3:3],
		"X-SSL-Client-Verify: 0", "X-SSL-Client-Has-Cert: 0", "X-SSL-Client-DN: ", "X-SSL-Client-CN: ", "X-SSL-Issuer: ",
		"X-SSL-Client-SHA1: ", "X-SSL-Client-Not-Before: ", "X-SSL-Client-Not-After: ",
	)
	forwarded := func(scheme string, others []string) []string {
		return append([]string{"X-Forwarded-For: 192.0.2.7", "X-Forwarded-Port: 8080", "X-Forwarded-Proto: " + scheme}, others...)
	}
	alice := *alice
	alice.TLS.Certificate.NotBefore = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	alice.TLS.Certificate.NotAfter = time.Date(2027, 1, 2, 4, 4, 5, 0, time.FixedZone("", 3600))
	for _, test := range []struct {
		name   string
		http   bool // what the members speak
		client *Client
		want   []string
	}{
		{"plaintext, HTTP members", true, plain, forwarded("http", addresses)},
		{"plaintext, other members", false, plain, addresses},
		{"TLS with a certificate", true, &alice, forwarded("https", withCertificate)},
		{"TLS without a certificate", true, anonymous, forwarded("https", without)},
		{"TLS, other members", false, &alice, withCertificate},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := &dataplane.Listener{HTTP: &dataplane.Requests{Insert: everyInsertion}}
			if test.client.TLS != nil {
				l.TLS = &dataplane.ServerTLS{}
			}
			s, err := New(Parts{Listener: l})
			if err != nil {
				t.Fatal(err)
			}
			pool := &Pool{Config: &dataplane.Pool{HTTP: test.http}}
			lines := string(s.AppendInserted(nil, test.client, pool))
			if diff := cmp.Diff(strings.Join(test.want, "\r\n")+"\r\n", lines); diff != "" {
				t.Error(diff)
			}
			drop := s.Drop(pool)
			for name, value := range Lines([]byte(lines)) {
				if want := name != "X-Forwarded-For"; drop.Has(h1.Lookup(name)) != want {
					t.Errorf("%s of the client is dropped: %t", name, !want)
				}
				for _, alike := range []string{
					strings.ReplaceAll(name, "-", "_"), strings.Replace(name, "-", "_", 1), strings.ToUpper(strings.ReplaceAll(name, "-", "_")),
				} {
					if !drop.Has(h1.Lookup(alike)) {
						t.Errorf("%s of the client is not dropped, which members may take for %s", alike, name)
					}
				}
				if value == "" && !strings.HasPrefix(name, "X-SSL-") {
					t.Errorf("%s has no value", name)
				}
			}
			if drop.Has(h1.XForwardedProto) != test.http || drop.Has(h1.Cookie) {
				t.Errorf("drops %b", drop)
			}
		})
	}
}

func TestInsertedAddress(t *testing.T) {
	s := newSite(t, dataplane.Requests{Insert: []dataplane.Insertion{dataplane.XForwardedFor}})
	for address, want := range map[string]string{
		"[2001:db8::1]:1":      "2001:db8::1",
		"[fe80::1%eth0]:1":     "fe80::1",
		"[::ffff:192.0.2.1]:1": "192.0.2.1",
	} {
		got := string(s.AppendInserted(nil, &Client{Address: netip.MustParseAddrPort(address)}, s.Default))
		if got != "X-Forwarded-For: "+want+"\r\n" {
			t.Errorf("%s: %q", address, got)
		}
	}
}

// TestCertificateCannotBreakOut inserts names that were made to look like the end of the value.
func TestCertificateCannotBreakOut(t *testing.T) {
	l := &dataplane.Listener{TLS: &dataplane.ServerTLS{}, HTTP: &dataplane.Requests{
		Insert: []dataplane.Insertion{dataplane.XSSLClientDN, dataplane.XSSLClientCN, dataplane.XSSLIssuer},
	}}
	s, err := New(Parts{Listener: l})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, in, want string }{
		{"a quote", `a", admin="1`, `"a\x22, admin=\x221"`},
		{"a line", "a\r\nX-Admin: 1", `"a\x0D\x0AX-Admin: 1"`},
		{"a backslash at the end", `a\`, `"a\x5C"`},
		{"a backslash and a quote", `a\"b`, `"a\x5C\x22b"`},
		{"an escape", `a\xE9b`, `"a\xE9b"`},
		{"half an escape", `a\xE`, `"a\x5CxE"`},
		{"NUL and DEL", "a\x00\x7f", `"a\x00\x7F"`},
		{"letters of the world", "Zoë", `"Zoë"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := &Client{TLS: &tlsconf.Peer{Certificate: certificate(pkix.Name{CommonName: test.in})}}
			appended := s.AppendInserted(nil, client, newPool("a"))
			got := map[string]string{}
			for name, value := range Lines(appended) {
				got[name] = value
				inner := strings.TrimSuffix(strings.TrimPrefix(value, `"`), `"`)
				if len(inner) != len(value)-2 || strings.ContainsAny(inner, "\"\r\n\x00") {
					t.Errorf("%s: %q", name, value)
				}
			}
			if got["X-SSL-Client-CN"] != test.want || len(got) != 3 {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestInsertingAllocatesNothing(t *testing.T) {
	s := newSite(t, dataplane.Requests{Insert: everyInsertion})
	buffer := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(1000, func() { s.AppendInserted(buffer, plain, s.Default) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkInsert(b *testing.B) {
	s := newSite(b, dataplane.Requests{Insert: []dataplane.Insertion{
		dataplane.XForwardedFor, dataplane.XForwardedPort, dataplane.XForwardedProto,
	}})
	buffer := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		s.AppendInserted(buffer, plain, s.Default)
	}
}

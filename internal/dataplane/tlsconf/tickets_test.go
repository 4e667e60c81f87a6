package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"poise/internal/dataplane"
	"poise/internal/testpki"
)

// visitor is a client that comes again with its ticket.
func visitor(version uint16, p testpki.Pair) *tls.Config {
	config := clientWith(p, version)
	config.ServerName, config.ClientSessionCache = "www.example.com", tls.NewLRUClientSessionCache(1)
	return config
}

// resumes says whether the visitor's next handshake makes use of what it has from before.
func resumes(t *testing.T, server, client *tls.Config) bool {
	t.Helper()
	seen, told, err := meet(t, server, client)
	if err != nil {
		t.Fatal(err)
	}
	if seen.DidResume != told.DidResume {
		t.Fatal("server and client do not agree")
	}
	return seen.DidResume
}

func TestTicketsOutliveConfigurations(t *testing.T) {
	ca := testpki.NewAuthority(t, "ca")
	alice := ca.Issue(t, "alice")
	before := serverTLS(t, ca.Issue(t, "www"))
	before.ClientAuth, before.ClientCAs = dataplane.OptionalClientAuth, [][]byte{ca.Raw}
	other := testpki.NewAuthority(t, "other")
	for name, test := range map[string]struct {
		change func(*dataplane.ServerTLS)
		want   bool
	}{
		"nothing": {func(*dataplane.ServerTLS) {}, true},
		"another certificate": {func(c *dataplane.ServerTLS) {
			c.Certificates = []dataplane.Certificate{certificateOf(t, other.Issue(t, "www"))}
		}, true},
		"one more certificate": {func(c *dataplane.ServerTLS) {
			c.Certificates = append(slices.Clone(c.Certificates), certificateOf(t, other.Issue(t, "two")))
		}, true},
		"other protocols":      {func(c *dataplane.ServerTLS) { c.ALPN = []string{"http/1.1"} }, true},
		"required certificate": {func(c *dataplane.ServerTLS) { c.ClientAuth = dataplane.RequiredClientAuth }, false},
		"no certificate":       {func(c *dataplane.ServerTLS) { c.ClientAuth = dataplane.NoClientAuth }, false},
		"one more authority":   {func(c *dataplane.ServerTLS) { c.ClientCAs = append(slices.Clone(c.ClientCAs), other.Raw) }, false},
		"a list of revoked":    {func(c *dataplane.ServerTLS) { c.Revocations = [][]byte{ca.Revoke(t, time.Now().Add(time.Hour))} }, false},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			var keys TicketKeys
			first, err := Server(before, &keys)
			if err != nil {
				t.Fatal(err)
			}
			client := visitor(version, alice)
			if resumes(t, first, client) || !resumes(t, first, client) {
				t.Fatalf("%s: there is no resumption to begin with", tls.VersionName(version))
			}
			after := *before
			test.change(&after)
			second, err := Server(&after, &keys)
			if err != nil {
				t.Fatal(err)
			}
			if got := resumes(t, second, client); got != test.want {
				t.Errorf("%s, %s: resumed %t", name, tls.VersionName(version), got)
			}
		}
	}
}

func TestResumedSessionsKeepTheCertificate(t *testing.T) {
	ca := testpki.NewAuthority(t, "ca")
	c := serverTLS(t, ca.Issue(t, "www"))
	c.ClientAuth, c.ClientCAs = dataplane.RequiredClientAuth, [][]byte{ca.Raw}
	server, client := newServer(t, c), visitor(tls.VersionTLS13, ca.Issue(t, "alice"))
	for _, resumed := range []bool{false, true} {
		state, _, err := meet(t, server, client)
		if err != nil {
			t.Fatal(err)
		}
		if p := NewPeer(state); p.Subject() != "/CN=alice" || p.Resumed != resumed {
			t.Errorf("%s, resumed %t", p.Subject(), p.Resumed)
		}
	}
}

func TestTicketsOfOtherListeners(t *testing.T) {
	c := serverTLS(t, testpki.NewAuthority(t, "ca").Issue(t, "www"))
	client := visitor(tls.VersionTLS13, testpki.Pair{})
	for range 2 {
		if resumes(t, newServer(t, c), client) {
			t.Error("a ticket of one listener is good at another")
		}
	}
}

// TestTicketKeysChange has tickets of each version last as long as they should: those of TLS 1.3 for the 7 days that they say.
func TestTicketKeysChange(t *testing.T) {
	pair := testpki.NewAuthority(t, "ca").Issue(t, "www", func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), time.Now().Add(time.Hour)
	})
	for version, term := range map[uint16]ticketTerm{tls.VersionTLS12: {time.Hour, 12 * time.Hour}, tls.VersionTLS13: {12 * time.Hour, 168 * time.Hour}} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testTicketKeysChange(t, pair, version, term) })
		})
	}
}

func testTicketKeysChange(t *testing.T, pair testpki.Pair, version uint16, term ticketTerm) {
	var keys TicketKeys
	server, err := Server(serverTLS(t, pair), &keys)
	if err != nil {
		t.Fatal(err)
	}
	old := visitor(version, testpki.Pair{})
	resumes(t, server, old)
	for range 5 {
		time.Sleep(term.period) // of the test's own time
		resumes(t, server, visitor(version, testpki.Pair{}))
	}
	if len(keys.keys) != 6 {
		t.Errorf("%d keys", len(keys.keys))
	}
	ticket := old.Clone()
	ticket.ClientSessionCache = frozen{old.ClientSessionCache}
	time.Sleep(term.lifetime - 5*term.period - time.Second)
	if !resumes(t, server, ticket) {
		t.Error("a ticket is not good to the end of its time")
	}
	time.Sleep(term.period + time.Second)
	if resumes(t, server, ticket) {
		t.Error("a ticket is good for ever")
	}
	if time.Sleep(term.lifetime + term.period); resumes(t, server, ticket) || len(keys.keys) != 1 {
		t.Errorf("%d keys are kept", len(keys.keys))
	}
}

// frozen keeps the ticket that it has.
type frozen struct{ tls.ClientSessionCache }

func (frozen) Put(string, *tls.ClientSessionState) {}

func TestForgedTickets(t *testing.T) {
	var keys TicketKeys
	now := time.Now()
	ticket := keys.newest(now, newTerm).seal([]byte("state"), digest{})
	if string(keys.open(ticket, digest{}, now)) != "state" {
		t.Fatal("a ticket is not good")
	}
	for i := range ticket {
		forged := slices.Clone(ticket)
		forged[i] ^= 1
		if keys.open(forged, digest{}, now) != nil || keys.open(ticket[:i], digest{}, now) != nil {
			t.Fatalf("a ticket is good with byte %d changed, or cut there", i)
		}
	}
}

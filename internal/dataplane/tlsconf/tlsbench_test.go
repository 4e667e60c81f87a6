package tlsconf

import (
	"testing"
	"time"

	"poise/internal/dataplane"
	"poise/internal/testpki"
)

// BenchmarkServerAgain is what one listener costs when a configuration is applied again.
func BenchmarkServerAgain(b *testing.B) {
	ca := testpki.NewAuthority(b, "ca")
	c := serverTLS(b, ca.IssueFor(b, testpki.NewRSAKey(b), "www.example.com"))
	c.ClientAuth, c.ClientCAs = dataplane.RequiredClientAuth, [][]byte{ca.Raw}
	c.Revocations = [][]byte{ca.Revoke(b, time.Now().Add(time.Hour))}
	kept := newServer(b, c)
	b.ReportAllocs()
	for b.Loop() {
		newServer(b, c)
	}
	_ = kept.GetCertificate // in use
}

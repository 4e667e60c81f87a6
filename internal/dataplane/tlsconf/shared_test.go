package tlsconf

import (
	"errors"
	"runtime"
	"testing"
	"time"

	"poise/internal/dataplane"
	"poise/internal/testpki"
)

func TestCertificatesAreShared(t *testing.T) {
	pair := testpki.NewAuthority(t, "ca").Issue(t, "a")
	var parsed [2]*certificates
	for i := range parsed {
		var err error
		if parsed[i], err = newCertificates([]dataplane.Certificate{certificateOf(t, pair)}); err != nil {
			t.Fatal(err)
		}
	}
	if parsed[0].standard != parsed[1].standard {
		t.Error("a certificate is parsed twice")
	}
}

func TestWhatNobodyUsesIsForgotten(t *testing.T) {
	var s shared[[64]byte]
	parsed := 0
	parse := func() (*[64]byte, error) { parsed++; return new([64]byte), nil }
	key := digestOf([]byte("a"))
	first, _ := s.get(key, parse)
	second, _ := s.get(key, parse)
	if first != second || parsed != 1 {
		t.Errorf("parsed %d times", parsed)
	}
	runtime.KeepAlive(first)
	for deadline := time.Now().Add(10 * time.Second); ; {
		runtime.GC()
		s.mu.Lock()
		left := len(s.parsed)
		s.mu.Unlock()
		if left == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it is kept")
		}
	}
	if _, err := s.get(key, func() (*[64]byte, error) { return nil, errors.New("no") }); err == nil {
		t.Error("an error is forgotten")
	}
}

func TestDigestsTellPartsApart(t *testing.T) {
	if digestOf([]byte("ab"), []byte("c")) == digestOf([]byte("a"), []byte("bc")) || digestOf() == digestOf(nil) {
		t.Error("different lists have the same digest")
	}
}

package certificate

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"poise/internal/lb"
	"poise/internal/rest"
)

// counted is a key manager that counts how often it is read. A reference leads to what its last segment names.
type counted struct {
	safe
	read *atomic.Int64
}

func (c counted) Certificate(ctx context.Context, caller rest.Caller, ref string) (Parts, error) {
	c.read.Add(1)
	return c.safe.Certificate(ctx, caller, ref[strings.LastIndexByte(ref, '/')+1:])
}

// left is what a project has left, of iterations.
func (o *Opener) leftOf(project string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if b := o.buckets[project]; b != nil {
		return b.left
	}
	return maxProjectWork
}

// frozen is an opener whose clock stands still, so that nothing is given back.
func frozen() *Opener {
	o := NewOpener()
	now := time.Now()
	o.now = func() time.Time { return now }
	return o
}

// TestSecretIsOpenedOnce refers to one bundle by a thousand addresses, and then has it read again and again.
func TestSecretIsOpenedOnce(t *testing.T) {
	key := newKey(t)
	leaf := newAuthority(t).sign(t, key, func(*x509.Certificate) {})
	const each = 20_000 // of two derivations for encryption, and one of the MAC
	data, err := pkcs12.Modern.WithIterations(each).Encode(key, leaf, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	keys := counted{safe{"good": {PKCS12: data}}, new(atomic.Int64)}
	opener := frozen()
	c := Checker{Keys: keys, Projects: projects{}, Opener: opener}
	var refs []string
	for i := range 1_000 {
		refs = append(refs, fmt.Sprintf("http://host-%d/key-manager/v1/secrets/good", i))
	}
	for range 3 {
		if err := c.Check(t.Context(), rest.Caller{ProjectID: "web"}, "web", lb.References{Certificates: refs}); err != nil {
			t.Fatal(err)
		}
	}
	if n := keys.read.Load(); n != 3 {
		t.Errorf("three requests with a thousand references to one secret read it %d times", n)
	}
	for range 3 {
		if _, _, err := Resolver(c).Certificate(t.Context(), "web", "x/secrets/good"); err != nil {
			t.Fatal(err)
		}
	}
	spent := maxProjectWork - opener.leftOf("web")
	if cost := (Parts{PKCS12: data}).work(); spent != cost || cost != 3*each {
		t.Errorf("%d iterations were computed in all, of a bundle with %d, which should be %d", spent, cost, 3*each)
	}
}

// slowKey is a private key that asks for so many iterations. It cannot be opened.
func slowKey(t testing.TB, iterations int, salt string) []byte {
	t.Helper()
	der := func(v any) []byte {
		raw, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	kdf := der(struct {
		Salt       []byte
		Iterations int
	}{[]byte(salt), iterations})
	scheme := der(struct{ KDF, Cipher pkix.AlgorithmIdentifier }{
		pkix.AlgorithmIdentifier{Algorithm: oidPBKDF2, Parameters: asn1.RawValue{FullBytes: kdf}},
		pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, Parameters: asn1.RawValue{FullBytes: der(make([]byte, 16))}},
	})
	return der(encryptedKey{pkix.AlgorithmIdentifier{Algorithm: oidPBES2, Parameters: asn1.RawValue{FullBytes: scheme}}, make([]byte, 32)})
}

// TestWorkOfOneRequest refuses what would take too long, before anything is computed, and says what to do.
func TestWorkOfOneRequest(t *testing.T) {
	key := newKey(t)
	leaf := pemOf(newAuthority(t).sign(t, key, func(*x509.Certificate) {}))
	s := safe{}
	var refs []string
	for i := range 1_000 {
		name := fmt.Sprint(i)
		s[name] = Parts{Certificate: leaf, PrivateKey: slowKey(t, 1_990_000, name), Passphrase: []byte("x")}
		refs = append(refs, name)
	}
	opener := frozen()
	err := Checker{Keys: s, Opener: opener}.Check(t.Context(), rest.Caller{ProjectID: "web"}, "web", lb.References{Certificates: refs})
	want := "The key derivations of the certificates ask for 1990000000 iterations together; one request may ask for 8000000."
	if lb.CodeOf(err) != lb.Invalid || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "-iter 2048") {
		t.Errorf("%v, want %s", err, want)
	}
	if left := opener.leftOf("web"); left != maxProjectWork {
		t.Errorf("%d iterations were computed", maxProjectWork-left)
	}
}

// TestWorkOfOneProject refuses a project that has used up its share, and not another; time gives it back.
func TestWorkOfOneProject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOpener()
		for range maxProjectWork / maxIterations {
			if err := o.spend("web", maxIterations); err != nil {
				t.Fatal(err)
			}
		}
		err := o.spend("web", maxIterations)
		if lb.CodeOf(err) != lb.Conflict || !strings.Contains(err.Error(), "try again in 11 s") {
			t.Errorf("beyond the share: %v", err)
		}
		if err := o.spend("other", maxIterations); err != nil {
			t.Errorf("another project: %v", err)
		}
		time.Sleep(11 * time.Second)
		if err := o.spend("web", maxIterations); err != nil {
			t.Errorf("after 11 s: %v", err)
		}
		if err := o.spend("web", maxIterations); err == nil {
			t.Error("more has been given back than is due")
		}
	})
}

// TestBusyProject has who reads for the data plane not wait for a project that keeps its slot busy, and others not at all.
func TestBusyProject(t *testing.T) {
	key := newKey(t)
	parts := func(salt string) Parts {
		return Parts{PrivateKey: slowKey(t, freeWork+1, salt), Passphrase: []byte("x"), Certificate: pemOf(newAuthority(t).sign(t, key, func(*x509.Certificate) {}))}
	}
	o := frozen()
	release, err := o.acquire(t.Context(), "web", [32]byte{}, freeWork+1, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.open(t.Context(), "web", parts("a"), false); err != ErrBusy {
		t.Errorf("a busy project: %v", err)
	}
	if _, err := o.open(t.Context(), "other", parts("b"), false); err == ErrBusy {
		t.Error("another project has to wait")
	}
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if _, err := o.open(t.Context(), "web", parts("c"), true); err == ErrBusy || lb.CodeOf(err) != lb.Invalid {
			t.Errorf("who waits: %v", err)
		}
	})
	release()
	waiting.Wait()
}

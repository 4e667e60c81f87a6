package pkcs12_test

import (
	"errors"
	"testing"

	gopkcs12 "software.sslmate.com/src/go-pkcs12"

	"poise/internal/pkcs12"
	"poise/internal/testpki"
)

func TestDecode(t *testing.T) {
	pair := testpki.NewAuthority(t, "authority").Issue(t, "www.example.org")
	for name, test := range map[string]struct {
		encoder *gopkcs12.Encoder
		slow    bool
	}{
		"modern": {gopkcs12.Modern, false}, "legacy": {gopkcs12.LegacyDES, false}, "slow": {gopkcs12.Modern.WithIterations(50_001), true},
	} {
		t.Run(name, func(t *testing.T) {
			bundle, err := test.encoder.Encode(pair.Key, pair.Certificate, nil, "")
			if err != nil {
				t.Fatal(err)
			}
			_, chain, err := pkcs12.Decode(bundle, 50_000)
			if slow := errors.As(err, new(pkcs12.TooSlow)); slow != test.slow || !slow && (err != nil || chain[0].Subject.CommonName != "www.example.org") {
				t.Errorf("%v, %v", chain, err)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	pair := testpki.NewAuthority(f, "authority").Issue(f, "www.example.org")
	bundle, err := gopkcs12.Modern.Encode(pair.Key, pair.Certificate, nil, "")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bundle)
	f.Fuzz(func(t *testing.T, der []byte) {
		if _, chain, err := pkcs12.Decode(der, 5_000); err == nil && len(chain) == 0 {
			t.Error("no error, and no certificate")
		}
	})
}

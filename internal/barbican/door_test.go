package barbican_test

import (
	"encoding/base64"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/barbican"
	"poise/internal/database"
	"poise/internal/database/databasetest"
)

func TestCertificate(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		v := newVault(t, db)
		certificate, key, chain, phrase := v.store("CERT"), v.store("KEY"), v.store("CHAIN"), v.store("PHRASE")
		full := v.contain("certificate", "certificate", certificate, "private_key", key, "intermediates", chain, "private_key_passphrase", phrase)
		plain := v.contain("certificate", "certificate", certificate)
		bundle := v.want(201, "POST", "/v1/secrets", object{
			"payload": base64.StdEncoding.EncodeToString([]byte("\x30\x00")), "payload_content_type": "application/octet-stream",
			"payload_content_encoding": "base64",
		}).dig("secret_ref").(string)
		id := func(ref string) string { return ref[len(ref)-36:] }
		parts := barbican.Certificate{
			Certificate: []byte("CERT"), PrivateKey: []byte("KEY"), Intermediates: []byte("CHAIN"), Passphrase: []byte("PHRASE"),
		}
		pkcs12 := barbican.Certificate{PKCS12: []byte("\x30\x00")}
		for name, test := range map[string]struct {
			ref  string
			want barbican.Certificate
		}{
			"container":                 {full, parts},
			"container by id":           {id(full), parts},
			"certificate alone":         {plain, barbican.Certificate{Certificate: []byte("CERT")}},
			"bundle":                    {bundle, pkcs12},
			"bundle by id":              {id(bundle), pkcs12},
			"bundle at another address": {"https://old.example/key-manager/v1/secrets/" + id(bundle) + "/", pkcs12},
		} {
			got, err := v.service.Certificate(t.Context(), alice, test.ref)
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
			}
		}
		if _, err := v.service.Certificate(t.Context(), bob, full); !errors.Is(err, barbican.ErrForbidden) {
			t.Errorf("another project's container: %v", err)
		}
		v.want(200, "PUT", full+"/acl", object{"read": object{"users": []string{"bob"}}})
		if _, err := v.service.Certificate(t.Context(), bob, full); !errors.Is(err, barbican.ErrForbidden) {
			t.Errorf("a shared container of secrets that are not: %v", err)
		}
		for name, ref := range map[string]string{
			"nothing": "", "no id": publicURL + "/v1/secrets/x", "no such": publicURL + "/v1/secrets/6fcc9f02-8b3e-478d-96b8-c6748908e9dc",
			"no such id": "6fcc9f02-8b3e-478d-96b8-c6748908e9dc", "no such container": publicURL + "/v1/containers/" + id(bundle),
			"empty container": v.contain("certificate"), "another kind": publicURL + "/v1/orders/" + id(bundle),
			"no payload": v.want(201, "POST", "/v1/secrets", object{}).dig("secret_ref").(string),
		} {
			if _, err := v.service.Certificate(t.Context(), alice, ref); !errors.Is(err, barbican.ErrNotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := v.service.Certificate(t.Context(), alice, v.contain("generic", "certificate", certificate)); err == nil || errors.Is(err, barbican.ErrNotFound) {
			t.Errorf("generic container: %v", err)
		}
	})
}

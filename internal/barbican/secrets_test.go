package barbican_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poise/internal/barbican"
	"poise/internal/database"
	"poise/internal/database/databasetest"
)

func TestSecretInOneStep(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		v := newVault(t, db)
		ref := v.want(201, "POST", "/v1/secrets/", object{
			"name": " tls ", "algorithm": "aes", "bit_length": 256, "mode": "cbc", "secret_type": "passphrase",
			"expiration": "2199-01-02T03:04:05+01:00", "payload": "open sesame\n", "payload_content_type": "text/plain; charset=utf-8",
		})
		where := ref.dig("secret_ref").(string)
		if ref.header.Get("Location") != where || !strings.HasPrefix(where, publicURL+"/v1/secrets/") {
			t.Errorf("Location %q, reference %q", ref.header.Get("Location"), where)
		}
		got := v.want(200, "GET", where, nil).dig().(object)
		for _, field := range []string{"created", "updated"} {
			at, err := time.Parse("2006-01-02T15:04:05.000000", got[field].(string))
			if err != nil || time.Since(at) > time.Minute {
				t.Errorf("%s is %v: %v", field, got[field], err)
			}
			delete(got, field)
		}
		want := object{
			"secret_ref": where, "name": "tls", "status": "ACTIVE", "creator_id": "alice", "secret_type": "passphrase",
			"algorithm": "aes", "bit_length": 256.0, "mode": "cbc", "expiration": "2199-01-02T02:04:05.000000",
			"content_types": object{"default": "text/plain"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("secret (-want +got):\n%s", diff)
		}
		payload := v.want(200, "GET", where+"/payload", nil, "Accept", "text/plain")
		if payload.text != "open sesame" || payload.header.Get("Cache-Control") != "no-store" {
			t.Errorf("payload %q, header %v", payload.text, payload.header)
		}
		v.want(204, "DELETE", where, nil)
		v.want(404, "GET", where, nil)
		v.want(404, "DELETE", where, nil)
	})
}

func TestSecretInTwoSteps(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		v := newVault(t, db)
		ref := v.want(201, "POST", "/v1/secrets", object{}).dig("secret_ref").(string)
		if got := v.want(200, "GET", ref, nil).dig("content_types"); got != nil {
			t.Errorf("content types without a payload: %v", got)
		}
		v.want(404, "GET", ref+"/payload", nil)
		v.want(415, "PUT", ref, `{"payload":"x"}`)
		v.want(415, "PUT", ref, "x", "Content-Type", "application/pkcs8")
		v.want(415, "PUT", ref, "x", "Content-Type", "text/plain; charset=latin1")
		v.want(400, "PUT", ref, "", "Content-Type", "text/plain")
		v.want(400, "PUT", ref, "\xff", "Content-Type", "text/plain")
		v.want(400, "PUT", ref, "eA==", "Content-Type", "text/plain", "Content-Encoding", "base64")
		v.want(400, "PUT", ref, "!", "Content-Type", "application/octet-stream", "Content-Encoding", "base64")
		v.want(413, "PUT", ref, strings.Repeat("x", barbican.MaxPayload+1), "Content-Type", "text/plain")
		v.want(204, "PUT", ref, "AP8=\n", "Content-Type", "application/octet-stream", "Content-Encoding", "base64")
		if got := v.want(200, "GET", ref+"/payload", nil); got.text != "\x00\xff" {
			t.Errorf("payload %q", got.text)
		}
		v.want(409, "PUT", ref, "other", "Content-Type", "text/plain")
		v.want(204, "PUT", ref, "AQ==", "Content-Type", "application/octet-stream", "Content-Encoding", "base64")
		if got := v.want(200, "GET", ref+"/payload", nil); got.text != "\x01" {
			t.Errorf("replaced payload %q", got.text)
		}
		v.as(anton).want(204, "PUT", ref, "\x02", "Content-Type", "application/octet-stream")
		v.as(olga).want(403, "PUT", ref, "\x03", "Content-Type", "application/octet-stream")
		v.as(bob).want(403, "PUT", ref, "\x03", "Content-Type", "application/octet-stream")
	})
}

// TestChanges are told of secrets and of the containers that hold them.
func TestChanges(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		v := newVault(t, db)
		var told []string
		v.service.OnChange(func(ids ...string) { told = append(told, ids...) })
		id := func(ref string) string { return ref[len(ref)-36:] }
		secret, other := v.store("one"), v.store("other")
		container := v.contain("certificate", "certificate", secret)
		before := time.Now()
		for what, change := range map[string]func(){
			"a payload":          func() { v.want(204, "PUT", secret, "two", "Content-Type", "text/plain") },
			"an access list":     func() { v.want(200, "PUT", secret+"/acl", object{"read": object{"users": []string{"bob"}}}) },
			"no access list":     func() { v.want(200, "DELETE", secret+"/acl", nil) },
			"a container's list": func() { v.want(200, "PUT", container+"/acl", object{"read": object{"users": []string{"bob"}}}) },
		} {
			told = nil
			change()
			if !slices.Contains(told, id(container)) || slices.Contains(told, id(other)) {
				t.Errorf("%s: told of %v", what, told)
			}
		}
		ids, last, err := v.service.Changed(t.Context(), before)
		slices.Sort(ids)
		want := slices.Sorted(slices.Values([]string{id(secret), id(container)}))
		if diff := cmp.Diff(want, slices.Compact(ids)); err != nil || diff != "" || last.Before(before) {
			t.Errorf("changed since: %v, last %v after %v\n%s", err, last, before, diff)
		}
		if ids, _, err := v.service.Changed(t.Context(), last); err != nil || len(ids) > 0 {
			t.Errorf("after the last change: %v, %v", ids, err)
		}
		told = nil
		v.want(204, "DELETE", secret, nil)
		if diff := cmp.Diff([]string{id(container), id(secret)}, told); diff != "" {
			t.Errorf("deletion: %s", diff)
		}
	})
}

func TestPayloadForms(t *testing.T) {
	const binary = "application/octet-stream"
	v := newVault(t, databasetest.SQLite(t))
	bundle := "\x30\x82\x00\xff"
	lines := base64.StdEncoding.EncodeToString([]byte(bundle))[:4] + "\n" + base64.StdEncoding.EncodeToString([]byte(bundle))[4:] + "\n"
	tests := map[string]struct {
		body                   object
		accept                 string
		createStatus, status   int
		payload, receivedAsHas string
	}{
		"text":                  {object{"payload": "a\nb", "payload_content_type": "text/plain"}, "text/plain", 201, 200, "a\nb", "text/plain"},
		"text as binary":        {object{"payload": "é", "payload_content_type": "text/plain;charset=UTF-8"}, binary, 201, 200, "é", binary},
		"text with NUL":         {object{"payload": "a\x00b", "payload_content_type": "text/plain"}, "*/*", 201, 200, "a\x00b", "text/plain"},
		"bundle":                {object{"payload": lines, "payload_content_type": binary, "payload_content_encoding": "base64"}, binary, 201, 200, bundle, binary},
		"bundle without Accept": {object{"payload": lines, "payload_content_type": binary, "payload_content_encoding": "base64"}, "", 201, 200, bundle, binary},
		"bundle, any":           {object{"payload": lines, "payload_content_type": binary, "payload_content_encoding": "base64"}, "image/png, */*;q=0.5", 201, 200, bundle, binary},
		"bundle as text":        {object{"payload": lines, "payload_content_type": binary, "payload_content_encoding": "base64"}, "text/plain", 201, 406, "", ""},
		"as an image":           {object{"payload": "x", "payload_content_type": "text/plain"}, "image/png", 201, 406, "", ""},
		"pkcs8":                 {object{"payload": lines, "payload_content_type": "application/pkcs8", "payload_content_encoding": "base64"}, "application/pkcs8", 201, 200, bundle, "application/pkcs8"},
		"no type":               {object{"payload": "x"}, "", 400, 0, "", ""},
		"null type":             {object{"payload": "x", "payload_content_type": nil}, "", 400, 0, "", ""},
		"unknown type":          {object{"payload": "x", "payload_content_type": "text/html"}, "", 400, 0, "", ""},
		"other charset":         {object{"payload": "x", "payload_content_type": "text/plain; charset=latin1"}, "", 400, 0, "", ""},
		"empty":                 {object{"payload": " \n", "payload_content_type": "text/plain"}, "", 400, 0, "", ""},
		"text in base64":        {object{"payload": "eA==", "payload_content_type": "text/plain", "payload_content_encoding": "base64"}, "", 400, 0, "", ""},
		"binary without base64": {object{"payload": "x", "payload_content_type": binary}, "", 400, 0, "", ""},
		"binary in hex":         {object{"payload": "00", "payload_content_type": binary, "payload_content_encoding": "hex"}, "", 400, 0, "", ""},
		"bad base64":            {object{"payload": "***", "payload_content_type": binary, "payload_content_encoding": "base64"}, "", 400, 0, "", ""},
		"type without payload":  {object{"payload_content_type": "text/plain"}, "", 400, 0, "", ""},
		"longest":               {object{"payload": strings.Repeat("x", barbican.MaxPayload), "payload_content_type": "text/plain"}, "text/plain", 201, 200, strings.Repeat("x", barbican.MaxPayload), "text/plain"},
		"too long":              {object{"payload": strings.Repeat("x", barbican.MaxPayload+1), "payload_content_type": "text/plain"}, "", 413, 0, "", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			v := *v
			v.TB = t
			made := v.want(test.createStatus, "POST", "/v1/secrets", test.body)
			if test.createStatus != 201 {
				return
			}
			var headers []string
			if test.accept != "" {
				headers = []string{"Accept", test.accept}
			}
			got := v.want(test.status, "GET", made.dig("secret_ref").(string)+"/payload", nil, headers...)
			if test.status == 200 && (got.text != test.payload || got.header.Get("Content-Type") != test.receivedAsHas) {
				t.Errorf("%q as %s, want %q as %s", got.text, got.header.Get("Content-Type"), test.payload, test.receivedAsHas)
			}
		})
	}
}

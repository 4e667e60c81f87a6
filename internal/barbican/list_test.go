package barbican_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"poise/internal/database"
	"poise/internal/database/databasetest"
)

func TestListSecrets(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		v := newVault(t, db)
		v.as(bob).store("x", "name", "foreign")
		v.store("x", "name", "a", "algorithm", "aes", "bit_length", 128, "mode", "cbc", "expiration", "2190-01-01T00:00:00")
		v.store("x", "name", "c", "algorithm", "aes", "bit_length", 256, "secret_type", "symmetric", "expiration", "2191-01-01T00:00:00Z")
		v.store("x", "name", "b", "algorithm", "rsa", "bit_length", 256, "secret_type", "private")
		created, _ := v.want(200, "GET", "/v1/secrets?name=c", nil).dig("secrets", 0, "created").(string)
		for query, want := range map[string]string{
			"":                              "a c b",
			"name=a":                        "a",
			"name=%25":                      "",
			"alg=aes":                       "a c",
			"mode=cbc":                      "a",
			"bits=256":                      "c b",
			"bits=many":                     "a c b",
			"secret_type=private":           "b",
			"alg=aes&bits=256":              "c",
			"sort=mode":                     "c b a",
			"sort=mode:desc":                "a c b",
			"sort=name":                     "a b c",
			"sort=name:desc":                "c b a",
			"sort=bit_length:desc,name:asc": "b c a",
			"sort=status,created:desc":      "b c a",
			"created=" + created:            "c",
			"created=gt:" + created:         "b",
			"created=gte:" + created:        "c b",
			"created=lt:" + created:         "a",
			"updated=lte:" + created:        "a c",
			"created=gte:" + created + ",lte:" + created: "c",
			"expiration=gt:2190-06-01":                   "c",
			"expiration=2190-01-01T00:00:00%2B00:00":     "a",
			"expiration=lt:2190-06-01T00:00:00":          "a",
			"acl_only=true":                              "",
			"limit=2":                                    "a c",
			"limit=2&offset=2":                           "b",
			"limit=0":                                    "a",
			"limit=-1&offset=-1":                         "a",
			"limit=x&offset=99999999999999999999":        "a c b",
			"offset=3":                                   "",
		} {
			if got := v.want(200, "GET", "/v1/secrets?"+query, nil).names("secrets"); got != want {
				t.Errorf("%s: %q, want %q", query, got, want)
			}
		}
		for _, query := range []string{
			"sort=size", "sort=name:up", "sort=name,name", "sort=,", "created=yesterday", "updated=ge:2026-01-01",
			"expiration=gt:2026-01-01,lt:2027-01-01,2026-05-05", "name=%00", "name=%ff",
		} {
			v.want(400, "GET", "/v1/secrets?"+query, nil)
		}
	})
}

func TestPages(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		v := newVault(t, db)
		for i := range 12 {
			v.store("x", "name", fmt.Sprint("s", i), "algorithm", "aes")
			v.want(201, "POST", "/v1/containers", object{"type": "generic", "name": fmt.Sprint("s", i)})
		}
		for _, list := range []string{"secrets", "containers"} {
			var names []string
			next := publicURL + "/v1/" + list + "?limit=5&alg=aes"
			for next != "" {
				page := v.want(200, "GET", next, nil)
				names = append(names, page.names(list))
				if total := page.dig("total"); total != 12.0 {
					t.Errorf("total %v", total)
				}
				if _, hasPrevious := page.dig("previous").(string); hasPrevious != (len(names) > 1) {
					t.Errorf("page %d: previous %v", len(names), page.dig("previous"))
				}
				next, _ = page.dig("next").(string)
				if address, err := url.Parse(next); err != nil || (next != "" && address.Query().Get("alg") != "aes") {
					t.Errorf("next page is %q", next)
				}
			}
			if got := strings.Join(names, "|"); got != "s0 s1 s2 s3 s4|s5 s6 s7 s8 s9|s10 s11" {
				t.Errorf("pages %q", got)
			}
			if got := v.want(200, "GET", "/v1/"+list, nil).names(list); strings.Count(got, " ") != 9 {
				t.Errorf("default page: %q", got)
			}
		}
	})
}

func TestExpiredSecretIsGone(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		v := newVault(t, db)
		v.want(400, "POST", "/v1/secrets", object{"expiration": "2020-01-01T00:00:00"})
		v.want(400, "POST", "/v1/secrets", object{"expiration": "soon"})
		ref := v.store("x", "expiration", time.Now().Add(time.Hour).UTC().Format(time.RFC3339Nano))
		other := v.store("y", "name", "stays")
		box := v.contain("certificate", "certificate", other, "private_key", ref)
		if _, err := db.ExecContext(t.Context(), "UPDATE barbican_secret SET expires_at = 1 WHERE expires_at <> 0"); err != nil {
			t.Fatal(err)
		}
		for _, request := range []string{"GET ", "GET /payload", "GET /metadata", "GET /acl", "GET /consumers", "DELETE "} {
			method, suffix, _ := strings.Cut(request, " ")
			v.want(404, method, ref+suffix, nil)
		}
		if got := v.want(200, "GET", "/v1/secrets?expiration=lt:2100-01-01", nil).names("secrets"); got != "" {
			t.Errorf("list has %q", got)
		}
		v.want(404, "POST", "/v1/containers", containerBody("generic", "a", ref))
		if _, err := v.service.Certificate(t.Context(), alice, box); err == nil {
			t.Error("a certificate with an expired key")
		}
	})
}

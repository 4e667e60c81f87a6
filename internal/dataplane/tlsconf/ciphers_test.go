package tlsconf

import (
	"crypto/tls"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	gcm    = "ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-RSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-RSA-AES256-GCM-SHA384"
	chacha = "ECDHE-ECDSA-CHACHA20-POLY1305 ECDHE-RSA-CHACHA20-POLY1305"
	cbc    = "ECDHE-ECDSA-AES128-SHA ECDHE-RSA-AES128-SHA ECDHE-ECDSA-AES256-SHA ECDHE-RSA-AES256-SHA"
	secure = gcm + " " + chacha + " " + cbc
)

func TestCipherLists(t *testing.T) {
	for list, want := range map[string]string{
		"ECDHE-RSA-AES128-GCM-SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
		"ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:UNKNOWN:TLS_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
		"AES128-SHA:DES-CBC3-SHA": "AES128-SHA DES-CBC3-SHA",
		"ECDHE-RSA-AES128-SHA256": "ECDHE-RSA-AES128-SHA256",
		"DEFAULT":                 secure,
		"HIGH:!aNULL:!MD5":        secure,
		"ALL:!SHA1":               gcm + " " + chacha,
		"ECDHE+AESGCM":            gcm,
		"EECDH+CHACHA20, EECDH+AESGCM; @STRENGTH":     chacha + " " + gcm,
		"ALL:!AES:ECDHE-RSA-AES128-SHA":               chacha,
		"ALL:-AES:ECDHE-RSA-AES128-SHA":               chacha + " ECDHE-RSA-AES128-SHA",
		"HIGH:!ECDSA:!CHACHA20:+SHA1":                 "ECDHE-RSA-AES128-GCM-SHA256 ECDHE-RSA-AES256-GCM-SHA384 ECDHE-RSA-AES128-SHA ECDHE-RSA-AES256-SHA",
		"AES128-SHA:RC4-SHA:AES256-SHA:!RC4":          "AES128-SHA AES256-SHA",
		"AES128-SHA:ECDHE-RSA-AES128-SHA:!kRSA":       "ECDHE-RSA-AES128-SHA",
		"DES-CBC3-SHA:RC4-SHA:AES256-SHA:!MEDIUM":     "AES256-SHA",
		"ECDHE-RSA-AES128-SHA ECDHE-RSA-AES128-SHA:!": "ECDHE-RSA-AES128-SHA",
		"":                       "everything that is good",
		"  ":                     "everything that is good",
		"MEDIUM":                 "error",
		":::":                    "error",
		"TLS_AES_128_GCM_SHA256": "error",
	} {
		ids, err := parseCiphers(list, tls.VersionTLS12)
		var got []string
		for _, id := range ids {
			got = append(got, cipherName(id))
		}
		if ids == nil {
			got = []string{"everything that is good"}
		}
		if err != nil {
			got = []string{"error"}
		}
		if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%q (-want +got):\n%s", list, diff)
		}
	}
	if ids, err := parseCiphers("NONE", tls.VersionTLS13); ids != nil || err != nil {
		t.Errorf("TLS 1.3 alone has no choice of ciphers: %v, %v", ids, err)
	}
}

// The names are OpenSSL's: the command knows each with the same number, unless it was built without.
func TestCipherNames(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "openssl", "ciphers", "-V", "ALL:COMPLEMENTOFALL:@SECLEVEL=0").Output()
	if err != nil {
		t.Fatal("openssl ciphers: ", err)
	}
	known := map[string]string{}
	for _, line := range regexp.MustCompile(`0x(..),0x(..) - (\S+)`).FindAllStringSubmatch(string(out), -1) {
		known[line[3]] = line[1] + line[2]
	}
	named := map[uint16]bool{}
	for _, s := range suites {
		named[s.id] = true
		if number, ok := known[s.name]; ok && number != fmt.Sprintf("%04X", s.id) {
			t.Errorf("%s is %s, not %04X", s.name, number, s.id)
		} else if !ok && !strings.Contains(s.name, "RC4") && !strings.Contains(s.name, "DES") {
			t.Errorf("openssl does not know %s", s.name)
		}
	}
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if s.SupportedVersions[0] != tls.VersionTLS13 && !named[s.ID] {
			t.Errorf("%s has no name", s.Name)
		}
		if got := known[cipherName(s.ID)]; s.SupportedVersions[0] == tls.VersionTLS13 && got != fmt.Sprintf("%04X", s.ID) {
			t.Errorf("%s is %q to openssl", s.Name, got)
		}
	}
}

// A list is the user's: whatever it is, it makes an error or a set of what crypto/tls has.
func FuzzCipherList(f *testing.F) {
	f.Add("ECDHE+AESGCM:!aNULL:-SHA1:+RC4:@STRENGTH")
	f.Fuzz(func(t *testing.T, list string) {
		ids, err := parseCiphers(list, tls.VersionTLS12)
		if err != nil {
			return
		}
		seen := map[uint16]bool{}
		for _, id := range ids {
			if strings.HasPrefix(tls.CipherSuiteName(id), "0x") || seen[id] {
				t.Errorf("%q has %04X twice or unknown", list, id)
			}
			seen[id] = true
		}
	})
}

package tlsconf

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
)

// suite is a cipher suite of TLS before 1.3 that crypto/tls has, by OpenSSL's name (openssl-ciphers(1)).
type suite struct {
	id   uint16
	name string
	// kinds are the words of OpenSSL's cipher lists that include it.
	kinds []string
	// Insecure suites (RFC 9325 §4.1: without forward secrecy, RC4, 3DES, or CBC with SHA-256, of which crypto/tls has no
	// constant-time version) are used only where they are named one by one.
	insecure bool
}

var suites = []suite{
	modern(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ECDHE-ECDSA-AES128-GCM-SHA256", "AES AES128 AESGCM AEAD TLSv1.2 SHA256"),
	modern(tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "ECDHE-RSA-AES128-GCM-SHA256", "AES AES128 AESGCM AEAD TLSv1.2 SHA256"),
	modern(tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "ECDHE-ECDSA-AES256-GCM-SHA384", "AES AES256 AESGCM AEAD TLSv1.2 SHA384"),
	modern(tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "ECDHE-RSA-AES256-GCM-SHA384", "AES AES256 AESGCM AEAD TLSv1.2 SHA384"),
	modern(tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-ECDSA-CHACHA20-POLY1305", "CHACHA20 AEAD TLSv1.2"),
	modern(tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-RSA-CHACHA20-POLY1305", "CHACHA20 AEAD TLSv1.2"),
	modern(tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, "ECDHE-ECDSA-AES128-SHA", "AES AES128 SHA SHA1 TLSv1 TLSv1.0"),
	modern(tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, "ECDHE-RSA-AES128-SHA", "AES AES128 SHA SHA1 TLSv1 TLSv1.0"),
	modern(tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, "ECDHE-ECDSA-AES256-SHA", "AES AES256 SHA SHA1 TLSv1 TLSv1.0"),
	modern(tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, "ECDHE-RSA-AES256-SHA", "AES AES256 SHA SHA1 TLSv1 TLSv1.0"),

	insecure(tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, "ECDHE-ECDSA-AES128-SHA256"),
	insecure(tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, "ECDHE-RSA-AES128-SHA256"),
	insecure(tls.TLS_RSA_WITH_AES_128_GCM_SHA256, "AES128-GCM-SHA256"),
	insecure(tls.TLS_RSA_WITH_AES_256_GCM_SHA384, "AES256-GCM-SHA384"),
	insecure(tls.TLS_RSA_WITH_AES_128_CBC_SHA256, "AES128-SHA256"),
	insecure(tls.TLS_RSA_WITH_AES_128_CBC_SHA, "AES128-SHA"),
	insecure(tls.TLS_RSA_WITH_AES_256_CBC_SHA, "AES256-SHA"),
	insecure(tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA, "ECDHE-RSA-DES-CBC3-SHA"),
	insecure(tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, "DES-CBC3-SHA"),
	insecure(tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA, "ECDHE-ECDSA-RC4-SHA"),
	insecure(tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA, "ECDHE-RSA-RC4-SHA"),
	insecure(tls.TLS_RSA_WITH_RC4_128_SHA, "RC4-SHA"),
}

func modern(id uint16, name, kinds string) suite {
	all := append(strings.Fields(kinds), "ALL", "DEFAULT", "HIGH", "FIPS", "ECDHE", "EECDH", "kEECDH", "kECDHE")
	if strings.Contains(name, "-ECDSA-") {
		all = append(all, "ECDSA", "aECDSA")
	} else {
		all = append(all, "aRSA")
	}
	return suite{id: id, name: name, kinds: all}
}

func insecure(id uint16, name string) suite { return suite{id: id, name: name, insecure: true} }

// matches says whether an element of a list means the suite: its name, or words that all include it with + between.
func (s *suite) matches(element string) bool {
	if element == s.name {
		return true
	}
	for word := range strings.SplitSeq(element, "+") {
		if !slices.Contains(s.kinds, word) {
			return false
		}
	}
	return true
}

// removes is matches of an element that excludes. There !RC4 means every suite with the word in its name.
func (s *suite) removes(element string) bool {
	if s.matches(element) {
		return true
	}
	if !s.insecure {
		return false
	}
	switch element {
	case "kRSA", "RSA":
		return !strings.HasPrefix(s.name, "ECDHE-")
	case "3DES", "MEDIUM":
		return strings.Contains(s.name, "DES-CBC3") || element == "MEDIUM" && strings.Contains(s.name, "RC4")
	case "RC4", "SHA256", "ECDHE":
		return strings.Contains(s.name, element)
	}
	return false
}

// parseCiphers makes suites of a list as openssl-ciphers(1) describes it. crypto/tls has an order of its own, so that only
// the set counts. What is unknown is ignored, and so are the suites of TLS 1.3, which are always all there. nil leaves the choice to
// crypto/tls; it is also the answer where only TLS 1.3 is spoken, which has no such choice.
func parseCiphers(list string, lowestVersion uint16) ([]uint16, error) {
	if strings.TrimSpace(list) == "" || lowestVersion >= tls.VersionTLS13 {
		return nil, nil
	}
	var chosen []uint16
	banned := map[uint16]bool{}
	for _, element := range strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(":;, ", r) }) {
		name := strings.TrimLeft(element, "!-+")
		for _, s := range suites {
			switch {
			case element[0] == '!' || element[0] == '-':
				if s.removes(name) {
					banned[s.id] = banned[s.id] || element[0] == '!'
					chosen = slices.DeleteFunc(chosen, func(id uint16) bool { return id == s.id })
				}
			case element[0] == '+': // only moves, and order does not count
			case s.matches(name) && !banned[s.id] && !slices.Contains(chosen, s.id):
				chosen = append(chosen, s.id)
			}
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("none of the ciphers %q is available for versions before TLSv1.3; available are those with ECDHE, such as "+
			"ECDHE-ECDSA-AES128-GCM-SHA256 and ECDHE-RSA-AES128-GCM-SHA256", list)
	}
	return chosen, nil
}

// defaultSuites are those with forward secrecy that fit the versions: those with authenticated encryption, and where versions
// before 1.2 are allowed, which know none, those with CBC and SHA-1.
func defaultSuites(v versions) (chosen []uint16) {
	for _, s := range suites {
		if slices.Contains(s.kinds, "AEAD") || v.lowest() < tls.VersionTLS12 && slices.Contains(s.kinds, "SHA1") {
			chosen = append(chosen, s.id)
		}
	}
	return chosen
}

// checkSuites refuses suites of which none fits any of the versions: every handshake would fail.
func (v versions) checkSuites(chosen []uint16, list string) error {
	if chosen == nil || v.highest() >= tls.VersionTLS13 {
		return nil
	}
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if slices.Contains(chosen, s.ID) && slices.ContainsFunc(v, func(one uint16) bool { return slices.Contains(s.SupportedVersions, one) }) {
			return nil
		}
	}
	return fmt.Errorf("none of the ciphers %q is there in %s; those with CBC are, such as ECDHE-RSA-AES128-SHA and "+
		"ECDHE-ECDSA-AES128-SHA", list, versionName(v.highest()))
}

// cipherName is OpenSSL's; the suites of TLS 1.3 have their IANA names there.
func cipherName(id uint16) string {
	for _, s := range suites {
		if s.id == id {
			return s.name
		}
	}
	return tls.CipherSuiteName(id)
}

package proxy

import (
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/dataplane"
	"poise/internal/lb"
	"poise/internal/testpki"
)

// docs/tls.md says what clients are offered when nobody chooses. It is measured here with openssl, as scanners do it: offer
// everything, see what is taken, offer the rest.
func TestDefaultsAsDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../docs/tls.md")
	if err != nil {
		t.Fatal(err)
	}
	_, documented, _ := strings.Cut(string(text), "```text\n")
	documented, _, _ = strings.Cut(documented, "```\n")
	measured := scan(t, defaultBench(t))
	if diff := cmp.Diff(documented, measured); diff != "" {
		t.Errorf("docs/tls.md (-documented +measured):\n%s\nmeasured:\n%s", diff, measured)
	}
}

// defaultBench is a listener with certificates of both kinds and what the API fills in.
func defaultBench(t *testing.T) *bench {
	listener, err := new(lb.LoadBalancer).CreateListener(lb.ListenerCreate{
		ListenerAttrs: lb.ListenerAttrs{DefaultTLSContainerRef: lb.Some("https://keys.example.com/v1/secrets/1")},
		Protocol:      string(lb.TerminatedHTTPS), ProtocolPort: 443,
	})
	if err != nil {
		t.Fatal(err)
	}
	ca := testpki.NewAuthority(t, "ca")
	name := testpki.DNS("www.example.com")
	return secureBench(t, &dataplane.ServerTLS{
		Handshake: dataplane.Handshake{
			Versions: listener.Handshake.Versions, Ciphers: listener.Handshake.Ciphers, ALPN: listener.Handshake.ALPNProtocols,
		},
		Certificates: []dataplane.Certificate{
			certificate(t, ca.Issue(t, "", name)), certificate(t, ca.IssueFor(t, testpki.NewRSAKey(t), "", name)),
		},
	})
}

// scan is one line for each thing that was tried.
func scan(t *testing.T, b *bench) string {
	var lines strings.Builder
	line := func(what string, found ...string) {
		lines.WriteString(strings.TrimRight(fmt.Sprintf("%-24s %s", what, strings.Join(found, " ")), " ") + "\n")
	}
	line("versions", taken(everyVersion, func(v string) bool { return shakes(t, b, versionFlags[v]...) != "" })...)
	line("TLSv1.3 suites")
	line("", exhaust(t, b, "-tls1_3", "-ciphersuites", ciphersOf(t, "-tls1_3"))...)
	line("TLSv1.2 suites")
	for _, suite := range exhaust(t, b, "-tls1_2", "-cipher", ciphersOf(t, "-tls1_2")) {
		line("", suite)
	}
	groups := []string{"X25519", "P-256", "P-384", "P-521", "X448", "ffdhe2048", "ffdhe3072"}
	line("TLSv1.3 groups", append(hybrids(t, b), taken(groups, func(g string) bool { return shakes(t, b, "-tls1_3", "-groups", g) != "" })...)...)
	line("ALPN", taken([]string{"h2", "http/1.1", "http/1.0"}, func(p string) bool {
		return strings.Contains(shakes(t, b, "-alpn", p), "ALPN protocol: "+p+"\n")
	})...)
	said := shakes(t, b, "-tls1_2", "-status")
	for _, one := range []struct{ what, pattern string }{
		{"secure renegotiation", "Secure Renegotiation IS supported"},
		{"extended master secret", "Extended master secret: yes"},
		{"session tickets", "TLS session ticket:"},
		{"compression", "Compression: [^N]"},
		{"OCSP stapling", "OCSP Response Status"},
	} {
		line(one.what, yes(regexp.MustCompile(one.pattern).MatchString(said)))
	}
	line("renegotiation by client", yes(renegotiates(t, b)))
	line("early data", yes(!strings.Contains(shakes(t, b, "-tls1_3"), "Max Early Data: 0") && strings.Contains(said, "Max Early Data")))
	line("fallback is noticed", yes(strings.Contains(shakes(t, b, "-tls1_2", "-fallback_scsv"), "inappropriate fallback")))
	return lines.String()
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// taken are those for which try says yes; "none" if there is none.
func taken(all []string, try func(string) bool) []string {
	found := slices.DeleteFunc(slices.Clone(all), func(one string) bool { return !try(one) })
	if len(found) == 0 {
		return []string{"none"}
	}
	return found
}

// shakes is what openssl s_client says about a handshake; "" when there was none, but for an alert.
func shakes(t *testing.T, b *bench, arguments ...string) string {
	t.Helper()
	arguments = append([]string{"s_client", "-connect", b.addr(), "-servername", "www.example.com"}, arguments...)
	command := exec.CommandContext(t.Context(), "openssl", arguments...)
	command.Stdin = strings.NewReader("Q\n")
	out, err := command.CombinedOutput()
	if err != nil && !strings.Contains(string(out), "inappropriate fallback") {
		return ""
	}
	return string(out)
}

// exhaust finds what is taken of a list, in the order in which the listener prefers it.
func exhaust(t *testing.T, b *bench, version, flag string, offer []string) (found []string) {
	for len(offer) > 0 {
		list := strings.Join(offer, ":")
		if flag == "-cipher" {
			list += ":@SECLEVEL=0"
		}
		_, chosen, shaken := strings.Cut(shakes(t, b, version, flag, list), "Cipher is ")
		chosen, _, _ = strings.Cut(chosen, "\n")
		if !shaken || chosen == "(NONE)" {
			break
		}
		found = append(found, chosen)
		offer = slices.DeleteFunc(offer, func(c string) bool { return c == chosen })
	}
	return found
}

// ciphersOf is everything that openssl has for a version.
func ciphersOf(t *testing.T, version string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "openssl", "ciphers", "-s", version, "ALL:COMPLEMENTOFALL:@SECLEVEL=0").Output()
	if err != nil {
		t.Fatal("openssl ciphers: ", err)
	}
	all := strings.Split(strings.TrimSpace(string(out)), ":")
	return slices.DeleteFunc(all, func(c string) bool { return strings.HasPrefix(c, "TLS_") != (version == "-tls1_3") })
}

// hybrids are the key exchanges with ML-KEM, which not every openssl has.
func hybrids(t *testing.T, b *bench) (found []string) {
	for _, group := range []tls.CurveID{tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024} {
		c, err := tls.Dial("tcp", b.addr(), &tls.Config{InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{group}})
		if err != nil {
			continue
		}
		found = append(found, group.String())
		_ = c.Close()
	}
	return found
}

// renegotiates has openssl ask for another handshake on a connection.
func renegotiates(t *testing.T, b *bench) bool {
	t.Helper()
	command := exec.CommandContext(t.Context(), "openssl", "s_client", "-connect", b.addr(), "-tls1_2")
	command.Stdin = strings.NewReader("R\n")
	out, _ := command.CombinedOutput()
	return !strings.Contains(string(out), "alert") && !strings.Contains(string(out), "error")
}

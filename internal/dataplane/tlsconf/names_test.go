package tlsconf

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// entry is one attribute of a name, as it is encoded: several entries in one set belong to one relative name.
type entry struct {
	Kind  asn1.ObjectIdentifier
	Value asn1.RawValue
}

func text(oid, value string) []entry { return typed(oid, asn1.TagUTF8String, []byte(value)) }

func typed(oid string, tag int, value []byte) []entry {
	var kind asn1.ObjectIdentifier
	for arc := range strings.SplitSeq(oid, ".") {
		n, _ := new(big.Int).SetString(arc, 10)
		kind = append(kind, int(n.Int64()))
	}
	return []entry{{kind, asn1.RawValue{Tag: tag, Bytes: value}}}
}

func TestNamesAsOpenSSLWritesThem(t *testing.T) {
	every := [][]entry{}
	for oid := range attributeNames {
		every = append(every, text(oid, "x"))
	}
	for name, sets := range map[string][][]entry{
		"empty":           {},
		"order is kept":   {text("2.5.4.3", "first"), text("2.5.4.6", "DE"), text("2.5.4.3", "second")},
		"several in one":  {append(text("2.5.4.10", "O"), text("2.5.4.3", "CN")...), text("2.5.4.11", "OU")},
		"slash and plus":  {text("2.5.4.10", "a/CN=b+c"), text("2.5.4.3", `d\e,f;g"h<i>j#k`)},
		"UTF-8":           {text("2.5.4.10", "Müller & Söhne 株式会社")},
		"control":         {text("2.5.4.3", "a\x00b\nc\x7f~ \"\\")},
		"BMP":             {typed("2.5.4.3", 30, []byte{0, 'A', 0x16, 0x7c})},
		"T61":             {typed("2.5.4.3", asn1.TagT61String, []byte("caf\xe9"))},
		"IA5":             {typed("1.2.840.113549.1.9.1", asn1.TagIA5String, []byte("a@example.com"))},
		"unknown":         {typed("1.3.6.1.4.1.99999.7", asn1.TagPrintableString, []byte("x"))},
		"empty value":     {text("2.5.4.3", "")},
		"every attribute": every,
	} {
		der := certificateFor(t, sets)
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(askOpenSSL(t, der), oneLine(parsed.RawSubject)); diff != "" {
			t.Errorf("%s (-openssl +got):\n%s", name, diff)
		}
	}
}

func askOpenSSL(t *testing.T, der []byte) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "openssl", "x509", "-inform", "DER", "-noout", "-subject", "-nameopt", "compat")
	command.Stdin = strings.NewReader(string(der))
	out, err := command.Output()
	if err != nil {
		t.Fatal("openssl x509: ", err)
	}
	return strings.TrimPrefix(strings.TrimSuffix(string(out), "\n"), "subject=")
}

// certificateFor signs a certificate for a name that crypto/x509 itself would not write.
func certificateFor(t *testing.T, sets [][]entry) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), RawSubject: nameOf(t, sets), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func nameOf(t *testing.T, sets [][]entry) []byte {
	t.Helper()
	var name []asn1.RawValue
	for _, set := range sets {
		der, err := asn1.MarshalWithParams(set, "set")
		if err != nil {
			t.Fatal(err)
		}
		name = append(name, asn1.RawValue{FullBytes: der})
	}
	der, err := asn1.Marshal(name)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestSubjectField(t *testing.T) {
	p := Peer{Certificate: &x509.Certificate{RawSubject: nameOf(t, [][]entry{
		text("2.5.4.11", "first"), text("2.5.4.11", "second"), text("2.5.4.3", "Jürgen"), text("1.3.6.1.4.1.99999.7", "own"),
	})}}
	for name, want := range map[string]string{
		"OU": "first", "organizationalUnitName": "first", "CN": "Jürgen", "commonName": "Jürgen", "1.3.6.1.4.1.99999.7": "own",
		"O": "-", "cn": "-", "2.5.4.3": "-", "": "-",
	} {
		got, ok := p.SubjectField(name)
		if !ok {
			got = "-"
		}
		if got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
	if _, ok := (&Peer{}).SubjectField("CN"); ok {
		t.Error("there is a field without a certificate")
	}
}

// A name is the client's. What is written of it is printable, so that it cannot break out of a header.
func FuzzName(f *testing.F) {
	f.Add([]byte("\x30\x0d\x31\x0b\x30\x09\x06\x03\x55\x04\x03\x0c\x02a\n"))
	f.Fuzz(func(t *testing.T, der []byte) {
		for _, r := range oneLine(der) {
			if r < ' ' || r > '~' {
				t.Errorf("%q in the name %x", r, der)
			}
		}
	})
}

package tlsconf

import (
	"encoding/asn1"
	"fmt"
	"iter"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// attributeNames are OpenSSL's short and long names of what distinguished names are made of (its objects.txt), by object identifier.
var attributeNames = map[string][2]string{
	"2.5.4.3":                    {"CN", "commonName"},
	"2.5.4.4":                    {"SN", "surname"},
	"2.5.4.5":                    {"serialNumber", "serialNumber"},
	"2.5.4.6":                    {"C", "countryName"},
	"2.5.4.7":                    {"L", "localityName"},
	"2.5.4.8":                    {"ST", "stateOrProvinceName"},
	"2.5.4.9":                    {"street", "streetAddress"},
	"2.5.4.10":                   {"O", "organizationName"},
	"2.5.4.11":                   {"OU", "organizationalUnitName"},
	"2.5.4.12":                   {"title", "title"},
	"2.5.4.13":                   {"description", "description"},
	"2.5.4.15":                   {"businessCategory", "businessCategory"},
	"2.5.4.16":                   {"postalAddress", "postalAddress"},
	"2.5.4.17":                   {"postalCode", "postalCode"},
	"2.5.4.18":                   {"postOfficeBox", "postOfficeBox"},
	"2.5.4.20":                   {"telephoneNumber", "telephoneNumber"},
	"2.5.4.41":                   {"name", "name"},
	"2.5.4.42":                   {"GN", "givenName"},
	"2.5.4.43":                   {"initials", "initials"},
	"2.5.4.44":                   {"generationQualifier", "generationQualifier"},
	"2.5.4.45":                   {"x500UniqueIdentifier", "x500UniqueIdentifier"},
	"2.5.4.46":                   {"dnQualifier", "dnQualifier"},
	"2.5.4.51":                   {"houseIdentifier", "houseIdentifier"},
	"2.5.4.65":                   {"pseudonym", "pseudonym"},
	"2.5.4.72":                   {"role", "role"},
	"2.5.4.97":                   {"organizationIdentifier", "organizationIdentifier"},
	"1.2.840.113549.1.9.1":       {"emailAddress", "emailAddress"},
	"1.2.840.113549.1.9.2":       {"unstructuredName", "unstructuredName"},
	"1.2.840.113549.1.9.8":       {"unstructuredAddress", "unstructuredAddress"},
	"0.9.2342.19200300.100.1.1":  {"UID", "userId"},
	"0.9.2342.19200300.100.1.3":  {"mail", "rfc822Mailbox"},
	"0.9.2342.19200300.100.1.25": {"DC", "domainComponent"},
	"1.3.6.1.4.1.311.60.2.1.1":   {"jurisdictionL", "jurisdictionLocalityName"},
	"1.3.6.1.4.1.311.60.2.1.2":   {"jurisdictionST", "jurisdictionStateOrProvinceName"},
	"1.3.6.1.4.1.311.60.2.1.3":   {"jurisdictionC", "jurisdictionCountryName"},
}

// attribute is one part of a distinguished name.
type attribute struct {
	kind  string // its object identifier, dotted
	value []byte // as it stands in the certificate, whatever type of string it is
	// joined says that it belongs to one relative name with the attribute before it.
	joined bool
}

func (a attribute) named(name string) bool {
	if names, known := attributeNames[a.kind]; known {
		return name == names[0] || name == names[1]
	}
	return name == a.kind
}

func (a attribute) shortName() string {
	if names, known := attributeNames[a.kind]; known {
		return names[0]
	}
	return a.kind
}

// attributes are the parts of a name in DER (RFC 5280 §4.1.2.4), in its order.
func attributes(der []byte) iter.Seq[attribute] {
	return func(yield func(attribute) bool) {
		input := cryptobyte.String(der)
		var name cryptobyte.String
		if !input.ReadASN1(&name, cryptobyte_asn1.SEQUENCE) {
			return
		}
		for !name.Empty() {
			var set cryptobyte.String
			if !name.ReadASN1(&set, cryptobyte_asn1.SET) {
				return
			}
			for joined := false; !set.Empty(); joined = true {
				a, ok := readAttribute(&set)
				a.joined = joined
				if !ok || !yield(a) {
					return
				}
			}
		}
	}
}

func readAttribute(set *cryptobyte.String) (attribute, bool) {
	var pair, value cryptobyte.String
	var kind asn1.ObjectIdentifier
	var tag cryptobyte_asn1.Tag
	if !set.ReadASN1(&pair, cryptobyte_asn1.SEQUENCE) || !pair.ReadASN1ObjectIdentifier(&kind) || !pair.ReadAnyASN1(&value, &tag) {
		return attribute{}, false
	}
	return attribute{kind: kind.String(), value: value}, true
}

// oneLine writes a name as X509_NAME_oneline of OpenSSL does: /C=DE/O=Example+CN=alice, with a backslash before / and + in values
// and \xHH for what is not printable ASCII.
func oneLine(der []byte) string {
	var line strings.Builder
	for a := range attributes(der) {
		if a.joined {
			line.WriteByte('+')
		} else {
			line.WriteByte('/')
		}
		line.WriteString(a.shortName() + "=")
		for _, b := range a.value {
			switch {
			case b < ' ' || b > '~':
				fmt.Fprintf(&line, `\x%02X`, b)
			case b == '/' || b == '+':
				line.WriteByte('\\')
				fallthrough
			default:
				line.WriteByte(b)
			}
		}
	}
	return line.String()
}

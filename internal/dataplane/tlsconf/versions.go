package tlsconf

import (
	"crypto/tls"
	"fmt"
	"slices"
)

var versionNames = map[string]uint16{
	"TLSv1":   tls.VersionTLS10,
	"TLSv1.1": tls.VersionTLS11,
	"TLSv1.2": tls.VersionTLS12,
	"TLSv1.3": tls.VersionTLS13,
}

// versions are those that may be negotiated, in ascending order; at least one.
type versions []uint16

// newVersions reads the names that the API has. SSLv3 is ignored when others are there, as nobody speaks it any more.
func newVersions(names []string) (versions, error) {
	if len(names) == 0 {
		return versions{tls.VersionTLS12, tls.VersionTLS13}, nil
	}
	var v versions
	for _, name := range names {
		if number, known := versionNames[name]; known && !slices.Contains(v, number) {
			v = append(v, number)
		}
	}
	if len(v) == 0 {
		return nil, fmt.Errorf("none of the TLS versions %q is available", names)
	}
	slices.Sort(v)
	return v, nil
}

func (v versions) lowest() uint16  { return v[0] }
func (v versions) highest() uint16 { return v[len(v)-1] }

// gap is whether versions between the lowest and the highest are missing, which a tls.Config cannot say.
func (v versions) gap() bool { return int(v.highest()-v.lowest()) != len(v)-1 }

// choose picks the highest version that is allowed and that the client offers, where there are gaps; nil without gaps. A client that offers
// none of them meets the highest one, and so the alert that says it.
func (v versions) choose(config *tls.Config) func(*tls.ClientHelloInfo) (*tls.Config, error) {
	if !v.gap() {
		return nil
	}
	only := make([]*tls.Config, len(v))
	for i, version := range v {
		only[i] = config.Clone()
		only[i].MinVersion, only[i].MaxVersion = version, version
	}
	return func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		for i := len(v) - 1; i > 0; i-- {
			if slices.Contains(hello.SupportedVersions, v[i]) {
				return only[i], nil
			}
		}
		return only[0], nil
	}
}

// versionName is OpenSSL's.
func versionName(version uint16) string {
	for name, number := range versionNames {
		if number == version {
			return name
		}
	}
	return tls.VersionName(version)
}

// upperRun is the lowest version from which on none is missing.
func (v versions) upperRun() uint16 {
	lowest := v.highest()
	for i := len(v) - 2; i >= 0 && v[i] == lowest-1; i-- {
		lowest = v[i]
	}
	return lowest
}

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

// best is the place of the highest version that a client offers too; that of the lowest one when there is none: the alert says it.
func (v versions) best(offered []uint16) int {
	for i := len(v) - 1; i > 0; i-- {
		if slices.Contains(offered, v[i]) {
			return i
		}
	}
	return 0
}

// pinned are configurations for each version alone, where there are gaps; otherwise config is good for all.
func (v versions) pinned(config *tls.Config) []*tls.Config {
	all := slices.Repeat([]*tls.Config{config}, len(v))
	if v.gap() {
		for i, version := range v {
			all[i] = config.Clone()
			all[i].MinVersion, all[i].MaxVersion = version, version
		}
	}
	return all
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

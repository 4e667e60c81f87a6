package tlsconf

import (
	"crypto/tls"
	"slices"
)

// adapt chooses by a client's hello what config cannot say by itself: the version, where there are gaps between those that are allowed,
// and whether HTTP/2 is offered, which is not to be spoken with the ciphers that came before authenticated encryption (RFC 9113
// §9.2.2). It is nil where there is nothing to choose.
func adapt(config *tls.Config, v versions) func(*tls.ClientHelloInfo) (*tls.Config, error) {
	http2 := slices.Contains(config.NextProtos, "h2") && v.lowest() < tls.VersionTLS13
	if !v.gap() && !http2 {
		return nil
	}
	full, plain := v.pinned(config), v.pinned(withoutHTTP2(config))
	modern := authenticated(config.CipherSuites)
	return func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		i := v.best(hello.SupportedVersions)
		if http2 && v[i] < tls.VersionTLS13 && !slices.ContainsFunc(hello.CipherSuites, func(id uint16) bool { return slices.Contains(modern, id) }) {
			return plain[i], nil
		}
		return full[i], nil
	}
}

func withoutHTTP2(config *tls.Config) *tls.Config {
	config = config.Clone()
	config.NextProtos = slices.DeleteFunc(slices.Clone(config.NextProtos), func(p string) bool { return p == "h2" })
	return config
}

// authenticated are those of the suites, nil: all, that have forward secrecy and authenticated encryption.
func authenticated(chosen []uint16) (modern []uint16) {
	for _, s := range suites {
		if slices.Contains(s.kinds, "AEAD") && (chosen == nil || slices.Contains(chosen, s.id)) {
			modern = append(modern, s.id)
		}
	}
	return modern
}

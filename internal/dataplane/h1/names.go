package h1

import (
	"strings"
	"unsafe"
)

// Known are the names of fields that a proxy has to know.
type Known uint8

// The known fields.
const (
	Unknown Known = iota
	Host
	Connection
	KeepAlive
	ProxyConnection
	TE
	Trailer
	TransferEncoding
	ContentLength
	ContentType
	ContentEncoding
	ContentRange
	Upgrade
	Expect
	Authorization
	WWWAuthenticate
	Cookie
	SetCookie
	CacheControl
	Date
	StrictTransportSecurity
	HTTP2Settings
	ProxyAuthenticate
	ProxyAuthorization
	XForwardedFor
	XForwardedPort
	XForwardedProto
	XForwardedIP
	XClientIP
	XRealIP
	XSSLClientVerify
	XSSLClientHasCert
	XSSLClientDN
	XSSLClientCN
	XSSLIssuer
	XSSLClientSHA1
	XSSLClientNotBefore
	XSSLClientNotAfter
	knownFields

	// XForwardedForAlike is a name that members may take for X-Forwarded-For, such as X_Forwarded_For. Of the real one a request may
	// have several lines, which proxies on the way have added.
	XForwardedForAlike = knownFields
)

// knownNames are in lower case.
var knownNames = [knownFields]string{
	Host: "host", Connection: "connection", KeepAlive: "keep-alive", ProxyConnection: "proxy-connection", TE: "te", Trailer: "trailer",
	TransferEncoding: "transfer-encoding", ContentLength: "content-length", ContentType: "content-type",
	ContentEncoding: "content-encoding", ContentRange: "content-range", Upgrade: "upgrade", Expect: "expect",
	Authorization: "authorization", WWWAuthenticate: "www-authenticate", Cookie: "cookie", SetCookie: "set-cookie",
	CacheControl: "cache-control", Date: "date", StrictTransportSecurity: "strict-transport-security", HTTP2Settings: "http2-settings",
	ProxyAuthenticate: "proxy-authenticate", ProxyAuthorization: "proxy-authorization", XForwardedFor: "x-forwarded-for",
	XForwardedPort: "x-forwarded-port", XForwardedProto: "x-forwarded-proto", XForwardedIP: "x-forwarded-ip",
	XClientIP: "x-client-ip", XRealIP: "x-real-ip", XSSLClientVerify: "x-ssl-client-verify",
	XSSLClientHasCert: "x-ssl-client-has-cert", XSSLClientDN: "x-ssl-client-dn", XSSLClientCN: "x-ssl-client-cn",
	XSSLIssuer: "x-ssl-issuer", XSSLClientSHA1: "x-ssl-client-sha1", XSSLClientNotBefore: "x-ssl-client-not-before",
	XSSLClientNotAfter: "x-ssl-client-not-after",
}

// Set is a set of known fields, as bits.
type Set uint64

// Has says whether k is in the set.
func (s Set) Has(k Known) bool { return s&(1<<k) != 0 }

// SetOf makes a set.
func SetOf(all ...Known) (s Set) {
	for _, k := range all {
		s |= of(k)
	}
	return s
}

func of(k Known) Set { return 1 << k }

// hopByHop fields concern one connection and are never passed on (RFC 9110 §7.6.1, §11.7).
const hopByHop Set = 1<<Connection | 1<<KeepAlive | 1<<ProxyConnection | 1<<TE | 1<<Upgrade | 1<<HTTP2Settings |
	1<<ProxyAuthenticate | 1<<ProxyAuthorization

// framesOrRoutes holds of fields that a Connection field cannot take out of a message.
func (k Known) framesOrRoutes() bool { return k == Host || k == ContentLength || k == TransferEncoding }

// byHash finds a known field by the hash of its name, which no other known field has.
var byHash = func() (table [256]Known) {
	for k := Host; k < knownFields; k++ {
		table[hash(knownNames[k])] = k
	}
	return table
}()

// hash needs a name of at least two bytes. Its factors were found by trying.
func hash(name string) uint8 {
	return uint8(2*len(name)) + 14*lower[name[len(name)-2]] + lower[name[len(name)-1]]
}

// Lookup finds a field's number by its name, in any case. X_Real_IP and X-Real_IP are taken for X-Real-IP, and so are the other
// fields that members trust the proxy to say: many members cannot tell them apart (RFC 3875 §4.1.18).
func Lookup(name string) Known {
	if len(name) < 2 {
		return Unknown
	}
	if k := byHash[hash(name)]; k != Unknown && equalFold(name, knownNames[k]) {
		return k
	}
	if lower[name[0]] == 'x' && strings.IndexByte(name, '_') >= 0 {
		return lookalike(name)
	}
	return Unknown
}

// lookalike finds the inserted field whose name is this one with hyphens for underscores.
func lookalike(name string) Known {
	hyphens := strings.ReplaceAll(name, "_", "-")
	k := byHash[hash(hyphens)]
	switch {
	case k < XForwardedFor || !equalFold(hyphens, knownNames[k]):
		return Unknown
	case k == XForwardedFor:
		return XForwardedForAlike
	}
	return k
}

// equalFold compares with a text in lower case.
func equalFold[T string | []byte](s T, lowerCase string) bool {
	if len(s) != len(lowerCase) {
		return false
	}
	for i := range len(s) {
		if lower[s[i]] != lowerCase[i] {
			return false
		}
	}
	return true
}

// text is p as a string that is good as long as p is left alone.
func text(p []byte) string { return unsafe.String(unsafe.SliceData(p), len(p)) }

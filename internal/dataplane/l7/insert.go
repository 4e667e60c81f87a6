package l7

import (
	"crypto/sha1"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"poise/internal/dataplane"
	"poise/internal/dataplane/h1"
	"poise/internal/dataplane/tlsconf"
)

// Drop are the fields of a request that are not passed on to the members of pool: what is inserted takes their place, and
// the pool's own cookie is not for members (see [Pool.DropsCookie]).
func (s *Site) Drop(pool *Pool) h1.Set {
	drop := s.inserts.of(pool).drop
	if pool.DropsCookie() {
		drop |= h1.SetOf(h1.Cookie)
	}
	return drop
}

// AppendInserted appends the inserted fields, each as "name: value\r\n".
func (s *Site) AppendInserted(dst []byte, c *Client, pool *Pool) []byte {
	list := s.inserts.of(pool).list
	for i := range list {
		dst = append(dst, list[i].name...)
		dst = list[i].value(dst, c)
		dst = append(dst, "\r\n"...)
	}
	return dst
}

// inserts are the headers that a listener adds to requests: for members that speak HTTP, and for others.
type inserts struct{ http, other insertions }

type insertions struct {
	list []insertion
	drop h1.Set
}

// insertion is one header: its name with the colon, and what appends its value.
type insertion struct {
	name  string
	value func([]byte, *Client) []byte
}

// of chooses by what the pool's members speak.
func (s *inserts) of(pool *Pool) *insertions {
	if pool.Config.HTTP {
		return &s.http
	}
	return &s.other
}

// newInserts leaves out what a listener without TLS cannot know.
func newInserts(kinds []dataplane.Insertion, secure bool) (s inserts) {
	for _, kind := range kinds {
		value := insertable[kind]
		if value == nil || !secure && strings.HasPrefix(string(kind), "X-SSL-") {
			continue
		}
		s.http.add(kind, value)
		switch kind {
		case dataplane.XForwardedFor, dataplane.XForwardedPort, dataplane.XForwardedProto:
		default:
			s.other.add(kind, value)
		}
	}
	return s
}

func (s *insertions) add(kind dataplane.Insertion, value func([]byte, *Client) []byte) {
	s.list = append(s.list, insertion{string(kind) + ": ", value})
	known := h1.Lookup(string(kind))
	if known == h1.XForwardedFor {
		known = h1.XForwardedForAlike // lines of further proxies stay
	}
	s.drop |= h1.SetOf(known)
}

// insertable are the headers that can be inserted (octavia-dataplane.md §2.2).
var insertable = map[dataplane.Insertion]func([]byte, *Client) []byte{
	dataplane.XForwardedFor:   appendAddress,
	dataplane.XForwardedIP:    appendAddress,
	dataplane.XClientIP:       appendAddress,
	dataplane.XRealIP:         appendAddress,
	dataplane.XForwardedPort:  appendPort,
	dataplane.XForwardedProto: appendScheme,

	dataplane.XSSLClientVerify:    appendVerify,
	dataplane.XSSLClientHasCert:   appendHasCertificate,
	dataplane.XSSLClientDN:        quoted(appendSubject),
	dataplane.XSSLClientCN:        quoted(appendCommonName),
	dataplane.XSSLIssuer:          quoted(appendIssuer),
	dataplane.XSSLClientSHA1:      quoted(appendFingerprint),
	dataplane.XSSLClientNotBefore: quoted(appendNotBefore),
	dataplane.XSSLClientNotAfter:  quoted(appendNotAfter),
}

func appendAddress(dst []byte, c *Client) []byte {
	return appendIP(dst, c.Address.Addr())
}

func appendIP(dst []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return dst
	}
	return a.Unmap().WithZone("").AppendTo(dst)
}

func appendPort(dst []byte, c *Client) []byte {
	return strconv.AppendUint(dst, uint64(c.Local.Port()), 10)
}

func appendScheme(dst []byte, c *Client) []byte {
	if c.TLS != nil {
		return append(dst, "https"...)
	}
	return append(dst, "http"...)
}

func appendVerify(dst []byte, c *Client) []byte {
	if c.TLS == nil {
		return append(dst, '0')
	}
	return strconv.AppendInt(dst, int64(c.TLS.VerifyResult()), 10)
}

func appendHasCertificate(dst []byte, c *Client) []byte {
	if c.TLS == nil || c.TLS.Certificate == nil {
		return append(dst, '0')
	}
	return append(dst, '1')
}

// quoted puts what a certificate says between quotes, so that nothing in it can end them. Without a certificate the value is
// empty, without quotes as well: members that look whether there is one must not find two characters.
func quoted(value func([]byte, *tlsconf.Peer) []byte) func([]byte, *Client) []byte {
	return func(dst []byte, c *Client) []byte {
		if c.TLS == nil || c.TLS.Certificate == nil {
			return dst
		}
		dst = append(dst, '"')
		dst = value(dst, c.TLS)
		return append(dst, '"')
	}
}

func appendSubject(dst []byte, p *tlsconf.Peer) []byte { return appendEscaped(dst, p.Subject()) }
func appendIssuer(dst []byte, p *tlsconf.Peer) []byte  { return appendEscaped(dst, p.Issuer()) }

func appendCommonName(dst []byte, p *tlsconf.Peer) []byte {
	name, _ := p.SubjectField("CN")
	return appendEscaped(dst, name)
}

// appendEscaped writes quotes, control characters and backslashes as OpenSSL writes unprintable ones: \x22. The
// escapes that are there already stay; no reader takes one for the end of the quotes.
func appendEscaped(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if c == '"' || c < ' ' || c == 0x7f || c == '\\' && !escapes(s[i+1:]) {
			dst = append(dst, '\\', 'x', upperHex[c>>4], upperHex[c&15])
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

const upperHex = "0123456789ABCDEF"

// escapes says whether s goes on as an escape does after its backslash.
func escapes(s string) bool {
	return len(s) >= 3 && s[0] == 'x' && strings.IndexByte(upperHex, s[1]) >= 0 && strings.IndexByte(upperHex, s[2]) >= 0
}

func appendFingerprint(dst []byte, p *tlsconf.Peer) []byte {
	for _, c := range sha1.Sum(p.Certificate.Raw) { // a name, not a proof
		dst = append(dst, upperHex[c>>4], upperHex[c&15])
	}
	return dst
}

func appendNotBefore(dst []byte, p *tlsconf.Peer) []byte {
	return appendTime(dst, p.Certificate.NotBefore)
}

func appendNotAfter(dst []byte, p *tlsconf.Peer) []byte {
	return appendTime(dst, p.Certificate.NotAfter)
}

// appendTime writes ASN.1's UTCTime.
func appendTime(dst []byte, t time.Time) []byte { return t.UTC().AppendFormat(dst, "060102150405Z") }

package l7

import (
	"iter"
	"net/netip"
	"strings"

	"poise/internal/dataplane"
	"poise/internal/dataplane/balance"
	"poise/internal/dataplane/h1"
)

// sticky is the name of the cookie that ties a client to a member, whose value is the member's id: Octavia's.
const sticky = "SRV"

// Pick chooses the member for a request. setCookie says that the response must carry the member's cookie (see AppendSetCookie). The
// caller releases the member. It is nil when none is usable. Members in tried have failed this request already.
func (p *Pool) Pick(r *Request, client netip.AddrPort, tried ...*balance.Member) (m *balance.Member, setCookie bool) {
	switch p.persistence() {
	case dataplane.ByHTTPCookie:
		for id := range values(r.Fields, h1.Cookie, sticky) {
			if m = p.Balancer.PickByID(id, tried...); m != nil {
				return m, false
			}
		}
		m = p.Balancer.Pick(client, tried...)
		return m, m != nil
	case dataplane.ByAppCookie:
		for value := range values(r.Fields, h1.Cookie, p.Config.Persistence.Cookie) {
			return p.Balancer.PickByCookie(value, client, tried...), false
		}
	}
	return p.Balancer.Pick(client, tried...), false
}

func (p *Pool) persistence() dataplane.PersistenceType {
	if p.Config.Persistence == nil {
		return ""
	}
	return p.Config.Persistence.Type
}

// Learn remembers the cookie that a response sets for the pool's APP_COOKIE persistence. It does nothing for others.
func (p *Pool) Learn(response Fields, m *balance.Member) {
	if p.persistence() != dataplane.ByAppCookie {
		return
	}
	for value := range values(response, h1.SetCookie, p.Config.Persistence.Cookie) {
		if value != "" { // an empty one is being deleted
			p.Balancer.Learn(value, m)
		}
	}
}

// DropsCookie says that requests carry the pool's own cookie (HTTP_COOKIE), which members do not see: the Cookie fields are then
// dropped, and AppendCookies appends what is left of them.
func (p *Pool) DropsCookie() bool { return p.persistence() == dataplane.ByHTTPCookie }

// AppendCookies appends the Cookie fields without the pool's own cookie.
func (p *Pool) AppendCookies(dst []byte, fields Fields) []byte {
	for i := range fields.Len() {
		if known, _, text := fields.Field(i); known == h1.Cookie {
			dst = appendOthers(dst, text)
		}
	}
	return dst
}

// appendOthers appends a Cookie field with the pairs of text that are not the pool's own.
func appendOthers(dst []byte, text string) []byte {
	before := "Cookie: "
	for pair := range strings.SplitSeq(text, ";") {
		if name, _ := cutCookie(pair); name == sticky || strings.Trim(pair, " \t") == "" {
			continue
		}
		dst = append(dst, before...)
		dst = append(dst, strings.Trim(pair, " \t")...)
		before = "; "
	}
	if before == "; " {
		dst = append(dst, "\r\n"...)
	}
	return dst
}

// AppendSetCookie appends the fields of a response that tie its client to the member: the cookie, and Cache-Control: private.
func (p *Pool) AppendSetCookie(dst []byte, m *balance.Member) []byte {
	dst = append(dst, "Set-Cookie: "+sticky+"="...)
	dst = append(dst, m.ID...)
	return append(dst, "; path=/\r\nCache-Control: private\r\n"...)
}

// values are the values of a cookie in the fields of that kind, Cookie or Set-Cookie. Of Set-Cookie the attributes, which
// look like further cookies, do not count.
func values(fields Fields, kind h1.Known, cookie string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range fields.Len() {
			known, _, text := fields.Field(i)
			if known != kind {
				continue
			}
			for name, value := range cookies(text) {
				if name == cookie && !yield(value) {
					return
				}
				if kind == h1.SetCookie {
					break
				}
			}
		}
	}
}

// cookies are the pairs of a Cookie field (RFC 6265 §4.2.1), or the pair of a Set-Cookie field and its attributes.
// Quotes are part of a value.
func cookies(text string) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for pair := range strings.SplitSeq(text, ";") {
			if name, value := cutCookie(pair); !yield(name, value) {
				return
			}
		}
	}
}

// cutCookie reads one pair; without an equals sign it is a name, as most servers have it.
func cutCookie(pair string) (name, value string) {
	name, value, _ = strings.Cut(pair, "=")
	return strings.Trim(name, " \t"), strings.Trim(value, " \t")
}

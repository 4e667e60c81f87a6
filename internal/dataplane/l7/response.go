package l7

import (
	"strings"

	"poise/internal/dataplane/balance"
	"poise/internal/dataplane/h1"
)

// DropResponse are the fields of a member's response that are not passed on, as what [Site.AppendResponse] appends takes
// their place.
func (s *Site) DropResponse(pool *Pool, response Fields) h1.Set {
	var drop h1.Set
	if s.hsts != "" {
		drop |= h1.SetOf(h1.StrictTransportSecurity)
	}
	if pool.DropsCookie() && setsSticky(response) {
		drop |= h1.SetOf(h1.SetCookie)
	}
	return drop
}

// AppendResponse appends the fields that are added to a member's response: Strict-Transport-Security, and the cookie
// that ties the client to the member where Pick said so.
func (s *Site) AppendResponse(dst []byte, pool *Pool, response Fields, m *balance.Member, setCookie bool) []byte {
	dst = append(dst, s.hsts...)
	if pool.DropsCookie() && setsSticky(response) {
		dst = appendOtherSetCookies(dst, response)
	}
	if setCookie {
		dst = pool.AppendSetCookie(dst, m)
	}
	return dst
}

// setsSticky says whether a member sets a cookie of the pool's own name, as a load balancer behind this one would. Clients
// would take it for ours and lose their member.
func setsSticky(response Fields) bool {
	for range values(response, h1.SetCookie, sticky) {
		return true
	}
	return false
}

func appendOtherSetCookies(dst []byte, response Fields) []byte {
	for i := range response.Len() {
		known, name, text := response.Field(i)
		if known != h1.SetCookie {
			continue
		}
		pair, _, _ := strings.Cut(text, ";")
		if cookie, _ := cutCookie(pair); cookie == sticky {
			continue
		}
		dst = append(dst, name...)
		dst = append(dst, ": "...)
		dst = append(dst, text...)
		dst = append(dst, "\r\n"...)
	}
	return dst
}

package rest

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// sourceBits is how much of an IPv6 address names a source: a customer commonly has a whole /64.
const sourceBits = 64

// Proxies are the addresses of reverse proxies whose X-Forwarded-For is believed. Without any, nobody's is.
type Proxies []netip.Prefix

// ParseProxies reads addresses and networks in CIDR notation.
func ParseProxies(list []string) (Proxies, error) {
	var proxies Proxies
	for _, text := range list {
		prefix, err := netip.ParsePrefix(text)
		if address, addressErr := netip.ParseAddr(text); addressErr == nil {
			prefix, err = netip.PrefixFrom(address, address.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%q is neither an address nor a network like 192.0.2.0/24", text)
		}
		proxies = append(proxies, prefix.Masked())
	}
	return proxies, nil
}

func (p Proxies) contain(address netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}

// client is the address that a request comes from: the peer's, or behind trusted proxies the rightmost hop of
// X-Forwarded-For that is not one of them. What stands further left can be made up. ok is false for a peer without address.
func (p Proxies) client(r *http.Request) (address netip.Addr, ok bool) {
	address, ok = peerAddress(r.RemoteAddr)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && ok && p.contain(address); i-- {
		hop, isAddress := peerAddress(strings.TrimSpace(hops[i]))
		if !isAddress {
			break
		}
		address = hop
	}
	return address, ok
}

// peerAddress reads an address with or without port.
func peerAddress(text string) (netip.Addr, bool) {
	if pair, err := netip.ParseAddrPort(text); err == nil {
		return pair.Addr().Unmap().WithZone(""), true
	}
	address, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return address.Unmap().WithZone(""), err == nil
}

// sourceOf is the name under which limits count an address.
func sourceOf(address netip.Addr) string {
	if address.Is6() {
		return netip.PrefixFrom(address, sourceBits).Masked().String()
	}
	return address.String()
}

// Source is where a request comes from, as every limit by source counts it: an IPv4 address or the /64 of an IPv6 address.
// Behind proxies that are trusted it is the proxies' client ([Frame]). "" when nothing is known.
func Source(ctx context.Context) string {
	source, _ := ctx.Value(sourceKey).(string)
	return source
}

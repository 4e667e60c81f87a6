package h1

import (
	"bytes"
	"net/netip"
)

// parseTarget checks the target and finds its host and its path (RFC 9112 §3.2).
func (h *Head) parseTarget(p []byte) error {
	target := h.target.of(p)
	h.path = int(h.target.from)
	switch {
	case len(target) > h.maxTarget():
		return &Error{Status: 414, Reason: "target too long"}
	case h.Method == "CONNECT":
		// 501 and not 405: no resource here has methods of its own, and none would ever allow this one.
		return &Error{Status: 501, Reason: "CONNECT"}
	case len(target) == 0 || !all(target, &isTarget):
		return refuse("invalid target")
	case target[0] == '/':
	case string(target) == "*":
		if h.Method != "OPTIONS" {
			return refuse("invalid target")
		}
		return nil
	default:
		if err := h.parseAbsolute(target); err != nil {
			return err
		}
	}
	if h.StrictPaths && !isPath(p[h.path:h.target.to]) {
		return refuse("invalid target")
	}
	return nil
}

// parseAbsolute parses "http://host/path".
func (h *Head) parseAbsolute(target []byte) error {
	scheme := bytes.IndexByte(target, ':')
	if scheme < 0 || !equalFold(target[:scheme], "http") && !equalFold(target[:scheme], "https") {
		return refuse("invalid target")
	}
	authority, slashes := bytes.CutPrefix(target[scheme+1:], []byte("//"))
	if !slashes {
		return refuse("invalid target")
	}
	if end := bytes.IndexAny(authority, "/?"); end >= 0 {
		authority = authority[:end]
	}
	if !isAuthority(authority) {
		return refuse("invalid target")
	}
	from := h.target.from + uint16(scheme+len("://"))
	h.host = span{from, from + uint16(len(authority))}
	h.path = int(h.host.to)
	h.absolute = true
	return nil
}

// isPath says whether every percent sign of a path, up to its query, begins an encoded byte. What else may stand in a target is
// taken as browsers send it.
func isPath(p []byte) bool {
	query := bytes.IndexByte(p, '?')
	if query >= 0 {
		p = p[:query]
	}
	return isEncoded(p)
}

func isEncoded(p []byte) bool {
	for {
		i := bytes.IndexByte(p, '%')
		if i < 0 {
			return true
		}
		if len(p) < i+3 || !isHex[p[i+1]] || !isHex[p[i+2]] {
			return false
		}
		p = p[i+3:]
	}
}

// isAuthority says whether p is a host, which is not empty (RFC 9110 §4.2.1), with or without a port; there is no user.
func isAuthority(p []byte) bool {
	if len(p) > 0 && p[0] == '[' {
		end := bytes.IndexByte(p, ']')
		return end > 0 && isIPv6(p[1:end]) && isPort(p[end+1:])
	}
	colon := bytes.IndexByte(p, ':')
	if colon < 0 {
		colon = len(p)
	}
	return colon > 0 && all(p[:colon], &isHost) && isPort(p[colon:])
}

// isPort takes ":1" to ":65535", or nothing; ":" alone is the default port (RFC 3986 §3.2.3).
func isPort(p []byte) bool {
	if len(p) == 0 || string(p) == ":" {
		return true
	}
	if len(p) < 2 || len(p) > 6 || !all(p[1:], &isDigit) {
		return false
	}
	n := 0
	for _, c := range p[1:] {
		n = n*10 + int(c-'0')
	}
	return p[0] == ':' && n > 0 && n <= 65535
}

func isIPv6(p []byte) bool {
	addr, err := netip.ParseAddr(text(p))
	return err == nil && addr.Is6() && addr.Zone() == ""
}

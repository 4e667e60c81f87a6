package h2

import (
	"strconv"

	"poise/internal/dataplane/h1"
)

// Request writes the fields of a request down as the head of one of HTTP/1.1. What goes in is checked so far that each field becomes one
// line and each message one head (RFC 9113 §8.2, §8.3); h1 judges the rest.
//
// It is used for one request after the other: Begin, Add for each field, Close, and then AppendHead.
type Request struct {
	// Length is what Content-Length says; -1 without.
	Length int64
	// IsHead says that the method is HEAD.
	IsHead bool

	lines     []byte // the fields as lines
	cookies   []byte // the pairs of all Cookie fields (RFC 9113 §8.2.3)
	method    string
	scheme    string
	authority string
	path      string
	host      string
	pseudo    pseudo // those that were there
	regular   bool   // a field that is not a pseudo-field was there
	hasHost   bool
	reason    string // why it is malformed; "": it is not
}

// pseudo are pseudo-fields, as bits.
type pseudo uint8

const (
	method pseudo = 1 << iota
	scheme
	authority
	path
)

// Begin makes it ready for a request.
func (r *Request) Begin() {
	*r = Request{Length: -1, lines: r.lines[:0], cookies: r.cookies[:0]}
}

// Add takes a field in. It says whether others matter: not those of a request that is malformed, or too long for h1.
func (r *Request) Add(name, value string) (more bool) {
	switch {
	case !isValue(value):
		r.reason = "invalid value of a field"
	case name != "" && name[0] == ':':
		r.addPseudo(name, value)
	default:
		r.regular = true
		r.addField(name, value)
	}
	return r.reason == "" && len(r.lines) <= h1.MaxHead && len(r.cookies) <= h1.MaxHead
}

func (r *Request) addPseudo(name, value string) {
	var this pseudo
	switch name {
	case ":method":
		this, r.method = method, value
	case ":scheme":
		this, r.scheme = scheme, value
	case ":authority":
		this, r.authority = authority, value
	case ":path":
		this, r.path = path, value
	default:
		r.reason = "unknown pseudo-field"
		return
	}
	switch {
	case r.pseudo&this != 0:
		r.reason = "repeated pseudo-field"
	case r.regular:
		r.reason = "pseudo-field behind a field"
	case !isWord(value):
		r.reason = "invalid value of a pseudo-field"
	}
	r.pseudo |= this
}

func (r *Request) addField(name, value string) {
	if !isName(name) {
		r.reason = "invalid name of a field"
		return
	}
	switch known := h1.Lookup(name); {
	case connectionFields.Has(known), known == h1.TE && value != "trailers":
		r.reason = "field of HTTP/1.1's connections"
	case known == h1.Host && r.hasHost:
		r.reason = "repeated Host"
	case known == h1.Host:
		r.host, r.hasHost = value, true
	case known == h1.ContentLength:
		r.setLength(value)
	case known == h1.Cookie:
		if len(r.cookies) > 0 {
			r.cookies = append(r.cookies, "; "...)
		}
		r.cookies = append(r.cookies, value...)
	default:
		r.lines = appendLine(r.lines, name, value)
	}
}

// connectionFields make a request malformed (RFC 9113 §8.2.2).
var connectionFields = h1.SetOf(h1.Connection, h1.KeepAlive, h1.ProxyConnection, h1.TransferEncoding, h1.Upgrade)

func (r *Request) setLength(value string) {
	n, err := strconv.ParseUint(value, 10, 63)
	switch {
	case err != nil:
		r.reason = "invalid Content-Length"
	case r.Length >= 0:
		r.reason = "repeated Content-Length"
	}
	r.Length = int64(n)
}

// Close says, when all fields were added, whether the request of this stream is malformed.
func (r *Request) Close(stream uint32) error {
	r.IsHead = r.method == "HEAD"
	switch {
	case r.reason != "":
	case r.method == "CONNECT":
		if r.pseudo != method|authority {
			r.reason = "CONNECT with a path or without authority"
		}
	case r.pseudo&^authority != method|scheme|path:
		r.reason = "pseudo-field missing"
	case r.scheme != "http" && r.scheme != "https":
		r.reason = "scheme of something else"
	case r.method == "", r.path == "", r.path[0] != '/' && r.path != "*":
		r.reason = "invalid method or path"
	case r.hasHost && r.pseudo&authority != 0 && r.host != r.authority:
		r.reason = "Host differs from :authority"
	}
	if r.reason != "" {
		return Malformed(stream, r.reason)
	}
	return nil
}

// AppendHead appends the head, up to where the framing of its body is to be said. One that is too long for h1 may end anywhere.
func (r *Request) AppendHead(dst []byte) []byte {
	dst = append(dst, r.method...)
	dst = append(dst, ' ')
	if r.method == "CONNECT" {
		dst = append(dst, r.authority...)
	} else {
		dst = append(dst, r.path...)
	}
	dst = append(dst, " HTTP/1.1\r\n"...)
	switch {
	case r.pseudo&authority != 0:
		dst = appendLine(dst, "Host", r.authority)
	case r.hasHost:
		dst = appendLine(dst, "Host", r.host)
	}
	dst = append(dst, r.lines...)
	if len(r.cookies) > 0 {
		dst = append(dst, "Cookie: "...)
		dst = append(dst, r.cookies...)
		dst = append(dst, "\r\n"...)
	}
	return dst
}

// Trailers writes the fields behind a request's body down as a trailer section of HTTP/1.1.
type Trailers struct {
	lines  []byte
	reason string
}

// Begin makes it ready for a trailer section.
func (t *Trailers) Begin() { *t = Trailers{lines: t.lines[:0]} }

// Add takes a field in, as Request.Add does. One that may not stand behind a body is left out.
func (t *Trailers) Add(name, value string) (more bool) {
	known := h1.Lookup(name)
	switch {
	case !isName(name) || !isValue(value):
		t.reason = "invalid trailer"
	case connectionFields.Has(known):
		t.reason = "trailer of HTTP/1.1's connections"
	case h1.IsTrailer(name):
		t.lines = appendLine(t.lines, name, value)
	}
	return t.reason == "" && len(t.lines) <= h1.MaxTrailers
}

// Close returns the lines of the section, good until Begin, or says that it is malformed.
func (t *Trailers) Close(stream uint32) ([]byte, error) {
	if t.reason != "" {
		return nil, Malformed(stream, t.reason)
	}
	return t.lines, nil
}

func appendLine(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}

// nameBytes may stand in a field's name: those of a token but capital letters (RFC 9113 §8.2.1).
var nameBytes = func() (table [256]bool) {
	for _, c := range []byte("0123456789abcdefghijklmnopqrstuvwxyz!#$%&'*+-.^_`|~") {
		table[c] = true
	}
	return table
}()

func isName(s string) bool {
	for i := range len(s) {
		if !nameBytes[s[i]] {
			return false
		}
	}
	return s != ""
}

// isValue says whether s has no control characters but tabs, and no blank at either end (RFC 9113 §8.2.1).
func isValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return s == "" || !isBlank(s[0]) && !isBlank(s[len(s)-1])
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// isWord says whether s has no blanks: it stands in a start line.
func isWord(s string) bool {
	for i := range len(s) {
		if isBlank(s[i]) {
			return false
		}
	}
	return true
}

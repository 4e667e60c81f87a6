// Package h1 reads and checks HTTP/1.1 messages (RFC 9112), byte by byte and without I/O of its own, so that event loops and
// goroutines use the same code.
//
// A [Head] parses the start line and the fields of a request or a response out of a buffer that its owner fills; it
// keeps offsets into that buffer and allocates nothing. A [Body] then follows the body through the bytes that come after it
// and says where the message ends, so that they can be passed on as they are.
//
// What is ambiguous is refused. Two programs that read the same bytes differently are how requests are smuggled, so
// everything that RFC 9112 lets a recipient reject in a request is rejected, and nothing is repaired.
//
// Responses come from members, whose users want their application to work. What RFC 9112 lets a recipient accept there
// is accepted, if it has one meaning, and passed on without its defect: lines that end with LF alone, the same
// Content-Length twice, Content-Length beside Transfer-Encoding, either of them where there can be no body.
package h1

import "bytes"

// Limits of a message.
const (
	MaxHead      = 16 << 10 // bytes of the start line and the fields: 431, and 502 of a response
	MaxTarget    = 8 << 10  // bytes of a request's target, unless Options say otherwise: 414
	MaxFields    = 128      // 431, and 502
	MaxChunkLine = 256      // bytes of a chunk's size with its extensions: 400
	MaxTrailers  = 8 << 10  // bytes of the trailer section: 431, and 502
)

// Options are what the operator may choose about requests. The zero value has the defaults.
type Options struct {
	// MaxTarget is how many bytes the target may have, up to LongestTarget; 0: MaxTarget. What it may have more than that, the head
	// may have more than MaxHead.
	MaxTarget int
	// StrictPaths refuses paths with a percent sign that begins no encoded byte, as RFC 3986 §2.1 has it.
	StrictPaths bool
}

// The highest of Options.MaxTarget, and the longest head that it allows.
const (
	LongestTarget = 16 << 10
	LongestHead   = MaxHead + LongestTarget - MaxTarget
)

func (o *Options) maxTarget() int {
	if o.MaxTarget <= 0 {
		return MaxTarget
	}
	return min(o.MaxTarget, LongestTarget)
}

// Error says why a message was refused.
type Error struct {
	Status int    // what the client is told: 400, 414, 431, 501 or 505; 502 for a response
	Reason string // for the access log: "repeated Content-Length"
}

func (e *Error) Error() string { return e.Reason }

// Framing says how a message's body ends.
type Framing uint8

// The framings (RFC 9112 §6.3).
const (
	NoBody     Framing = iota
	Length             // after Head.ContentLength bytes, which may be none
	Chunked            // with the last chunk and the trailers
	UntilClose         // with the connection; only of responses
)

// Head is the head of a message. The zero value is ready for use; Reset makes it ready for the next message.
//
// Its strings point into the buffer that was parsed and are good as long as the owner leaves that alone.
type Head struct {
	Options // of requests; they survive Reset

	// Of requests.
	Method, Target string
	// Of responses.
	Status int
	Reason string

	Minor         int // of the version: HTTP/1.Minor, 0 or 1; what comes later is HTTP/1.1 with additions (RFC 9110 §2.5)
	Framing       Framing
	ContentLength int64 // with Length
	KeepAlive     bool  // the sender keeps the connection open after this message
	Expects       bool  // a request waits for 100 (Continue) before it sends its body
	Upgrade       bool  // a request that asks to change the protocol, or a 101 response
	Present       Set   // the known fields that it has

	response  bool
	started   bool // the start line was parsed
	nominates bool // the Connection field names fields that are not known to be hop-by-hop
	closes    bool // the Connection field says "close",
	stays     bool // "keep-alive",
	asks      bool // "upgrade"
	upgrades  bool // there is one Upgrade field, with a protocol that can be passed on
	absolute  bool // the target is in absolute form
	continues bool // the Expect field has "100-continue"

	buf    []byte // the bytes of the complete head
	line   int    // where the line begins that is to be parsed next
	seen   int    // up to where it has no end
	limit  int    // where the head has to end, 0 before its first byte
	target span
	host   span // the authority of an absolute target, else the value of the Host field
	path   int  // where the target's origin form begins
	fields []field
}

// span is a part of the buffer.
type span struct{ from, to uint16 }

func (s span) of(p []byte) []byte { return p[s.from:s.to] }

// field is one line of the header, by the places of its parts in the buffer.
type field struct {
	name, value span
	known       Known
	plain       bool // the line is exactly "name: value\r\n", and passed on as it is
}

// Reset makes the Head ready for another message.
func (h *Head) Reset() { *h = Head{Options: h.Options, fields: h.fields[:0]} }

// ParseRequest parses a request from the start of p. It returns the length of the head, or 0 when p does not hold all
// of it yet: call again with the same bytes and more (the buffer may have moved). Errors are of type *Error.
//
// Empty lines before a request are skipped as RFC 9112 §2.2 has it: at most one.
func (h *Head) ParseRequest(p []byte) (n int, err error) {
	if h.limit == 0 {
		if ready, err := h.begin(p); !ready {
			return 0, err
		}
	}
	if !h.started {
		line, err := h.nextLine(p)
		if err != nil || line == (span{}) {
			return 0, err
		}
		if err := h.parseRequestLine(p, line); err != nil {
			return 0, err
		}
		h.started, h.limit = true, h.limit-h.maxRequestLine()+MaxHead+max(0, h.maxTarget()-MaxTarget)
	}
	n, err = h.parseFields(p)
	if n == 0 || err != nil {
		return 0, err
	}
	h.setStrings(p[:n])
	return n, h.concludeRequest()
}

// maxRequestLine has room for the longest target, a method and a version.
func (h *Head) maxRequestLine() int { return h.maxTarget() + 64 }

// begin looks at the first bytes: an empty line is skipped, and what cannot be a request is refused before its first line is
// complete, which it may never be (a TLS handshake, for example).
func (h *Head) begin(p []byte) (ready bool, err error) {
	switch {
	case len(p) == 0, len(p) == 1 && p[0] == '\r':
		return false, nil
	case p[0] == '\r' && p[1] == '\n':
		h.line, h.seen = 2, 2
	case !isToken[p[0]]:
		return false, refuse("invalid method")
	}
	h.limit = h.line + h.maxRequestLine()
	return true, nil
}

// ParseResponse does the same with a response to a request of this method.
func (h *Head) ParseResponse(p []byte, method string) (n int, err error) {
	h.response, h.limit = true, MaxHead
	if !h.started {
		line, err := h.nextLine(p)
		if err != nil || line == (span{}) {
			return 0, h.blame(err)
		}
		if err := h.parseStatusLine(p, line); err != nil {
			return 0, h.blame(err)
		}
		h.started = true
	}
	n, err = h.parseFields(p)
	if n == 0 || err != nil {
		return 0, h.blame(err)
	}
	h.setStrings(p[:n])
	return n, h.blame(h.concludeResponse(method))
}

// blame gives the status that a refused response has for the client.
func (h *Head) blame(err error) error { return blame(h.response, err) }

func blame(response bool, err error) error {
	if refused, ok := err.(*Error); ok && response {
		refused.Status = 502
	}
	return err
}

// refuse makes the error that most malformed messages get.
func refuse(reason string) error { return &Error{Status: 400, Reason: reason} }

// Len is the number of fields.
func (h *Head) Len() int { return len(h.fields) }

// Field is one field, in the order of the message; surrounding blanks are not part of the value.
func (h *Head) Field(i int) (k Known, name, value string) {
	f := &h.fields[i]
	return f.known, text(f.name.of(h.buf)), text(f.value.of(h.buf))
}

// Host is the host that a request is for: of an absolute target (http://host/path), else the Host field; "" without.
func (h *Head) Host() string { return text(h.host.of(h.buf)) }

// Path is the target in origin form, with its query: what stands behind the host of an absolute target; "*" for OPTIONS *.
func (h *Head) Path() string {
	path := text(h.buf[h.path:h.target.to])
	switch {
	case path == "" && h.Method == "OPTIONS":
		return "*" // RFC 9112 §3.2.4
	case path == "":
		return "/"
	case path[0] == '?':
		return "/" + path
	}
	return path
}

// Named says whether the Connection field of the message names this field: it is then not passed on.
func (h *Head) Named(name string) bool {
	if !h.nominates {
		return false
	}
	for i := range h.fields {
		if h.fields[i].known == Connection && listHas(h.fields[i].value.of(h.buf), name) {
			return true
		}
	}
	return false
}

// AppendFields appends every field, as "name: value\r\n", that is to be passed on: neither hop-by-hop (RFC 9110 §7.6.1) nor in
// drop. Transfer-Encoding and Content-Length stay, as the body is passed on with the framing that it has.
//
// Where the protocol is to change (Upgrade), the fields that say so stay as well, unless Upgrade is in drop. The host of an absolute
// target becomes a Host field if there is none.
func (h *Head) AppendFields(dst []byte, drop Set) []byte {
	passUpgrade := h.Upgrade && !drop.Has(Upgrade)
	drop |= hopByHop
	if passUpgrade {
		drop &^= of(Upgrade)
		dst = append(dst, "Connection: Upgrade\r\n"...)
	}
	drop |= h.superfluous()
	if !h.Present.Has(Host) && !drop.Has(Host) && h.host != (span{}) {
		dst = appendField(dst, []byte("Host"), h.host.of(h.buf))
	}
	return h.appendFields(dst, drop)
}

// superfluous are fields that say nothing: Content-Length and Transfer-Encoding where there is no body (RFC 9110 §8.6,
// RFC 9112 §6.1), and Content-Length where Transfer-Encoding stands beside it (RFC 9112 §6.3).
func (h *Head) superfluous() Set {
	switch {
	case !h.response:
		return 0
	case h.Status < 200 || h.Status == 204:
		return of(ContentLength) | of(TransferEncoding)
	case h.Present.Has(TransferEncoding):
		return of(ContentLength)
	}
	return 0
}

// appendFields copies successive lines that need no change at once.
func (h *Head) appendFields(dst []byte, drop Set) []byte {
	var run span
	for i := range h.fields {
		f := &h.fields[i]
		passed := h.passes(f, drop)
		if passed && f.plain {
			if run.to != f.name.from {
				dst = append(dst, run.of(h.buf)...)
				run.from = f.name.from
			}
			run.to = f.value.to + 2
			continue
		}
		dst = append(dst, run.of(h.buf)...)
		run = span{}
		switch {
		case !passed:
		case f.known == TransferEncoding: // was found to say this, maybe in another case
			dst = appendField(dst, f.name.of(h.buf), []byte("chunked"))
		default:
			dst = appendField(dst, f.name.of(h.buf), f.value.of(h.buf))
		}
	}
	return append(dst, run.of(h.buf)...)
}

// Passes says whether a field is to be passed on: neither hop-by-hop nor in drop. AppendFields appends exactly these.
func (h *Head) Passes(i int, drop Set) bool {
	return h.passes(&h.fields[i], drop|hopByHop|h.superfluous())
}

func (h *Head) passes(f *field, drop Set) bool {
	if drop.Has(f.known) {
		return false
	}
	return !h.nominates || f.known == Upgrade || f.known.framesOrRoutes() || !h.Named(text(f.name.of(h.buf)))
}

// Keep copies the head, so that its strings are good for ever.
func (h *Head) Keep() { h.setStrings(bytes.Clone(h.buf)) }

func appendField(dst, name, value []byte) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}

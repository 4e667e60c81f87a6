package h1

import (
	"bytes"
	"math"
)

// nextLine is the line that is to be parsed next, without its end (CRLF, or LF alone in a response: RFC 9112 §2.2); the zero span
// when its end has not come yet, or when it is empty: h.line has then moved behind it.
func (h *Head) nextLine(p []byte) (line span, err error) {
	within := p[:min(len(p), h.limit)]
	i := bytes.IndexByte(within[h.seen:], '\n')
	if i < 0 {
		h.seen = len(within)
		if len(p) >= h.limit {
			return line, h.tooLong()
		}
		return line, nil
	}
	lf := h.seen + i
	end := lf
	if end > h.line && p[end-1] == '\r' {
		end--
	} else if !h.response {
		return line, refuse("bare LF")
	}
	line = span{uint16(h.line), uint16(end)}
	h.line, h.seen = lf+1, lf+1
	if line.from == line.to {
		if !h.started {
			return span{}, refuse("empty start line")
		}
		return span{}, nil
	}
	return line, nil
}

func (h *Head) tooLong() error {
	if h.started || h.response {
		return &Error{Status: 431, Reason: "head too long"}
	}
	return &Error{Status: 414, Reason: "request line too long"}
}

// parseRequestLine parses "method target HTTP/1.x" with single spaces.
func (h *Head) parseRequestLine(p []byte, line span) error {
	l := line.of(p)
	method := bytes.IndexByte(l, ' ')
	if method <= 0 || !all(l[:method], &isToken) {
		return refuse("invalid method")
	}
	target := bytes.IndexByte(l[method+1:], ' ')
	if target < 0 {
		return refuse("request line without version")
	}
	h.target = span{line.from + uint16(method) + 1, line.from + uint16(method+1+target)}
	h.Method = text(l[:method])
	if err := h.parseVersion(l[method+1+target+1:]); err != nil {
		return err
	}
	return h.parseTarget(p)
}

func (h *Head) parseVersion(v []byte) error {
	if len(v) != len("HTTP/1.1") || string(v[:5]) != "HTTP/" || !isDigit[v[5]] || v[6] != '.' || !isDigit[v[7]] {
		return refuse("invalid version")
	}
	if v[5] != '1' {
		return &Error{Status: 505, Reason: "version of HTTP not supported"}
	}
	h.Minor = min(int(v[7]-'0'), 1)
	return nil
}

// parseStatusLine parses "HTTP/1.x status reason". The space before an empty reason is often missing.
func (h *Head) parseStatusLine(p []byte, line span) error {
	l := line.of(p)
	const reason = len("HTTP/1.1 200")
	if len(l) < reason || l[8] != ' ' || len(l) > reason && l[reason] != ' ' {
		return refuse("invalid status line")
	}
	if err := h.parseVersion(l[:8]); err != nil {
		return err
	}
	code := l[9:reason]
	if !all(code, &isDigit) || code[0] == '0' {
		return refuse("invalid status")
	}
	h.Status = int(code[0]-'0')*100 + int(code[1]-'0')*10 + int(code[2]-'0')
	if !isValue(l[reason:]) {
		return refuse("invalid reason phrase")
	}
	h.target = span{line.from + uint16(min(reason+1, len(l))), line.to} // the reason
	return nil
}

// parseFields parses the lines that follow the start line, and returns the length of the head when the empty one has come.
func (h *Head) parseFields(p []byte) (n int, err error) {
	for {
		before := h.line
		line, err := h.nextLine(p)
		if err != nil {
			return 0, err
		}
		if line == (span{}) {
			if h.line > before {
				return h.line, nil
			}
			return 0, nil
		}
		if err := h.parseField(p, line); err != nil {
			return 0, err
		}
	}
}

func (h *Head) parseField(p []byte, line span) error {
	if len(h.fields) == MaxFields {
		return &Error{Status: 431, Reason: "too many fields"}
	}
	f, err := parseLine(p, line)
	if err != nil {
		return err
	}
	if h.response && f.known == ContentLength {
		if h.Present.Has(ContentLength) {
			return h.repeatLength(p, &f)
		}
		if err := oneOfList(p, &f); err != nil {
			return err
		}
	}
	if f.known != Unknown {
		if err := h.note(&f, f.value.of(p)); err != nil {
			return err
		}
	}
	h.fields = append(h.fields, f)
	return nil
}

// oneOfList makes one value of a Content-Length that has the same one several times (RFC 9110 §8.6).
func oneOfList(p []byte, f *field) error {
	value := f.value.of(p)
	first, rest := listItem(value)
	if len(first) == len(value) {
		return nil
	}
	for item, rest := listItem(rest); item != nil; item, rest = listItem(rest) {
		if !bytes.Equal(item, first) {
			return refuse("different values of Content-Length")
		}
	}
	from := f.value.from + uint16(bytes.Index(value, first))
	f.value, f.plain = span{from, from + uint16(len(first))}, false
	return nil
}

// repeatLength leaves out a Content-Length that says what one before it has said.
func (h *Head) repeatLength(p []byte, f *field) error {
	if err := oneOfList(p, f); err != nil {
		return err
	}
	for i := range h.fields {
		if before := &h.fields[i]; before.known == ContentLength && bytes.Equal(before.value.of(p), f.value.of(p)) {
			return nil
		}
	}
	return refuse("different values of Content-Length")
}

// parseLine parses "name: value".
func parseLine(p []byte, line span) (f field, err error) {
	l := line.of(p)
	colon := 0
	for colon < len(l) && isToken[l[colon]] {
		colon++
	}
	switch {
	case colon == 0 && isBlank(l[0]):
		return f, refuse("folded field")
	case colon == len(l):
		return f, refuse("field without colon")
	case l[colon] != ':' && isBlank(l[colon]):
		return f, refuse("blank in a field's name")
	case l[colon] != ':' || colon == 0:
		return f, refuse("invalid name of a field")
	case !isValue(l[colon+1:]):
		return f, refuse("control character in a field's value")
	}
	from, to := colon+1, len(l)
	for from < to && isBlank(l[from]) {
		from++
	}
	for from < to && isBlank(l[to-1]) {
		to--
	}
	f.name = span{line.from, line.from + uint16(colon)}
	f.value = span{line.from + uint16(from), line.from + uint16(to)}
	f.known = Lookup(text(l[:colon]))
	f.plain = from == colon+2 && l[colon+1] == ' ' && to == len(l) && f.known != TransferEncoding && p[line.to] == '\r'
	return f, nil
}

// note takes in what a known field says about the message.
func (h *Head) note(f *field, value []byte) error {
	repeated := h.Present.Has(f.known)
	h.Present |= of(f.known)
	switch f.known {
	case Host:
		switch {
		case repeated:
			return refuse("repeated Host")
		case h.response:
		case !isAuthority(value):
			return refuse("invalid Host")
		case h.host == (span{}):
			h.host = f.value
		}
	case ContentLength:
		if repeated {
			return refuse("repeated Content-Length")
		}
		return h.noteLength(value)
	case TransferEncoding:
		if repeated {
			return refuse("repeated Transfer-Encoding")
		}
		if !equalFold(value, "chunked") {
			return &Error{Status: 501, Reason: "transfer coding not supported"}
		}
	case Connection:
		return h.noteConnection(value)
	case Expect: // other expectations are the member's to meet or to refuse (RFC 9110 §10.1.1)
		h.continues = h.continues || listHas(value, "100-continue")
	case Trailer:
		if listHas(value, "content-length") || listHas(value, "transfer-encoding") || listHas(value, "trailer") {
			return refuse("Trailer names a field that must be in the header")
		}
	case Upgrade:
		// One protocol can be passed on; HTTP/2 in this way (RFC 9113 §3.1, obsolete) cannot.
		h.upgrades = !repeated && isProtocol(value) && !equalFold(value, "h2c")
	}
	return nil
}

// isProtocol says whether p is one "name" or "name/version" (RFC 9110 §7.8).
func isProtocol(p []byte) bool {
	name, version, _ := bytes.Cut(p, []byte("/"))
	return len(name) > 0 && all(name, &isToken) && all(version, &isToken)
}

func (h *Head) noteLength(value []byte) error {
	if len(value) == 0 || !all(value, &isDigit) {
		return refuse("invalid Content-Length")
	}
	var n uint64
	for _, c := range value {
		if n > (math.MaxInt64-9)/10 {
			return refuse("invalid Content-Length")
		}
		n = n*10 + uint64(c-'0')
	}
	h.ContentLength = int64(n)
	return nil
}

func (h *Head) noteConnection(value []byte) error {
	for item, rest := listItem(value); item != nil; item, rest = listItem(rest) {
		if !all(item, &isToken) {
			return refuse("invalid Connection")
		}
		switch {
		case equalFold(item, "close"):
			h.closes = true
		case equalFold(item, "keep-alive"):
			h.stays = true
		case equalFold(item, "upgrade"):
			h.asks = true
		case Lookup(text(item)).framesOrRoutes() && !h.response:
			return refuse("Connection names a field that is for all")
		default:
			h.nominates = true
		}
	}
	return nil
}

// setStrings is called when the head is complete and its buffer will stay.
func (h *Head) setStrings(head []byte) {
	h.buf = head
	if h.response {
		h.Reason = text(h.target.of(head))
		return
	}
	h.Target = text(h.target.of(head))
	h.Method = text(head[int(h.target.from)-1-len(h.Method) : h.target.from-1])
}

// concludeRequest draws the conclusions that need all fields.
func (h *Head) concludeRequest() error {
	chunked, length := h.Present.Has(TransferEncoding), h.Present.Has(ContentLength)
	switch {
	case chunked && length:
		return refuse("Transfer-Encoding together with Content-Length")
	case chunked && h.Minor == 0:
		return refuse("Transfer-Encoding in HTTP/1.0")
	case !h.Present.Has(Host) && h.Minor == 1:
		return refuse("Host missing")
	case h.absolute && h.Present.Has(Host) && !h.hostAgrees():
		return refuse("Host differs from the target")
	case chunked:
		h.Framing = Chunked
	case length:
		h.Framing = Length
	}
	h.KeepAlive = !h.closes && (h.Minor == 1 || h.stays)
	hasBody := chunked || h.ContentLength > 0
	h.Expects = h.continues && h.Minor == 1 && hasBody
	h.Upgrade = h.upgrades && h.asks && h.Minor == 1 && !hasBody
	return nil
}

func (h *Head) hostAgrees() bool {
	for i := range h.fields {
		if h.fields[i].known == Host {
			a, b := h.fields[i].value.of(h.buf), h.host.of(h.buf)
			return len(a) == len(b) && sameFold(a, b)
		}
	}
	return false
}

// concludeResponse follows RFC 9112 §6.3.
func (h *Head) concludeResponse(method string) error {
	chunked, length := h.Present.Has(TransferEncoding), h.Present.Has(ContentLength)
	bodiless := h.Status < 200 || h.Status == 204
	// Content-Length beside Transfer-Encoding does not count, nor does either where there can be no body. They are not passed on,
	// and the next answer is not to depend on who is right: the member may send what it has announced.
	ambiguous := chunked && length || bodiless && (chunked || h.ContentLength > 0)
	if chunked || bodiless {
		h.ContentLength = 0
	}
	switch {
	case chunked && h.Minor == 0:
		return refuse("Transfer-Encoding in HTTP/1.0")
	case h.Status == 101 && !(h.upgrades && h.asks && h.Minor == 1):
		return refuse("101 without Upgrade")
	case bodiless, h.Status == 304, method == "HEAD":
	case chunked:
		h.Framing = Chunked
	case length:
		h.Framing = Length
	default:
		h.Framing = UntilClose
	}
	h.KeepAlive = !h.closes && (h.Minor == 1 || h.stays) && h.Framing != UntilClose && !ambiguous
	h.Upgrade = h.Status == 101
	return nil
}

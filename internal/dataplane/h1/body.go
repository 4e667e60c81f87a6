package h1

import (
	"bytes"
	"math"
)

// Body follows a message's body. It is made by Head.Body.
type Body struct {
	framing  Framing
	response bool
	stage    stage
	left     int64 // bytes of the body, or of the chunk's data, that are still to come

	digits int // of a chunk's size so far
	line   int // bytes of the line so far
	length int // bytes of the trailer section so far
	name   [maxKnownName]byte
}

// maxKnownName is the length of the longest name that matters in a trailer, "strict-transport-security".
const maxKnownName = 25

// stage is where in a chunked body the next byte stands (RFC 9112 §7.1).
type stage uint8

const (
	inSize    stage = iota
	inPadding       // blanks behind the size
	inExtension
	sizeEnd // LF of the line of the size
	inData
	dataCR
	dataLF
	trailerStart // of a trailer field, or of the empty line that ends the body
	inTrailerName
	inTrailerValue
	trailerEnd // LF of a trailer field
	lastEnd    // LF of the empty line
	ended
)

// Part says what a piece of a body is.
type Part uint8

// The parts. A body that is not chunked is all Content.
const (
	Content  Part = iota
	Chunking      // sizes, extensions, line ends
	Trailers      // the fields of the trailer section with their line ends; see [Head.ParseTrailers]
)

// Body is ready to follow the body of the message.
func (h *Head) Body() Body {
	b := Body{framing: h.Framing, response: h.response, left: h.ContentLength}
	switch h.Framing {
	case NoBody:
		b.stage = ended
	case Length:
		b.stage = inData
		if b.left == 0 {
			b.stage = ended
		}
	case UntilClose:
		b.stage, b.left = inData, math.MaxInt64
	}
	return b
}

// Next says how many of the bytes in p belong to the message, all of them unless it ends among them, and whether it has
// ended. A chunked body is checked to its last byte: sizes, extensions and trailers are refused when they are malformed,
// too long or, as a trailer, say something about framing or routing. After an error nothing more may be passed on.
func (b *Body) Next(p []byte) (n int, done bool, err error) {
	for n < len(p) && b.stage != ended {
		m, _, err := b.Piece(p[n:])
		if err != nil {
			return 0, false, err
		}
		n += m
	}
	return n, b.stage == ended, nil
}

// Piece is Next for those who take the body apart: p begins with n bytes of this part of the body. Done says whether that was all.
func (b *Body) Piece(p []byte) (n int, part Part, err error) {
	switch {
	case len(p) == 0, b.stage == ended:
		return 0, Content, nil
	case b.stage == inData:
		n = int(min(int64(len(p)), b.left))
		b.Skip(int64(n))
		return n, Content, nil
	case b.stage < trailerStart:
		n, err = b.chunking(p)
		return n, Chunking, blame(b.response, err)
	}
	n, err = b.trailers(p)
	part = Trailers
	if b.stage >= lastEnd {
		part = Chunking
	}
	return n, part, blame(b.response, err)
}

// Done says whether the body has ended.
func (b *Body) Done() bool { return b.stage == ended }

// Remaining is how many bytes are known to follow whatever they are (the rest of a Content-Length body or of a chunk's data; of a
// body that ends with the connection, math.MaxInt64), so that they may be spliced; Skip says that so many have passed.
func (b *Body) Remaining() int64 {
	if b.stage == inData {
		return b.left
	}
	return 0
}

// Skip says that n of the remaining bytes have passed.
func (b *Body) Skip(n int64) {
	if b.framing == UntilClose {
		return
	}
	b.left -= n
	switch {
	case b.left > 0:
	case b.framing == Chunked:
		b.stage = dataCR
	default:
		b.stage = ended
	}
}

// chunking follows what stands between the data of two chunks, up to the next data or the trailer section.
func (b *Body) chunking(p []byte) (n int, err error) {
	for n < len(p) && (b.stage < trailerStart && b.stage != inData) {
		if err := b.chunkByte(p[n]); err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

func (b *Body) chunkByte(c byte) error {
	if b.stage <= sizeEnd {
		if b.line++; b.line > MaxChunkLine {
			return refuse("line of a chunk's size too long")
		}
	}
	switch b.stage {
	case inSize:
		return b.sizeByte(c)
	case inPadding:
		switch {
		case c == '\r':
			b.stage = sizeEnd
		case c == ';':
			b.stage = inExtension
		case !isBlank(c):
			return refuse("invalid size of a chunk")
		}
	case inExtension:
		switch {
		case c == '\r':
			b.stage = sizeEnd
		case c < ' ' && c != '\t' || c >= 0x7f:
			return refuse("invalid chunk extension")
		}
	case sizeEnd:
		if c != '\n' {
			return refuse("bare CR")
		}
		b.beginChunk()
	case dataCR:
		if c != '\r' {
			return refuse("chunk longer than its size")
		}
		b.stage = dataLF
	case dataLF:
		if c != '\n' {
			return refuse("bare CR")
		}
		b.stage = inSize
	}
	return nil
}

// maxDigits of a chunk's size have room in 64 bits.
const maxDigits = 16

func (b *Body) sizeByte(c byte) error {
	switch {
	case isHex[c]:
		if b.digits++; b.digits > maxDigits || b.left > math.MaxInt64>>4 {
			return refuse("chunk too long")
		}
		b.left = b.left<<4 | int64(hexDigit(c))
	case b.digits == 0:
		return refuse("invalid size of a chunk")
	case c == '\r':
		b.stage = sizeEnd
	case c == ';':
		b.stage = inExtension
	case b.response && isBlank(c): // some members pad sizes with blanks; RFC 9112 §7.1.1 has them before extensions
		b.stage = inPadding
	default:
		return refuse("invalid size of a chunk")
	}
	return nil
}

func hexDigit(c byte) byte {
	if isDigit[c] {
		return c - '0'
	}
	return lower[c] - 'a' + 10
}

func (b *Body) beginChunk() {
	b.stage = inData
	if b.left == 0 {
		b.stage = trailerStart
	}
	b.digits, b.line = 0, 0
}

// trailers follows the trailer section: its fields as one piece, the empty line at its end as another.
func (b *Body) trailers(p []byte) (n int, err error) {
	for n < len(p) && b.stage != ended {
		if b.stage == trailerStart && p[n] == '\r' && n > 0 {
			return n, nil
		}
		if b.length++; b.length > MaxTrailers {
			return 0, &Error{Status: 431, Reason: "trailers too long"}
		}
		if err := b.trailerByte(p[n]); err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

func (b *Body) trailerByte(c byte) error {
	switch b.stage {
	case trailerStart:
		if c == '\r' {
			b.stage = lastEnd
			return nil
		}
		b.stage, b.line = inTrailerName, 0
		return b.nameByte(c)
	case inTrailerName:
		return b.nameByte(c)
	case inTrailerValue:
		switch {
		case c == '\r':
			b.stage = trailerEnd
		case c < ' ' && c != '\t' || c == 0x7f:
			return refuse("control character in a trailer")
		}
		return nil
	}
	if c != '\n' {
		return refuse("bare CR")
	}
	if b.stage == lastEnd {
		b.stage = ended
	} else {
		b.stage = trailerStart
	}
	return nil
}

// nameByte collects the name of a trailer field and looks at it when it is complete.
func (b *Body) nameByte(c byte) error {
	switch {
	case isToken[c]:
		if b.line < len(b.name) {
			b.name[b.line] = c
		}
		b.line++
		return nil
	case c != ':' || b.line == 0:
		return refuse("invalid name of a trailer")
	}
	if b.line <= len(b.name) && !IsTrailer(text(b.name[:b.line])) {
		return refuse("trailer that must be in the header")
	}
	b.stage = inTrailerValue
	return nil
}

// forbiddenTrailers say something about framing, routing, authentication or content (RFC 9110 §6.5.1), or are what members trust
// the proxy to say: all fields that a proxy knows but for the date.
const forbiddenTrailers Set = (1<<(knownFields+1) - 1) &^ (1<<Unknown | 1<<Date)

// IsTrailer says whether a field of this name may stand in a trailer section.
func IsTrailer(name string) bool { return !forbiddenTrailers.Has(Lookup(name)) }

// ParseTrailers makes the Head hold the fields of a trailer section, which is what Body.Piece has called Trailers.
func (h *Head) ParseTrailers(section []byte) error {
	h.Reset()
	h.buf = section
	for from := 0; from < len(section); {
		end := from + bytes.IndexByte(section[from:], '\n')
		if end <= from {
			return refuse("bare LF")
		}
		if len(h.fields) == MaxFields {
			return &Error{Status: 431, Reason: "too many trailers"}
		}
		f, err := parseLine(section, span{uint16(from), uint16(end - 1)})
		if err != nil {
			return err
		}
		h.fields = append(h.fields, f)
		from = end + 1
	}
	return nil
}

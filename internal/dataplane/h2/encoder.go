package h2

import (
	"bytes"
	"strconv"
)

// Encoder writes header blocks (RFC 7541) in which every field stands for itself: names of the static table by their number, all else as it
// is. So nothing has to be remembered of a connection, and no field can tell by its length what another one was.
type Encoder struct{ begun bool }

// The first bytes of representations (RFC 7541 §6).
const (
	indexed    = 0x80
	literal    = 0x00 // without indexing
	tableSize0 = 0x20 // the size of the dynamic table: none from now on
)

// AppendStatus begins the header block of a response.
func (e *Encoder) AppendStatus(dst []byte, status int) []byte {
	dst = e.Begin(dst)
	if index := statuses[status]; index != 0 {
		return append(dst, indexed|index)
	}
	dst = append(dst, literal|statusIndex, 3)
	return strconv.AppendInt(dst, int64(status), 10)
}

// Begin begins a header block. The first one of a connection says that there is no table, which a client may have asked for, or may ask
// for later, and must be told then (RFC 7541 §4.2).
func (e *Encoder) Begin(dst []byte) []byte {
	if !e.begun {
		e.begun = true
		dst = append(dst, tableSize0)
	}
	return dst
}

// AppendLines appends fields that are written as HTTP/1.1 has them, "Name: value\r\n".
func (e *Encoder) AppendLines(dst, lines []byte) []byte {
	for len(lines) > 0 {
		colon := bytes.IndexByte(lines, ':')
		end := bytes.IndexByte(lines, '\n')
		if colon < 0 || end < colon+2 {
			return dst // cannot be
		}
		dst = appendName(dst, lines[:colon])
		value := lines[colon+1 : end-1]
		if len(value) > 0 && value[0] == ' ' {
			value = value[1:]
		}
		dst = append(appendNumber(dst, 7, 0, len(value)), value...)
		lines = lines[end+1:]
	}
	return dst
}

// maxName is the length of the longest name of the static table.
const maxName = 27

// appendName begins a field: by the number of its name, or by the name itself in lower case.
func appendName(dst, name []byte) []byte {
	if len(name) <= maxName {
		var room [maxName]byte
		lower := appendLower(room[:0], name)
		if index := names[string(lower)]; index != 0 {
			return appendNumber(dst, 4, literal, int(index))
		}
	}
	dst = appendNumber(append(dst, literal), 7, 0, len(name))
	return appendLower(dst, name)
}

func appendLower(dst, name []byte) []byte {
	for _, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// appendNumber appends a number with a prefix of some bits (RFC 7541 §5.1).
func appendNumber(dst []byte, bits int, first byte, n int) []byte {
	highest := 1<<bits - 1
	if n < highest {
		return append(dst, first|byte(n))
	}
	dst = append(dst, first|byte(highest))
	for n -= highest; n >= 0x80; n >>= 7 {
		dst = append(dst, 0x80|byte(n))
	}
	return append(dst, byte(n))
}

// statusIndex is the static table's entry of :status, statuses the entries with a value (RFC 7541 appendix A).
const statusIndex = 8

var statuses = map[int]byte{200: 8, 204: 9, 206: 10, 304: 11, 400: 12, 404: 13, 500: 14}

// names are those of the static table that responses have.
var names = map[string]byte{
	"accept-ranges": 18, "access-control-allow-origin": 20, "age": 21, "allow": 22, "cache-control": 24, "content-disposition": 25,
	"content-encoding": 26, "content-language": 27, "content-length": 28, "content-location": 29, "content-range": 30,
	"content-type": 31, "date": 33, "etag": 34, "expires": 36, "last-modified": 44, "link": 45, "location": 46,
	"retry-after": 53, "server": 54, "set-cookie": 55, "strict-transport-security": 56, "vary": 59, "via": 60, "www-authenticate": 61,
}

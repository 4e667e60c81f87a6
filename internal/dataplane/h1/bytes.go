package h1

import "encoding/binary"

// isToken has the characters of methods and names (RFC 9110 §5.6.2), isHost those of hosts without their brackets (RFC 3986
// §3.2.2, but for encoded ones, of which no name that is looked up has any, and for the comma, with which some programs join
// repeated fields), isTarget those of targets: every visible one of
// ASCII but the mark of a fragment.
var (
	isToken  = table(digits + letters + "!#$%&'*+-.^_`|~")
	isHost   = table(digits + letters + "-._~!$&'()*+;=")
	isTarget = table(digits + letters + "!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
	isDigit  = table(digits)
	isHex    = table(digits + "abcdefABCDEF")
)

const (
	digits  = "0123456789"
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

func table(chars string) (t [256]bool) {
	for i := range len(chars) {
		t[chars[i]] = true
	}
	return t
}

// lower has ASCII letters in lower case, and every other byte as it is.
var lower = func() (t [256]byte) {
	for c := range 256 {
		t[c] = byte(c)
		if c >= 'A' && c <= 'Z' {
			t[c] += 'a' - 'A'
		}
	}
	return t
}()

// all says whether p has nothing but characters of the table.
func all(p []byte, table *[256]bool) bool {
	for _, c := range p {
		if !table[c] {
			return false
		}
	}
	return true
}

// isValue says whether p may be a field's value: no control characters but the horizontal tab (RFC 9110 §5.5).
func isValue(p []byte) bool {
	const (
		each = 0x0101010101010101
		high = 0x80 * each
	)
	for ; len(p) >= 8; p = p[8:] {
		x := binary.LittleEndian.Uint64(p)
		del := x ^ 0x7f*each
		if ((x-0x20*each)&^x|(del-each)&^del)&high != 0 && !areValueBytes(p[:8]) { // a byte below 0x20, or 0x7f
			return false
		}
	}
	return areValueBytes(p)
}

func areValueBytes(p []byte) bool {
	for _, c := range p {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// listItem takes the first item off a comma-separated list; empty items are skipped, the last is followed by nil.
func listItem(list []byte) (item, rest []byte) {
	for len(list) > 0 {
		end := 0
		for end < len(list) && list[end] != ',' {
			end++
		}
		item, rest = list[:end], list[min(end+1, len(list)):]
		for len(item) > 0 && isBlank(item[0]) {
			item = item[1:]
		}
		for len(item) > 0 && isBlank(item[len(item)-1]) {
			item = item[:len(item)-1]
		}
		if len(item) > 0 {
			return item, rest
		}
		list = rest
	}
	return nil, nil
}

// listHas says whether a comma-separated list has this item, in any case.
func listHas(list []byte, wanted string) bool {
	for item, rest := listItem(list); item != nil; item, rest = listItem(rest) {
		if len(item) == len(wanted) && sameFold(item, wanted) {
			return true
		}
	}
	return false
}

// sameFold compares two texts of one length without regard to case.
func sameFold[A, B string | []byte](a A, b B) bool {
	for i := range len(a) {
		if lower[a[i]] != lower[b[i]] {
			return false
		}
	}
	return true
}

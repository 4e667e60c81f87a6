package gateway

import (
	"bytes"
	"encoding/binary"
	"io"
)

// Where net/http's HTTP/2 is not what RFC 9113 asks for, it is put right on its way in and out:
//
//   - A SETTINGS frame may say something twice, and the last counts (§6.5.3); net/http would end the connection. Earlier
//     ones become settings that nobody knows, which are ignored.
//   - A request with fields of HTTP/1.1 is malformed and its stream ends with PROTOCOL_ERROR (§8.1.1, §8.2.2); net/http answers it
//     with 400 and nothing else. The error follows the answer.

const (
	preface     = 24 // bytes before the first frame of a client
	frameHeader = 9
	settingSize = 6
	// maxSettings are looked at in one frame; net/http refuses frames with more than 100.
	maxSettings = 100

	typeData     = 0x0
	typeRST      = 0x3
	typeSettings = 0x4
	endStream    = 0x1
	ack          = 0x1

	protocolError = 0x1
	// unknownSetting and what follows it are settings that mean nothing.
	unknownSetting = 0xf000
)

// The identifiers of settings whose values can be wrong (§6.5.2).
const (
	settingPush     = 2
	settingWindow   = 4
	settingMaxFrame = 5
)

// inbound follows the frames that a client of HTTP/2 sends.
type inbound struct {
	begun   bool
	skip    int    // bytes up to the next frame
	partial []byte // the beginning of a frame that is needed whole
	pending []byte // for net/http
}

// read is Read of conn, with duplicates taken out of SETTINGS.
func (f *inbound) read(conn io.Reader, p []byte) (int, error) {
	for {
		switch {
		case len(f.pending) > 0:
			n := copy(p, f.pending)
			f.pending = f.pending[n:]
			return n, nil
		case len(f.partial) > 0:
			if err := f.complete(conn); err != nil {
				return 0, err
			}
			continue
		}
		n, err := conn.Read(p)
		if n == 0 {
			return n, err
		}
		if !f.begun {
			f.begun, f.skip = true, preface
		}
		at := f.follow(p[:n])
		f.partial = append(f.partial, p[at:n]...)
		if at > 0 {
			return at, nil
		}
	}
}

// follow passes over whole frames, and says where one begins of which more is needed; else it is the end.
func (f *inbound) follow(p []byte) (at int) {
	for at = 0; at < len(p); {
		if f.skip > 0 {
			n := min(f.skip, len(p)-at)
			f.skip -= n
			at += n
			continue
		}
		rest := p[at:]
		if len(rest) < frameHeader {
			return at
		}
		length := frameLength(rest)
		if isSettings(rest, length) {
			if len(rest) < frameHeader+length {
				return at
			}
			dropRepeated(rest[frameHeader : frameHeader+length])
		}
		f.skip = frameHeader + length
	}
	return at
}

func isSettings(frame []byte, length int) bool {
	return frame[3] == typeSettings && frame[4]&ack == 0 && length%settingSize == 0 && length <= maxSettings*settingSize
}

// complete reads the rest of a frame's header, and of the frame if it is SETTINGS.
func (f *inbound) complete(conn io.Reader) error {
	if err := f.extend(conn, frameHeader); err != nil {
		return err
	}
	if length := frameLength(f.partial); isSettings(f.partial, length) {
		if err := f.extend(conn, frameHeader+length); err != nil {
			return err
		}
	}
	f.follow(f.partial)
	f.pending, f.partial = f.partial, nil
	return nil
}

// extend reads until the partial frame has n bytes.
func (f *inbound) extend(conn io.Reader, n int) error {
	have := len(f.partial)
	if have >= n {
		return nil
	}
	f.partial = append(f.partial, make([]byte, n-have)...)
	read, err := io.ReadFull(conn, f.partial[have:])
	f.partial = f.partial[:have+read]
	return err
}

func frameLength(header []byte) int { return int(header[0])<<16 | int(header[1])<<8 | int(header[2]) }

// dropRepeated makes settings that a later one overrides unknown ones. Invalid values stay, as they are errors.
func dropRepeated(settings []byte) {
	for i := 0; i < len(settings); i += settingSize {
		setting := settings[i : i+settingSize]
		for j := i + settingSize; j < len(settings); j += settingSize {
			if bytes.Equal(setting[:2], settings[j:j+2]) && isValidSetting(setting) {
				binary.BigEndian.PutUint16(setting, uint16(unknownSetting+i))
				break
			}
		}
	}
}

func isValidSetting(setting []byte) bool {
	value := binary.BigEndian.Uint32(setting[2:])
	switch binary.BigEndian.Uint16(setting) {
	case settingPush:
		return value <= 1
	case settingWindow:
		return value < 1<<31
	case settingMaxFrame:
		return value >= 1<<14 && value < 1<<24
	}
	return true
}

// maxAnswers is the longest write in which net/http's own answers are looked for: its buffer.
const maxAnswers = 4 << 10

// The answers of net/http to requests with fields of HTTP/1.1.
var (
	malformed     = []byte(`request header "`)
	malformedEnds = [][]byte{[]byte("\" is not valid in HTTP/2\n"), []byte("\" may only be \"trailers\" in HTTP/2\n")}
)

// withStreamErrors is p, which net/http writes, with the error behind each answer to a malformed request.
func withStreamErrors(p []byte) []byte {
	if len(p) > maxAnswers {
		return p
	}
	for from := 0; ; {
		i := bytes.Index(p[from:], malformed)
		if i < 0 {
			return p
		}
		from += i + len(malformed)
		if end, stream, ok := malformedAnswer(p, from-len(malformed)); ok {
			reset := []byte{0, 0, 4, typeRST, 0, stream[0], stream[1], stream[2], stream[3], 0, 0, 0, protocolError}
			p = append(append(append([]byte(nil), p[:end]...), reset...), p[end:]...)
		}
	}
}

// malformedAnswer says where the frame ends of which the payload begins at body, and its stream, if it is such an answer.
func malformedAnswer(p []byte, body int) (end int, stream []byte, ok bool) {
	if body < frameHeader {
		return 0, nil, false
	}
	header := p[body-frameHeader : body]
	end = body + frameLength(header)
	if header[3] != typeData || header[4] != endStream || end > len(p) {
		return 0, nil, false
	}
	for _, suffix := range malformedEnds {
		if bytes.HasSuffix(p[body:end], suffix) {
			return end, header[5:], true
		}
	}
	return 0, nil, false
}

package h2

import "encoding/binary"

// Preface is what a client's connection begins with, before its first frame (RFC 9113 §3.4).
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

const (
	// MaxFrame is the longest payload that either side sends: the least that both must take (RFC 9113 §4.2).
	MaxFrame = 16 << 10
	// HeaderSize is the length of a frame without its payload.
	HeaderSize = 9
	// MaxStream is the highest number of a stream.
	MaxStream = 1<<31 - 1
)

// Type is the type of a frame (RFC 9113 §6).
type Type uint8

// The types.
const (
	Data Type = iota
	Headers
	Priority
	Reset
	Settings
	PushPromise
	Ping
	GoAway
	WindowUpdate
	Continuation
)

// Flags of a frame; what they mean depends on its type.
type Flags uint8

// The flags.
const (
	EndStream   Flags = 0x1
	Ack         Flags = 0x1 // of SETTINGS and PING
	EndHeaders  Flags = 0x4
	Padded      Flags = 0x8
	Prioritised Flags = 0x20
)

// Has says whether a flag is set.
func (f Flags) Has(flag Flags) bool { return f&flag != 0 }

// Frame is a frame that was received. Its payload is without padding and priority, and good as long as what was read is.
type Frame struct {
	Type    Type
	Flags   Flags
	Stream  uint32
	Payload []byte
	// Length is the payload's as it was sent, which is what flow control counts.
	Length int
	// Circular says that the stream of HEADERS depends on itself (RFC 9113 §5.3.1 of old: RFC 7540). The stream is in error, but its fields must
	// be decoded, as others follow that refer to them.
	Circular bool
}

// Next is the first frame in p, and its length with its header; 0 while p does not hold all of it. An error of a stream comes with the
// frame's length: the next frame can be read. What is checked is what needs no knowledge of streams.
func Next(p []byte) (f Frame, n int, err error) {
	if len(p) < HeaderSize {
		return f, 0, nil
	}
	f.Length = int(p[0])<<16 | int(p[1])<<8 | int(p[2])
	f.Type, f.Flags = Type(p[3]), Flags(p[4])
	f.Stream = binary.BigEndian.Uint32(p[5:]) & MaxStream
	if f.Length > MaxFrame {
		return f, 0, Broken(FrameSizeError, "frame too long")
	}
	n = HeaderSize + f.Length
	if len(p) < n {
		return f, 0, nil
	}
	f.Payload = p[HeaderSize:n:n]
	return f, n, f.check()
}

// check looks at a frame by the rules of its type.
func (f *Frame) check() error {
	if f.Type > Continuation {
		return nil // unknown, to be ignored (RFC 9113 §5.5)
	}
	if err := f.checkStream(); err != nil {
		return err
	}
	switch f.Type {
	case Data:
		return f.unpad()
	case Headers:
		return f.unwrap()
	case Priority:
		switch {
		case f.Length != prioritySize:
			return Faulty(f.Stream, FrameSizeError, "PRIORITY of a wrong length")
		case f.dependsOnItself():
			return Malformed(f.Stream, "stream depends on itself")
		}
	case PushPromise:
		return Broken(ProtocolError, "PUSH_PROMISE of a client")
	case WindowUpdate:
		if f.Length == 4 && f.Uint32() == 0 {
			return Faulty(f.Stream, ProtocolError, "window increased by nothing")
		}
	}
	return f.checkLength()
}

// checkStream says whether the frame concerns what frames of its type may concern: a stream, or the connection.
func (f *Frame) checkStream() error {
	switch f.Type {
	case Settings, Ping, GoAway:
		if f.Stream != 0 {
			return Broken(ProtocolError, "frame of the connection on a stream")
		}
	case WindowUpdate:
	default:
		if f.Stream == 0 {
			return Broken(ProtocolError, "frame of a stream on the connection")
		}
	}
	return nil
}

func (f *Frame) checkLength() error {
	wrong := false
	switch f.Type {
	case Reset, WindowUpdate:
		wrong = f.Length != 4
	case Ping:
		wrong = f.Length != 8
	case GoAway:
		wrong = f.Length < 8
	case Settings:
		wrong = f.Length%settingSize != 0 || f.Flags.Has(Ack) && f.Length > 0
	}
	if wrong {
		return Broken(FrameSizeError, "frame of a wrong length")
	}
	return nil
}

// unpad takes the padding off.
func (f *Frame) unpad() error {
	if !f.Flags.Has(Padded) {
		return nil
	}
	if f.Length == 0 {
		return Broken(FrameSizeError, "padding without its length")
	}
	padding := int(f.Payload[0])
	if padding >= f.Length {
		return Broken(ProtocolError, "padding longer than its frame")
	}
	f.Payload = f.Payload[1 : f.Length-padding]
	return nil
}

// prioritySize is the length of what was said of a stream's priority before RFC 9113, which says to ignore it.
const prioritySize = 5

// unwrap takes padding and priority off HEADERS.
func (f *Frame) unwrap() error {
	if err := f.unpad(); err != nil || !f.Flags.Has(Prioritised) {
		return err
	}
	if len(f.Payload) < prioritySize {
		return Broken(FrameSizeError, "HEADERS shorter than its priority")
	}
	f.Circular = f.dependsOnItself()
	f.Payload = f.Payload[prioritySize:]
	return nil
}

func (f *Frame) dependsOnItself() bool { return f.Uint32() == f.Stream }

// Uint32 is the number of 31 bits that the payload begins with: an increment, a stream. The payload has four bytes.
func (f *Frame) Uint32() uint32 { return binary.BigEndian.Uint32(f.Payload) & MaxStream }

// AppendFrame appends a frame's header; the payload of this length follows.
func AppendFrame(dst []byte, length int, t Type, flags Flags, stream uint32) []byte {
	dst = append(dst, byte(length>>16), byte(length>>8), byte(length), byte(t), byte(flags))
	return binary.BigEndian.AppendUint32(dst, stream)
}

// AppendReset appends RST_STREAM.
func AppendReset(dst []byte, stream uint32, code Code) []byte {
	return binary.BigEndian.AppendUint32(AppendFrame(dst, 4, Reset, 0, stream), uint32(code))
}

// AppendGoAway appends GOAWAY: streams up to last were, or will be, served.
func AppendGoAway(dst []byte, last uint32, code Code) []byte {
	dst = binary.BigEndian.AppendUint32(AppendFrame(dst, 8, GoAway, 0, 0), last)
	return binary.BigEndian.AppendUint32(dst, uint32(code))
}

// AppendWindowUpdate appends WINDOW_UPDATE for a stream, or with 0 for the connection.
func AppendWindowUpdate(dst []byte, stream, increment uint32) []byte {
	return binary.BigEndian.AppendUint32(AppendFrame(dst, 4, WindowUpdate, 0, stream), increment)
}

// AppendPong appends the answer to a PING with this payload.
func AppendPong(dst, payload []byte) []byte {
	return append(AppendFrame(dst, len(payload), Ping, Ack, 0), payload...)
}

// SealHeaders writes the header of the HEADERS frame for which room was left at from, and into which a header block was appended behind
// it. A block that is too long for one frame is continued in others.
func SealHeaders(dst []byte, from int, stream uint32, flags Flags) []byte {
	block := dst[from+HeaderSize:]
	if len(block) <= MaxFrame {
		AppendFrame(dst[:from], len(block), Headers, flags|EndHeaders, stream)
		return dst
	}
	rest := append([]byte(nil), block[MaxFrame:]...)
	AppendFrame(dst[:from], MaxFrame, Headers, flags, stream)
	dst = dst[:from+HeaderSize+MaxFrame]
	for len(rest) > 0 {
		n := min(len(rest), MaxFrame)
		last := Flags(0)
		if n == len(rest) {
			last = EndHeaders
		}
		dst = append(AppendFrame(dst, n, Continuation, last, stream), rest[:n]...)
		rest = rest[n:]
	}
	return dst
}

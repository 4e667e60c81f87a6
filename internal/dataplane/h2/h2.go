// Package h2 knows what HTTP/2 (RFC 9113) asks of a server, without I/O of its own: frames and what is wrong with them, windows of flow
// control, and the two translations between its messages and those of HTTP/1.1.
//
// A request's fields become the text of a request of HTTP/1.1 ([Request]), which h1 then reads as it reads every other one; what that text
// could not say, or could say in two ways, is refused here. A response's lines become a header block ([Encoder]).
//
// Whoever owns the connection keeps the state of its streams.
package h2

import "fmt"

// Code is the code of an error (RFC 9113 §7).
type Code uint32

// The codes that a server sends.
const (
	NoError          Code = 0x0
	ProtocolError    Code = 0x1
	InternalError    Code = 0x2
	FlowControlError Code = 0x3
	SettingsTimeout  Code = 0x4
	StreamClosed     Code = 0x5
	FrameSizeError   Code = 0x6
	RefusedStream    Code = 0x7
	CompressionError Code = 0x9
	EnhanceYourCalm  Code = 0xb
)

// Error is what a client has done wrong: to one stream, which is then reset, or to the connection, which then ends.
type Error struct {
	Stream uint32 // 0: the connection
	Code   Code
	Reason string
}

func (e *Error) Error() string { return fmt.Sprintf("stream %d: %s", e.Stream, e.Reason) }

// Broken makes an error of the connection.
func Broken(code Code, reason string) error { return &Error{Code: code, Reason: reason} }

// Malformed makes an error of a stream, by the rules of the protocol.
func Malformed(stream uint32, reason string) error { return Faulty(stream, ProtocolError, reason) }

// Faulty makes an error of a stream.
func Faulty(stream uint32, code Code, reason string) error {
	return &Error{Stream: stream, Code: code, Reason: reason}
}

package gateway

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"poise/internal/dataplane/h1"
)

// settings is a SETTINGS frame with these settings, each an identifier and a value of one byte.
func settings(pairs ...byte) string {
	frame := []byte{0, 0, byte(len(pairs) / 2 * settingSize), typeSettings, 0, 0, 0, 0, 0}
	for i := 0; i < len(pairs); i += 2 {
		frame = append(frame, 0, pairs[i], 0, 0, 0, pairs[i+1])
	}
	return string(frame)
}

func TestRepeatedSettings(t *testing.T) {
	ping := "\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678"
	for _, test := range []struct{ name, sent, passed string }{
		{"none", ping + settings() + ping, ping + settings() + ping},
		{"different ones", settings(1, 2, 3, 4), settings(1, 2, 3, 4)},
		{"the last counts", settings(4, 100, 3, 1, 4, 1) + ping, strings.Replace(settings(4, 100, 3, 1, 4, 1), "\x00\x04", "\xf0\x00", 1) + ping},
		{"an invalid one stays", settings(2, 7, 2, 0), settings(2, 7, 2, 0)},
	} {
		t.Run(test.name, func(t *testing.T) {
			for name, split := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader} {
				if diff := cmp.Diff(http2Preface+test.passed, passed(split(strings.NewReader(http2Preface+test.sent)))); diff != "" {
					t.Errorf("%s: %s", name, diff)
				}
			}
		})
	}
}

// passed is what net/http gets to read.
func passed(conn io.Reader) string {
	var in inbound
	var all strings.Builder
	for p := make([]byte, 1000); ; {
		n, err := in.read(conn, p)
		all.Write(p[:n])
		if err != nil {
			return all.String()
		}
	}
}

// However frames are cut into pieces, the same goes through, and of the same length but for a frame that never ends.
func FuzzInbound(f *testing.F) {
	f.Add([]byte(http2Preface+settings(4, 100, 4, 1)+settings(2, 7)), uint8(7))
	f.Add([]byte(http2Preface+"\x00\x00\x02\x00\x01\x00\x00\x00\x01ab"), uint8(25))
	f.Fuzz(func(t *testing.T, sent []byte, size uint8) {
		whole, pieces := passed(bytes.NewReader(sent)), passed(&piecewise{sent, int(size)%50 + 1})
		if whole != pieces {
			t.Fatal(cmp.Diff(whole, pieces))
		}
		if len(whole) > len(sent) || len(sent)-len(whole) > frameHeader+maxSettings*settingSize {
			t.Fatalf("%d bytes became %d", len(sent), len(whole))
		}
	})
}

// piecewise reads pieces of that size.
type piecewise struct {
	left []byte
	size int
}

func (r *piecewise) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.left[:min(r.size, len(r.left))])
	r.left = r.left[n:]
	return n, nil
}

func TestStreamErrorFollowsAnswer(t *testing.T) {
	frame := func(text string) string { return string([]byte{0, 0, byte(len(text)), 0, 1, 0, 0, 0, 5}) + text }
	refused := frame("request header \"Connection\" is not valid in HTTP/2\n")
	reset := "\x00\x00\x04\x03\x00\x00\x00\x00\x05\x00\x00\x00\x01"
	for _, test := range []struct{ name, written, want string }{
		{"an answer of net/http", "before" + refused + "after", "before" + refused + reset + "after"},
		{"two", refused + refused, refused + reset + refused + reset},
		{"something like it", frame("request header \"Connection\" is fine\n"), frame("request header \"Connection\" is fine\n")},
		{"anything", "hello", "hello"},
	} {
		if diff := cmp.Diff(test.want, string(withStreamErrors([]byte(test.written)))); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

// What net/http gets of a client of HTTP/1.1 is what h1 takes, and nothing behind what it refuses.
func TestStrict(t *testing.T) {
	const good = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
	for _, test := range []struct {
		name, sent, passed string
		status             int
	}{
		{"requests", good + good, good + good, 0},
		{"a second one that is refused", good + "GET / HTTP/1.1\nHost: x\n\n" + good, good + refusal, 400},
		{"a long target", "GET /" + strings.Repeat("a", 2*h1.MaxTarget) + " HTTP/1.1\r\n", refusal, 414},
		{"a chunk that is refused", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 0},
		{"HTTP/2", http2Preface + "\x00\x00\x00", http2Preface + "\x00\x00\x00", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			go func() {
				_, _ = io.WriteString(ours, test.sent)
				_ = ours.Close()
			}()
			var s strict
			var got []byte
			for p := make([]byte, 10); ; {
				n, err := s.pass(theirs, p)
				got = append(got, p[:n]...)
				if err != nil {
					break
				}
			}
			_ = theirs.Close()
			if diff := cmp.Diff(test.passed, string(got)); diff != "" {
				t.Error(diff)
			}
			if refused := s.refused.Load(); (refused != nil) != (test.status != 0) || refused != nil && refused.Status != test.status {
				t.Errorf("refused as %+v", refused)
			}
		})
	}
}

package h1

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// follow gives the input to a body in pieces of that size, and tells what was content, what trailers and what was left over.
func follow(b *Body, input string, size int) (story string, err error) {
	var content, trailers []byte
	p := []byte(input)
	for len(p) > 0 && !b.Done() {
		piece := p[:min(size, len(p))]
		n, part, err := b.Piece(piece)
		if err != nil {
			return "", err
		}
		switch part {
		case Content:
			content = append(content, piece[:n]...)
		case Trailers:
			trailers = append(trailers, piece[:n]...)
		}
		p = p[n:]
	}
	if !b.Done() {
		return fmt.Sprintf("%q then more", content), nil
	}
	return fmt.Sprintf("%q %q left %q", content, trailers, p), nil
}

func TestBodies(t *testing.T) {
	for _, test := range []struct {
		name  string
		head  Head
		input string
		want  string
	}{
		{"none", Head{}, "next", `"" "" left "next"`},
		{"length", Head{Framing: Length, ContentLength: 5}, "hellonext", `"hello" "" left "next"`},
		{"length, not all yet", Head{Framing: Length, ContentLength: 5}, "hell", `"hell" then more`},
		{"length of 0", Head{Framing: Length}, "next", `"" "" left "next"`},
		{"until close", Head{Framing: UntilClose}, "hello", `"hello" then more`},
		{"chunked", Head{Framing: Chunked}, "5\r\nhello\r\n0A\r\n, world!!!\r\n0\r\n\r\nnext", `"hello, world!!!" "" left "next"`},
		{"chunked, empty", Head{Framing: Chunked}, "0\r\n\r\nnext", `"" "" left "next"`},
		{"many zeros", Head{Framing: Chunked}, "0000000000000001\r\na\r\n0000\r\n\r\n", `"a" "" left ""`},
		{"line ends in data", Head{Framing: Chunked}, "4\r\n\r\n\r\n\r\n0\r\n\r\n", `"\r\n\r\n" "" left ""`},
		{"extensions", Head{Framing: Chunked}, "1;a=b;c=\"d\"\r\na\r\n0; x\r\n\r\n", `"a" "" left ""`},
		{"trailers", Head{Framing: Chunked}, "1\r\na\r\n0\r\nA: b\r\nGrpc-Status:0\r\n\r\nnext", `"a" "A: b\r\nGrpc-Status:0\r\n" left "next"`},
		{"longest chunk", Head{Framing: Chunked}, "7fffffffffffffff\r\nab", `"ab" then more`},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, size := range []int{1, 2, 3, 1000} {
				body := test.head.Body()
				got, err := follow(&body, test.input, size)
				if err != nil {
					t.Fatalf("in pieces of %d: %v", size, err)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("in pieces of %d: %s", size, diff)
				}
			}
		})
	}
}

func TestRefusedBodies(t *testing.T) {
	for _, test := range []struct {
		input  string
		status int
		reason string
	}{
		{"\r\n", 400, "invalid size of a chunk"},
		{"+5\r\n", 400, "invalid size of a chunk"},
		{"-5\r\n", 400, "invalid size of a chunk"},
		{" 5\r\n", 400, "invalid size of a chunk"},
		{"5 6\r\n", 400, "invalid size of a chunk"},
		{"5 \n", 400, "invalid size of a chunk"},
		{"0x5\r\n", 400, "invalid size of a chunk"},
		{"g\r\n", 400, "invalid size of a chunk"},
		{";a\r\n", 400, "invalid size of a chunk"},
		{"5\n", 400, "invalid size of a chunk"},
		{"5_0\r\n", 400, "invalid size of a chunk"},
		{"5\rhello", 400, "bare CR"},
		{"8000000000000000\r\n", 400, "chunk too long"},
		{"ffffffffffffffff\r\n", 400, "chunk too long"},
		{"00000000000000005\r\n", 400, "chunk too long"},
		{"10000000000000005\r\n", 400, "chunk too long"},
		{"5;a\n\r\n", 400, "invalid chunk extension"},
		{"5;a\x00\r\n", 400, "invalid chunk extension"},
		{"5;a\rb\r\n", 400, "bare CR"},
		{"5;" + strings.Repeat("a", MaxChunkLine) + "\r\n", 400, "line of a chunk's size too long"},
		{"5\r\nhello!\r\n", 400, "chunk longer than its size"},
		{"5\r\nhello\n0\r\n", 400, "chunk longer than its size"},
		{"5\r\nhello\r0", 400, "bare CR"},
		{"0\r\n\rx", 400, "bare CR"},
		{"0\r\n\n", 400, "invalid name of a trailer"},
		{"0\r\nA: b\n\r\n", 400, "control character in a trailer"},
		{"0\r\nA: b\rc", 400, "bare CR"},
		{"0\r\n A: b\r\n\r\n", 400, "invalid name of a trailer"},
		{"0\r\nA: b\r\n c\r\n\r\n", 400, "invalid name of a trailer"},
		{"0\r\nA : b\r\n\r\n", 400, "invalid name of a trailer"},
		{"0\r\n: b\r\n\r\n", 400, "invalid name of a trailer"},
		{"0\r\nA: \x00\r\n\r\n", 400, "control character in a trailer"},
		{"0\r\nContent-length: 5\r\n\r\n", 400, "trailer that must be in the header"},
		{"0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "trailer that must be in the header"},
		{"0\r\nHost: x\r\n\r\n", 400, "trailer that must be in the header"},
		{"0\r\nAuthorization: x\r\n\r\n", 400, "trailer that must be in the header"},
		{"0\r\nX-Forwarded-For: x\r\n\r\n", 400, "trailer that must be in the header"},
		{"0\r\nStrict-Transport-Security: x\r\n\r\n", 400, "trailer that must be in the header"},
		{"0\r\nA: " + strings.Repeat("a", MaxTrailers) + "\r\n\r\n", 431, "trailers too long"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			for _, size := range []int{1, 2, 3, 100_000} {
				body := (&Head{Framing: Chunked}).Body()
				_, err := follow(&body, test.input, size)
				expectError(t, fmt.Sprintf("in pieces of %d", size), err, &Error{test.status, test.reason})
			}
			body := (&Head{Framing: Chunked, response: true}).Body()
			_, _, err := body.Next([]byte(test.input))
			expectError(t, "response", err, &Error{502, test.reason})
		})
	}
}

// TestPaddedSizes has blanks behind the size of a chunk, which members write and clients must not.
func TestPaddedSizes(t *testing.T) {
	for _, input := range []string{"5 \t\r\nhello\r\n0\r\n\r\n", "5\t;a\r\nhello\r\n0 \r\n\r\n"} {
		body := (&Head{Framing: Chunked}).Body()
		_, err := follow(&body, input, 1)
		expectError(t, "request", err, &Error{400, "invalid size of a chunk"})
		body = (&Head{Framing: Chunked, response: true}).Body()
		if got, err := follow(&body, input, 1); err != nil || got != `"hello" "" left ""` {
			t.Errorf("%q: %s, %v", input, got, err)
		}
	}
}

func TestRemaining(t *testing.T) {
	type step struct {
		input     string
		remaining int64
	}
	for _, test := range []struct {
		name  string
		head  Head
		steps []step
	}{
		{"length", Head{Framing: Length, ContentLength: 10}, []step{{"abc", 7}, {"", 7}, {"defghij", 0}}},
		{"chunked", Head{Framing: Chunked}, []step{{"5\r", 0}, {"\n", 5}, {"abc", 2}, {"de", 0}, {"\r\n0\r\n\r\n", 0}}},
		{"until close", Head{Framing: UntilClose}, []step{{"abc", math.MaxInt64}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, spliced := range []bool{false, true} {
				body := test.head.Body()
				for _, s := range test.steps {
					if spliced && body.Remaining() > 0 {
						body.Skip(int64(len(s.input)))
					} else if n, _, err := body.Next([]byte(s.input)); n != len(s.input) || err != nil {
						t.Fatal(n, err)
					}
					if got := body.Remaining(); got != s.remaining {
						t.Errorf("%d remain after %q, want %d", got, s.input, s.remaining)
					}
				}
				if body.Done() != (test.head.Framing != UntilClose) {
					t.Error("done:", body.Done())
				}
			}
		})
	}
}

func TestParseTrailers(t *testing.T) {
	var h Head
	if err := h.ParseTrailers([]byte("A: b\r\nGrpc-Status:0 \r\n")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("A: b\r\nGrpc-Status: 0\r\n", string(h.AppendFields(nil, 0))); diff != "" {
		t.Error(diff)
	}
	if err := h.ParseTrailers(nil); err != nil || h.Len() != 0 {
		t.Errorf("no trailers: %d, %v", h.Len(), err)
	}
}

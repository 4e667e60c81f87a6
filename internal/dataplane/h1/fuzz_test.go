package h1

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The seeds of every target; the fuzzer finds the rest.
var seeds = []string{
	"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	"\r\nPOST /a?b HTTP/1.1\r\nHost: x:80\r\nContent-Length: 5\r\nA:\tb \r\nConnection: a, close\r\n\r\nhello",
	"PUT http://x/%41 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\nTrailer: A\r\n\r\n5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\nGET",
	"GET / HTTP/1.1\r\nHost: [::1]\r\nConnection: upgrade\r\nUpgrade: websocket\r\nExpect: 100-continue\r\n\r\n",
	"OPTIONS * HTTP/1.0\r\nConnection: keep-alive\r\nPragma: no-cache\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 204 \r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.2 999 No\nContent-Length: 5, 5\nContent-Length: 5\n\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: 2\nTransfer-Encoding: chunked\n\r\n1\r\na\r\n0\r\n\r\n",
	"GET /100%?%zz HTTP/1.2\r\nHost: x\r\nExpect: x\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.0 304\r\nTransfer-Encoding: chunked\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0000\r\nB: c\r\nB: d\r\n\r\n",
}

// reading is what a parser makes of the bytes of one message.
type reading struct {
	Refused                      string
	Waiting                      bool
	Method, Target, Host, Reason string
	Status, Minor                int
	Header, Trailer              http.Header
	Body, Rest                   string
	BodyWaits                    bool
}

// read parses a message that comes in pieces, the first of them as long as first and the others as long as size.
func read(input []byte, first, size int, parse func(*Head, []byte) (int, error)) (r reading, h *Head) {
	h = &Head{}
	n := 0
	for end := min(first, len(input)); ; end = min(end+size, len(input)) {
		var err error
		n, err = parse(h, bytes.Clone(input[:end]))
		switch {
		case err != nil:
			return reading{Refused: err.Error()}, h
		case n == 0 && end == len(input):
			return reading{Waiting: true}, h
		}
		if n > 0 {
			break
		}
	}
	r = reading{
		Method: h.Method, Target: h.Target, Host: h.Host(), Status: h.Status, Reason: h.Reason, Minor: h.Minor,
		Header: header(h, Host, TransferEncoding),
	}
	body := h.Body()
	r.readBody(&body, input[n:], size)
	return r, h
}

func (r *reading) readBody(b *Body, p []byte, size int) {
	var trailers []byte
	for len(p) > 0 && !b.Done() {
		piece := p[:min(size, len(p))]
		n, part, err := b.Piece(piece)
		if err != nil {
			*r = reading{Refused: err.Error()}
			return
		}
		if part == Content {
			r.Body += string(piece[:n])
		} else if part == Trailers {
			trailers = append(trailers, piece[:n]...)
		}
		p = p[n:]
	}
	r.BodyWaits = !b.Done()
	r.Rest = string(p)
	var h Head
	if err := h.ParseTrailers(trailers); err == nil {
		r.Trailer = header(&h)
	}
}

func header(h *Head, without ...Known) http.Header {
	fields := http.Header{}
	for i := range h.Len() {
		if k, name, value := h.Field(i); k == Unknown || !SetOf(without...).Has(k) {
			fields.Add(name, value)
		}
	}
	return fields
}

func FuzzParseRequest(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed), uint8(10))
	}
	f.Fuzz(func(t *testing.T, input []byte, cut uint8) {
		if len(input) > MaxTrailers {
			return
		}
		whole, h := read(input, len(input), len(input), (*Head).ParseRequest)
		expectSame(t, input, cut, whole, (*Head).ParseRequest)
		if whole.Refused != "" || whole.Waiting || whole.BodyWaits {
			return
		}
		expectSameFields(t, h, (*Head).ParseRequest)
		reader := bufio.NewReader(bytes.NewReader(bytes.TrimPrefix(input, []byte("\r\n"))))
		request, err := http.ReadRequest(reader)
		if err != nil && strings.Contains(err.Error(), "invalid URL escape") {
			return // see Options.StrictPaths
		}
		if err != nil {
			t.Fatalf("net/http refuses what was accepted: %v", err)
		}
		body, err := io.ReadAll(request.Body)
		if err != nil {
			t.Fatalf("net/http refuses the body: %v", err)
		}
		expectReading(t, whole, reading{
			Method: request.Method, Target: request.RequestURI, Host: request.Host, Minor: min(request.ProtoMinor, 1),
			Header: request.Header, Trailer: request.Trailer, Body: string(body), Rest: rest(reader),
		})
	})
}

// lengthList is a Content-Length with more than one value.
var lengthList = regexp.MustCompile(`(?i)content-length:[^\n]*,`)

func FuzzParseResponse(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed), uint8(10), false)
	}
	f.Fuzz(func(t *testing.T, input []byte, cut uint8, toHead bool) {
		if len(input) > MaxTrailers {
			return
		}
		method := "GET"
		if toHead {
			method = "HEAD"
		}
		whole, h := read(input, len(input), len(input), parseResponseTo(method))
		expectSame(t, input, cut, whole, parseResponseTo(method))
		if whole.Refused != "" || whole.Waiting || whole.BodyWaits && h.Framing != UntilClose {
			return
		}
		expectSameFields(t, h, parseResponseTo(method))
		reader := bufio.NewReader(bytes.NewReader(input))
		response, err := http.ReadResponse(reader, &http.Request{Method: method})
		if err != nil && lengthList.Match(input) {
			return // net/http takes the same length twice, but not in one line
		}
		if err != nil {
			t.Fatalf("net/http refuses what was accepted: %v", err)
		}
		body := []byte{}
		if response.StatusCode != http.StatusSwitchingProtocols { // it would give what follows for a body
			if body, err = io.ReadAll(response.Body); err != nil {
				t.Fatalf("net/http refuses the body: %v", err)
			}
		}
		whole.BodyWaits, whole.Host = false, ""
		expectReading(t, whole, reading{
			Status: response.StatusCode, Reason: whole.Reason, Minor: min(response.ProtoMinor, 1),
			Header: response.Header, Trailer: response.Trailer, Body: string(body), Rest: rest(reader),
		})
	})
}

func FuzzBody(f *testing.F) {
	for _, seed := range []string{"5\r\nhello\r\n0\r\n\r\nnext", "1;a=b\r\na\r\n0\r\nA: b\r\n\r\n", "00f\r\n123456789012345\r\n0;c\r\n\r\n"} {
		f.Add([]byte(seed), uint8(3))
	}
	f.Fuzz(func(t *testing.T, input []byte, cut uint8) {
		whole, pieces := reading{}, reading{}
		b, c := (&Head{Framing: Chunked}).Body(), (&Head{Framing: Chunked}).Body()
		whole.readBody(&b, input, len(input))
		pieces.readBody(&c, input, int(cut)+1)
		if diff := cmp.Diff(whole, pieces); diff != "" {
			t.Fatal(diff)
		}
		d := (&Head{Framing: Chunked}).Body()
		n, done, err := d.Next(input)
		if (err != nil) != (whole.Refused != "") || err == nil && (done == whole.BodyWaits || string(input[n:]) != whole.Rest) {
			t.Fatalf("Next: %d, %v, %v; Piece: %+v", n, done, err, whole)
		}
	})
}

// expectSame reads the input again in pieces.
func expectSame(t *testing.T, input []byte, cut uint8, whole reading, parse func(*Head, []byte) (int, error)) {
	t.Helper()
	for _, size := range []int{1, int(cut) + 1} {
		if pieces, _ := read(input, int(cut), size, parse); !cmp.Equal(whole, pieces) {
			t.Fatalf("in pieces of %d: %s", size, cmp.Diff(whole, pieces))
		}
	}
}

// expectSameFields parses what is passed on: it means the same, has nothing left that concerns one connection only, and is passed on
// as it is.
func expectSameFields(t *testing.T, h *Head, parse func(*Head, []byte) (int, error)) {
	t.Helper()
	start := fmt.Sprintf("GET / HTTP/1.%d\r\n", h.Minor)
	if h.response {
		start = fmt.Sprintf("HTTP/1.%d %d\r\n", h.Minor, h.Status)
	}
	passed := h.AppendFields(nil, 0)
	var again Head
	if n, err := parse(&again, []byte(start+string(passed)+"\r\n")); err != nil || n == 0 {
		t.Fatalf("what is passed on is refused: %v", err)
	}
	if again.Framing != h.Framing || again.ContentLength != h.ContentLength || again.Upgrade != h.Upgrade || again.nominates {
		t.Fatalf("%+v became %+v", h, again)
	}
	if diff := cmp.Diff(string(passed), string(again.AppendFields(nil, 0))); diff != "" {
		t.Fatal(diff)
	}
}

// expectReading compares with what net/http has read, which moves some fields elsewhere and adds Cache-Control to Pragma.
func expectReading(t *testing.T, own, theirs reading) {
	t.Helper()
	for _, name := range []string{"Host", "Transfer-Encoding", "Trailer", "Cache-Control", "Content-Length"} {
		own.Header.Del(name)
		theirs.Header.Del(name)
	}
	for _, h := range []*http.Header{&own.Trailer, &theirs.Trailer} {
		for name, values := range *h {
			if len(values) == 0 { // was announced and did not come
				delete(*h, name)
			}
		}
		if len(*h) == 0 {
			*h = nil
		}
	}
	if diff := cmp.Diff(own, theirs); diff != "" {
		t.Fatal(diff)
	}
}

func rest(r io.Reader) string {
	all, _ := io.ReadAll(r)
	return string(all)
}

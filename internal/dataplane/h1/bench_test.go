package h1

import (
	"strings"
	"testing"
)

const (
	benchRequest = "GET /index.html?lang=en HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n" +
		"Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\nAccept-Encoding: gzip, deflate, br\r\n" +
		"Accept-Language: en-GB,en;q=0.5\r\nConnection: keep-alive\r\nCookie: session=0123456789abcdef; theme=dark\r\n\r\n"
	benchResponse = "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 22 Nov 2026 21:54:58 GMT\r\nContent-Type: text/html\r\n" +
		"Content-Length: 125\r\nLast-Modified: Sun, 22 Nov 2026 20:00:00 GMT\r\nConnection: keep-alive\r\nETag: \"0123456789\"\r\nAccept-Ranges: bytes\r\n\r\n"
)

func passRequest(h *Head, p, out []byte) []byte {
	h.Reset()
	if n, err := h.ParseRequest(p); n != len(p) || err != nil {
		panic(err)
	}
	out = append(append(append(append(out[:0], h.Method...), ' '), h.Path()...), " HTTP/1.1\r\n"...)
	return append(h.AppendFields(out, SetOf(XForwardedFor)), "\r\n"...)
}

func passResponse(h *Head, p, out []byte) []byte {
	h.Reset()
	if n, err := h.ParseResponse(p, "GET"); n != len(p) || err != nil {
		panic(err)
	}
	return append(h.AppendFields(out[:0], 0), "\r\n"...)
}

func TestNothingIsAllocated(t *testing.T) {
	var h Head
	request, response, out := []byte(benchRequest), []byte(benchResponse), make([]byte, 0, MaxHead)
	chunks := []byte("5\r\nhello\r\n0\r\nA: b\r\n\r\n")
	passRequest(&h, request, out) // makes room for the fields
	passResponse(&h, response, out)
	for name, pass := range map[string]func(){
		"request":  func() { passRequest(&h, request, out) },
		"response": func() { passResponse(&h, response, out) },
		"body": func() {
			body := (&Head{Framing: Chunked}).Body()
			if _, done, err := body.Next(chunks); !done || err != nil {
				panic(err)
			}
		},
	} {
		if n := testing.AllocsPerRun(100, pass); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	var h Head
	p, out := []byte(benchRequest), make([]byte, 0, MaxHead)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		out = passRequest(&h, p, out)
	}
}

func BenchmarkResponse(b *testing.B) {
	var h Head
	p, out := []byte(benchResponse), make([]byte, 0, MaxHead)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		out = passResponse(&h, p, out)
	}
}

// A head that comes byte by byte costs no more than a constant for each byte.
func BenchmarkByteByByte(b *testing.B) {
	var h Head
	p := []byte("GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", MaxHead-64) + "\r\n\r\n")
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		h.Reset()
		for i := range len(p) + 1 {
			if _, err := h.ParseRequest(p[:i]); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkChunked(b *testing.B) {
	p := []byte(strings.Repeat("400\r\n"+strings.Repeat("a", 1024)+"\r\n", 16) + "0\r\n\r\n")
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		body := (&Head{Framing: Chunked}).Body()
		if _, done, err := body.Next(p); !done || err != nil {
			b.Fatal(err)
		}
	}
}

package h2

import (
	"strings"
	"testing"

	"poise/internal/dataplane/h1"
)

// written is a request as it is written down, or why it is malformed.
func written(fields ...string) string {
	var r Request
	r.Begin()
	for _, field := range fields {
		name, value, _ := strings.Cut(field, " ")
		if !r.Add(name, value) {
			break
		}
	}
	if err := r.Close(1); err != nil {
		return err.Error()
	}
	return string(r.AppendHead(nil))
}

func TestRequest(t *testing.T) {
	with := func(others ...string) []string {
		return append([]string{":method GET", ":scheme https", ":path /a?b", ":authority x"}, others...)
	}
	for _, test := range []struct {
		name   string
		fields []string
		want   string
	}{
		{"plain", with(), "GET /a?b HTTP/1.1\r\nHost: x\r\n"},
		{"fields", with("accept a", "x-y z"), "GET /a?b HTTP/1.1\r\nHost: x\r\naccept: a\r\nx-y: z\r\n"},
		{"an empty value", with("x-y "), "GET /a?b HTTP/1.1\r\nHost: x\r\nx-y: \r\n"},
		{"cookies", with("cookie a=1", "x-y z", "cookie b=2"), "GET /a?b HTTP/1.1\r\nHost: x\r\nx-y: z\r\nCookie: a=1; b=2\r\n"},
		{"Host that agrees", with("host x"), "GET /a?b HTTP/1.1\r\nHost: x\r\n"},
		{"Host instead of an authority", []string{":method GET", ":scheme https", ":path /", "host x"}, "GET / HTTP/1.1\r\nHost: x\r\n"},
		{"a length is said later", with("content-length 5"), "GET /a?b HTTP/1.1\r\nHost: x\r\n"},
		{"TE with trailers", with("te trailers"), "GET /a?b HTTP/1.1\r\nHost: x\r\nte: trailers\r\n"},
		{"OPTIONS *", []string{":method OPTIONS", ":scheme https", ":path *", ":authority x"}, "OPTIONS * HTTP/1.1\r\nHost: x\r\n"},
		{"CONNECT", []string{":method CONNECT", ":authority x:1"}, "CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n"},

		{"CONNECT with a path", []string{":method CONNECT", ":authority x:1", ":path /"}, "stream 1: CONNECT with a path or without authority"},
		{"Host that differs", with("host y"), "stream 1: Host differs from :authority"},
		{"two Hosts", with("host x", "host x"), "stream 1: repeated Host"},
		{"no path", []string{":method GET", ":scheme https", ":authority x"}, "stream 1: pseudo-field missing"},
		{"empty path", []string{":method GET", ":scheme https", ":path ", ":authority x"}, "stream 1: invalid method or path"},
		{"empty method", []string{":method ", ":scheme https", ":path /", ":authority x"}, "stream 1: invalid method or path"},
		{"path that is a URL", []string{":method GET", ":scheme https", ":path http://y/", ":authority x"}, "stream 1: invalid method or path"},
		{"blank in the path", []string{":method GET", ":scheme https", ":path /a b", ":authority x"}, "stream 1: invalid value of a pseudo-field"},
		{"line end in the path", []string{":method GET", ":scheme https", ":path /a\r\nb", ":authority x"}, "stream 1: invalid value of a field"},
		{"another scheme", []string{":method GET", ":scheme ftp", ":path /", ":authority x"}, "stream 1: scheme of something else"},
		{"two paths", with(":path /"), "stream 1: repeated pseudo-field"},
		{"pseudo-field behind a field", []string{":method GET", "a b", ":scheme https", ":path /"}, "stream 1: pseudo-field behind a field"},
		{"unknown pseudo-field", with(":protocol websocket"), "stream 1: unknown pseudo-field"},
		{"upper case", with("Accept a"), "stream 1: invalid name of a field"},
		{"no name", with(" a"), "stream 1: invalid name of a field"},
		{"colon in a name", with("a:b c"), "stream 1: invalid name of a field"},
		{"line end in a value", with("a b\r\nc: d"), "stream 1: invalid value of a field"},
		{"blank before a value", with("a  b"), "stream 1: invalid value of a field"},
		{"blank behind a value", with("a b "), "stream 1: invalid value of a field"},
		{"connection", with("connection close"), "stream 1: field of HTTP/1.1's connections"},
		{"transfer-encoding", with("transfer-encoding chunked"), "stream 1: field of HTTP/1.1's connections"},
		{"TE with more", with("te gzip"), "stream 1: field of HTTP/1.1's connections"},
		{"two lengths", with("content-length 5", "content-length 5"), "stream 1: repeated Content-Length"},
		{"no length", with("content-length "), "stream 1: invalid Content-Length"},
		{"length with a plus", with("content-length +5"), "stream 1: invalid Content-Length"},
		{"list of lengths", with("content-length 5,5"), "stream 1: invalid Content-Length"},
		{"length of too many digits", with("content-length 9223372036854775808"), "stream 1: invalid Content-Length"},
	} {
		if got := written(test.fields...); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestTrailers(t *testing.T) {
	for _, test := range []struct {
		name, field, value, want string
	}{
		{"one", "grpc-status", "0", "grpc-status: 0\r\n"},
		{"one that belongs into the head", "content-length", "5", ""},
		{"pseudo-field", ":path", "/", "stream 1: invalid trailer"},
		{"line end", "a", "b\r\n\r\n", "stream 1: invalid trailer"},
		{"connection", "connection", "close", "stream 1: trailer of HTTP/1.1's connections"},
	} {
		var trailers Trailers
		trailers.Begin()
		_ = trailers.Add(test.field, test.value)
		got, err := trailers.Close(1)
		if err != nil {
			got = []byte(err.Error())
		}
		if string(got) != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// Whatever the fields are: what is written down is a head that h1 reads to its end, or refuses, and it has no field that was not there.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "/", "x", "a", "b", "c", "d")
	f.Add("CONNECT", "", "x:1", "host", "x", "content-length", "5")
	f.Add("POST", "/a\r\nb", "x y", "te", "trailers", "cookie", "a=1\r\n")
	f.Fuzz(func(t *testing.T, method, path, authority, name1, value1, name2, value2 string) {
		var r Request
		r.Begin()
		for _, field := range [][2]string{
			{":method", method}, {":scheme", "https"}, {":path", path}, {":authority", authority}, {name1, value1}, {name2, value2},
		} {
			if !r.Add(field[0], field[1]) {
				break
			}
		}
		if r.Close(1) != nil {
			return
		}
		text := append(r.AppendHead(nil), "\r\n"...)
		var head h1.Head
		n, err := head.ParseRequest(text)
		if err != nil || len(text) > h1.MaxHead {
			return
		}
		if n != len(text) || head.Len() > 3 || head.Method != method || head.Path() != path || head.Framing != h1.NoBody {
			t.Fatalf("%q is read as %+v", text, head)
		}
	})
}

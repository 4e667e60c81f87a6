package desync

import "strings"

// An http2Case is a request by HTTP/2, and what must come of it: the message that the member gets, by HTTP/1.1, as in
// requestCase; or
//
//	refused  nothing that the member could take for a message; the stream or the connection ends, or the client is told 4xx or 5xx
//
// "or refused" says that both will do: net/http takes no notice of a length, a second host or a trailer that it does not
// like, and what it passes on instead has one reading.
type http2Case struct {
	name     string
	fields   []string // "name value", in the order in which they are sent
	data     string
	trailers []string
	want     string
}

// over2 are the fields of a GET of /a, with others that replace those of the same name; an empty value takes it away.
func over2(others ...string) []string {
	fields := []string{":method GET", ":scheme http", ":path /a", ":authority x"}
	for _, other := range others {
		name, value, _ := strings.Cut(other, " ")
		replaced := false
		for i, field := range fields {
			if strings.HasPrefix(field, name+" ") && strings.HasPrefix(name, ":") {
				fields[i], replaced = other, true
				if value == "" {
					fields = append(fields[:i:i], fields[i+1:]...)
				}
				break
			}
		}
		if !replaced {
			fields = append(fields, other)
		}
	}
	return fields
}

var http2Cases = []http2Case{
	{"plain", over2(), "", nil, "GET /a"},
	{"with a body", over2(":method POST"), "hello", nil, "POST /a hello"},
	{"with a length", over2(":method POST", "content-length 5"), "hello", nil, "POST /a hello"},
	{"with a length of 0", over2(":method POST", "content-length 0"), "", nil, "POST /a"},
	{"a chunked end in the body", over2(":method POST"), "0\r\n\r\n" + smuggled, nil, "POST /a 0\r\n\r\n" + smuggled},
	{"a request in the body", over2(":method POST"), smuggled, nil, "POST /a " + smuggled},
	{"a request in the body of a GET", over2(), smuggled, nil, "GET /a " + smuggled},
	{"trailers", over2(":method POST"), "hello", []string{"x-t y"}, "POST /a hello"},
	{"expects to go on", over2(":method POST", "expect 100-continue"), "hello", nil, "POST /a hello"},
	{"te with trailers", over2("te trailers"), "", nil, "GET /a"},
	{"two cookies", over2("cookie a=1", "cookie b=2"), "", nil, "GET /a"},
	{"host that agrees", over2("host x"), "", nil, "GET /a"},

	{"length that is too short", over2(":method POST", "content-length 2"), "hello", nil, "refused"},
	{"length that is too long", over2(":method POST", "content-length 50"), "hello", nil, "refused"},
	{"length of 0 with a body", over2(":method POST", "content-length 0"), smuggled, nil, "POST /a or refused"},
	{"length without a body", over2("content-length 5"), "", nil, "GET /a or refused"},
	{"two lengths", over2(":method POST", "content-length 5", "content-length 0"), "hello", nil, "POST /a hello or refused"},
	{"list of lengths", over2(":method POST", "content-length 5,5"), "hello", nil, "POST /a or refused"},
	{"plus in a length", over2(":method POST", "content-length +5"), "hello", nil, "POST /a or refused"},
	{"word for a length", over2(":method POST", "content-length x"), "hello", nil, "POST /a or refused"},

	{"transfer-encoding", over2(":method POST", "transfer-encoding chunked"), "0\r\n\r\n" + smuggled, nil, "refused"},
	{"transfer-encoding of identity", over2(":method POST", "transfer-encoding identity"), "hello", nil, "refused"},
	{"connection", over2("connection close"), "", nil, "refused"},
	{"connection with a name", over2("connection x-y", "x-y z"), "", nil, "refused"},
	{"keep-alive", over2("keep-alive timeout=5"), "", nil, "refused"},
	{"proxy-connection", over2("proxy-connection close"), "", nil, "refused"},
	{"upgrade", over2("upgrade websocket"), "", nil, "refused"},
	{"te without trailers", over2("te gzip"), "", nil, "refused"},

	{"CRLF in a value", over2("x-y a\r\ntransfer-encoding: chunked"), "", nil, "refused"},
	{"a request in a value", over2("x-y a\r\n\r\n" + smuggled), "", nil, "refused"},
	{"LF in a value", over2("x-y a\nx: b"), "", nil, "refused"},
	{"CR in a value", over2("x-y a\rx: b"), "", nil, "refused"},
	{"NUL in a value", over2("x-y a\x00b"), "", nil, "refused"},
	{"CRLF in a name", over2("x\r\ntransfer-encoding: chunked"), "", nil, "refused"},
	{"LF in a name", over2("x-y:z\nx b"), "", nil, "refused"},
	{"colon in a name", over2("transfer-encoding:chunked b"), "", nil, "refused"},
	{"NUL in a name", over2("x\x00y b"), "", nil, "refused"},
	{"upper case in a name", over2("X-Y b"), "", nil, "refused"},
	{"upper case in transfer-encoding", over2("Transfer-Encoding chunked"), "", nil, "refused"},
	{"empty name", over2(" b"), "", nil, "refused"},
	{"Latin-1 in a name", over2("x\xe9 b"), "", nil, "refused"},

	{"CRLF in the path", over2(":path /a HTTP/1.1\r\nHost: y\r\n\r\nGET /b"), "", nil, "refused"},
	{"blank in the path", over2(":path /a b"), "", nil, "refused"},
	{"version in the path", over2(":path /a HTTP/1.1"), "", nil, "refused"},
	{"NUL in the path", over2(":path /a\x00"), "", nil, "refused"},
	{"fragment in the path", over2(":path /a#b"), "", nil, "refused"},
	{"path without slash", over2(":path a"), "", nil, "refused"},
	{"path that is a URL", over2(":path http://y/a"), "", nil, "refused"},
	{"path that is an asterisk", over2(":path *"), "", nil, "refused"},
	{"no path", over2(":path "), "", nil, "refused"},
	{"two paths", append([]string{":path /b"}, over2()...), "", nil, "refused"},
	{"CRLF in the method", over2(":method GET / HTTP/1.1\r\nHost: y\r\n\r\nGET"), "", nil, "refused"},
	{"blank in the method", over2(":method GET /b"), "", nil, "refused"},
	{"no method", over2(":method "), "", nil, "refused"},
	{"two methods", append([]string{":method POST"}, over2()...), "", nil, "refused"},
	{"CONNECT", []string{":method CONNECT", ":authority x:443"}, "", nil, "refused"},
	{"CONNECT with a path", over2(":method CONNECT"), "", nil, "refused"},
	{"CONNECT for another protocol", over2(":method CONNECT", ":protocol websocket"), "", nil, "refused"},
	{"no scheme", over2(":scheme "), "", nil, "refused"},
	{"scheme that is a request", over2(":scheme http://y/b?"), "", nil, "refused"},
	{"CRLF in the scheme", over2(":scheme http\r\nx: y"), "", nil, "refused"},
	{"CRLF in the authority", over2(":authority x\r\nx: y"), "", nil, "refused"},
	{"user in the authority", over2(":authority y@x"), "", nil, "refused"},
	{"path in the authority", over2(":authority x/b"), "", nil, "refused"},
	{"blank in the authority", over2(":authority x y"), "", nil, "refused"},
	{"no authority", over2(":authority "), "", nil, "refused"},
	{"host that differs", over2("host y"), "", nil, "GET /a or refused"},
	{"two hosts", over2(":authority ", "host x", "host y"), "", nil, "GET /a or refused"},
	{"pseudo field of a response", over2(":status 200"), "", nil, "refused"},
	{"unknown pseudo field", over2(":x y"), "", nil, "refused"},
	{"pseudo field behind another", append([]string{"x-y z"}, over2()...), "", nil, "refused"},

	{"trailer with a pseudo field", over2(":method POST"), "hello", []string{":path /b"}, "refused"},
	{"trailer with transfer-encoding", over2(":method POST"), "hello", []string{"transfer-encoding chunked"}, "POST /a hello or refused"},
	{"trailer with CRLF", over2(":method POST"), "hello", []string{"x y\r\n\r\n" + smuggled}, "refused"},
	{"trailer with CRLF in its name", over2(":method POST"), "hello", []string{"x\r\ny z"}, "refused"},
	{"a field that is too long", over2("x-y " + strings.Repeat("z", 70_000)), "", nil, "refused"},
	{"too many fields", over2(strings.Split(strings.Repeat("x-y z,", 300)+"x-y z", ",")...), "", nil, "refused"},
}

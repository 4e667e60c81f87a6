package desync

import "strings"

// A responseCase is what a member answers to a request for /a, and what the client must get of it: "STATUS body"; or
//
//	502  this answer of the proxy's own
//	cut  the same, or a part of the member's answer with the connection closed so that the client can see that it is one
//
// The next request on the connection then gets its own answer, or the connection is closed.
type responseCase struct {
	name, method, raw string
	end               bool // the member closes the connection behind it
	want              string
}

const (
	ok    = "HTTP/1.1 200 OK\r\n"
	split = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled"
)

// answer is a 200 with these lines in its header.
func answer(lines ...string) string { return ok + strings.Join(append(lines, "", ""), "\r\n") }

var responseCases = []responseCase{
	{"plain", "GET", answer("Content-Length: 5") + "hello", false, "200 hello"},
	{"chunked", "GET", answer(chunked) + hello, false, "200 hello"},
	{"until close", "GET", answer() + "hello", true, "200 hello"},
	{"until close in HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\n\r\nhello", true, "200 hello"},
	{"empty", "GET", answer("Content-Length: 0"), false, "200"},
	{"no reason", "GET", "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", false, "200 hello"},
	{"HEAD with a length", "HEAD", answer("Content-Length: 5"), false, "200"},
	{"HEAD, chunked", "HEAD", answer(chunked), false, "200"},
	{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", false, "204"},
	{"204 with a length", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 8\r\n\r\nsmuggled", false, "204"},
	{"204, chunked", "GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n" + hello, false, "204"},
	{"304", "GET", "HTTP/1.1 304 Not Modified\r\n\r\n", false, "304"},
	{"304 with a length", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 8\r\n\r\n", false, "304"},
	{"205 with a body", "GET", "HTTP/1.1 205 Reset Content\r\nContent-Length: 5\r\n\r\nhello", false, "205 hello"},

	{"CL and TE", "GET", answer("Content-Length: 5", chunked) + hello, false, "200 hello"},
	{"TE and CL", "GET", answer(chunked, "Content-Length: 5") + hello, false, "200 hello"},
	{"TE in HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + hello, true, "502"},
	{"two equal CL", "GET", answer("Content-Length: 5", "Content-Length: 5") + "hello", false, "200 hello"},
	{"two different CL", "GET", answer("Content-Length: 5", "content-length: 0") + "hello", false, "502"},
	{"list of CL", "GET", answer("Content-Length: 5, 5") + "hello", false, "200 hello"},
	{"list of different CL", "GET", answer("Content-Length: 5, 0") + "hello", false, "502"},
	{"negative CL", "GET", answer("Content-Length: -5") + "hello", true, "502"},
	{"plus in CL", "GET", answer("Content-Length: +5") + "hello", true, "502"},
	{"empty CL", "GET", answer("Content-Length:") + "hello", true, "502"},
	{"CL of 2^64 and 5", "GET", answer("Content-Length: 18446744073709551621") + "hello", true, "502"},
	{"CL that is too long", "GET", answer("Content-Length: 50") + "hello", true, "cut"},
	{"TE twice", "GET", answer(chunked, chunked) + hello, false, "502"},
	{"TE of gzip", "GET", answer("Transfer-Encoding: gzip") + "hello", true, "502"},
	{"TE of gzip and chunked", "GET", answer("Transfer-Encoding: gzip, chunked") + hello, false, "502"},
	{"TE of identity", "GET", answer("Transfer-Encoding: identity") + "hello", true, "502"},
	{"TE with a blank before the colon", "GET", answer("Transfer-Encoding : chunked") + hello, true, "502"},
	{"TE in a folded line", "GET", answer("Transfer-Encoding:", " chunked") + hello, true, "502"},

	{"LF behind the status line", "GET", "HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\nhello", false, "200 hello"},
	{"LF behind a field", "GET", ok + "X: y\nContent-Length: 5\r\n\r\nhello", false, "200 hello"},
	{"LF at the end of the head", "GET", ok + "Content-Length: 5\r\n\nhello", false, "200 hello"},
	{"only LF", "GET", "HTTP/1.1 200 OK\nContent-Length: 5\nX: y\n\nhello", false, "200 hello"},
	{"CR in a field", "GET", answer("Set-Cookie: a=b\rX: y", "Content-Length: 5") + "hello", true, "502"},
	{"CR in the reason", "GET", "HTTP/1.1 200 O\rK\r\nContent-Length: 5\r\n\r\nhello", true, "502"},
	{"NUL in a field", "GET", answer("X: \x00", "Content-Length: 5") + "hello", true, "502"},
	{"NUL in a name", "GET", answer("X\x00: y", "Content-Length: 5") + "hello", true, "502"},
	{"folded field", "GET", answer("X: y", " z", "Content-Length: 5") + "hello", true, "502"},
	{"folded first field", "GET", ok + " X: y\r\nContent-Length: 5\r\n\r\nhello", true, "502"},
	{"blank in a name", "GET", answer("X Y: z", "Content-Length: 5") + "hello", true, "502"},
	{"line without colon", "GET", answer("X", "Content-Length: 5") + "hello", true, "502"},
	{"two lines of status", "GET", ok + answer("Content-Length: 5") + "hello", true, "502"},

	{"empty line first", "GET", "\r\n" + answer("Content-Length: 5") + "hello", true, "502"},
	{"blank first", "GET", " " + answer("Content-Length: 5") + "hello", true, "502"},
	{"HTTP/0.9", "GET", "<html>hello</html>", true, "502"},
	{"another protocol", "GET", "ICY 200 OK\r\nContent-Length: 5\r\n\r\nhello", true, "502"},
	{"another protocol speaks first", "GET", "SSH-2.0-x\r\n", true, "502"},
	{"version 2.0", "GET", "HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", true, "502"},
	{"version 1.2", "GET", "HTTP/1.2 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, "200 hello"},
	{"version in lower case", "GET", "http/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", true, "502"},
	{"two blanks", "GET", "HTTP/1.1  200 OK\r\nContent-Length: 5\r\n\r\nhello", true, "502"},
	{"status of two digits", "GET", "HTTP/1.1 20 OK\r\nContent-Length: 5\r\n\r\nhello", true, "502"},
	{"status of four digits", "GET", "HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\nhello", true, "502"},
	{"status with letters", "GET", "HTTP/1.1 2xx OK\r\nContent-Length: 5\r\n\r\nhello", true, "502"},
	{"status with a sign", "GET", "HTTP/1.1 +20 OK\r\nContent-Length: 5\r\n\r\nhello", true, "502"},
	{"status 000", "GET", "HTTP/1.1 000 OK\r\nContent-Length: 5\r\n\r\nhello", true, "502"},
	{"status 600", "GET", "HTTP/1.1 600 OK\r\nContent-Length: 5\r\n\r\nhello", false, "600 hello"},
	{"status without blank", "GET", "HTTP/1.1 200OK\r\nContent-Length: 5\r\n\r\nhello", true, "502"},
	{"nothing", "GET", "", true, "502"},
	{"half a head", "GET", ok + "Content-Len", true, "502"},
	{"too many fields", "GET", answer(strings.Fields(strings.Repeat("X:y ", 200))...), true, "502"},
	{"a head that is too long", "GET", answer("X: " + strings.Repeat("y", 40_000)), true, "502"},

	{"100 first", "GET", "HTTP/1.1 100 Continue\r\n\r\n" + answer("Content-Length: 5") + "hello", false, "200 hello"},
	{"103 first", "GET", "HTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n" + answer("Content-Length: 5") + "hello", false, "200 hello"},
	{"100 with a length", "GET", "HTTP/1.1 100 Continue\r\nContent-Length: 8\r\n\r\nsmuggled" + split, true, "502"},
	{"only 100", "GET", "HTTP/1.1 100 Continue\r\n\r\n", true, "502"},
	{"thousands of 100", "GET", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 5000) + split, true, "502"},
	{"101 that nobody asked for", "GET", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n" + split, true, "502"},
	{"101 without Upgrade", "GET", "HTTP/1.1 101 Switching Protocols\r\n\r\n" + split, true, "502"},

	{"size that is no number", "GET", answer(chunked) + "5\r\nhello\r\nz\r\n\r\n", true, "cut"},
	{"size of 2^64 and 5", "GET", answer(chunked) + "5\r\nhello\r\n10000000000000005\r\nhello\r\n0\r\n\r\n", true, "cut"},
	{"blank behind the size", "GET", answer(chunked) + "5\r\nhello\r\n5 \r\nhello\r\n0\r\n\r\n", false, "200 hellohello"},
	{"LF behind the size", "GET", answer(chunked) + "5\r\nhello\r\n5\nhello\r\n0\r\n\r\n", true, "cut"},
	{"data longer than the size", "GET", answer(chunked) + "2\r\nhello\r\n0\r\n\r\n", true, "cut"},
	{"LF in an extension", "GET", answer(chunked) + "5\r\nhello\r\n5;a\nb\r\nhello\r\n0\r\n\r\n", true, "cut"},
	{"no last chunk", "GET", answer(chunked) + "5\r\nhello\r\n", true, "cut"},
	{"no end of the last chunk", "GET", answer(chunked) + "5\r\nhello\r\n0\r\n", true, "cut"},
	{"trailer with Content-Length", "GET", answer(chunked) + "5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n", true, "cut"},
	{"trailer with Set-Cookie", "GET", answer(chunked) + "5\r\nhello\r\n0\r\nSet-Cookie: a=b\r\n\r\n", true, "cut"},
	{"trailer with LF", "GET", answer(chunked) + "5\r\nhello\r\n0\r\nX: y\nZ: z\r\n\r\n", true, "cut"},
	{"trailer", "GET", answer(chunked) + "5\r\nhello\r\n0\r\nX: y\r\n\r\n", false, "200 hello"},
}

// behindCases have bytes behind the message, which are not to become the next request's answer. They come at once: of bytes that
// come when the next request is on its way already, nobody can tell that they do not answer it.
var behindCases = []responseCase{
	{"HEAD with a body", "HEAD", answer("Content-Length: 8") + "smuggled", false, "200"},
	{"HEAD with an answer for a body", "HEAD", answer("Content-Length: 46") + split, false, "200"},
	{"204 with an answer for a body", "GET", "HTTP/1.1 204 No Content\r\n\r\n" + split, false, "204"},
	{"304 with a body", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 46\r\n\r\n" + split, false, "304"},
	{"an answer behind", "GET", answer("Content-Length: 5") + "hello" + split, false, "200 hello"},
	{"a byte behind", "GET", answer("Content-Length: 5") + "hellox", false, "200 hello"},
	{"CRLF behind", "GET", answer("Content-Length: 5") + "hello\r\n", false, "200 hello"},
	{"an answer behind the last chunk", "GET", answer(chunked) + hello + split, false, "200 hello"},
	{"an answer behind nothing", "GET", answer("Content-Length: 0") + split, false, "200"},
	{"close with an answer behind", "GET", answer("Content-Length: 5", "Connection: close") + "hello" + split, false, "200 hello"},
}

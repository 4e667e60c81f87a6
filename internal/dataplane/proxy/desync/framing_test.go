package desync

import "strings"

// A requestCase is what a client sends, and what must come of it: the messages that the member gets, each as "METHOD target
// body", with " | " between, and how it ends where that is not with the sentinel:
//
//	400    this answer, and nothing of the message reaches the member
//	cut    the member has at most a part of the message, and can see that it is one
//	close  the connection is closed after the last message
type requestCase struct{ name, raw, want string }

// get and post are requests for /a of host x with these lines in the header.
func get(lines ...string) string  { return request("GET", lines) }
func post(lines ...string) string { return request("POST", lines) }

func request(method string, lines []string) string {
	return method + " /a HTTP/1.1\r\n" + strings.Join(append([]string{"Host: x"}, lines...), "\r\n") + "\r\n\r\n"
}

const (
	chunked  = "Transfer-Encoding: chunked"
	hello    = "5\r\nhello\r\n0\r\n\r\n"
	smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
)

// framingCases have two opinions about where a message ends.
var framingCases = []requestCase{
	{"CL.TE", post("Content-Length: 6", chunked) + "0\r\n\r\nG", "400"},
	{"TE.CL", post(chunked, "Content-Length: 4") + "5c\r\n" + smuggled + "\r\n0\r\n\r\n", "400"},
	{"CL.TE with a whole request behind", post("Content-Length: 44", chunked) + "0\r\n\r\n" + smuggled, "400"},
	{"CL of 0 and TE", post("Content-Length: 0", chunked) + hello, "400"},
	{"CL and TE that agree", post("Content-Length: 15", chunked) + hello, "400"},
	{"CL and TE of a GET", get("Content-Length: 5", chunked) + hello, "400"},
	{"invalid CL and TE", post("Content-Length: x", chunked) + hello, "400"},
	{"CL and TE in other case", post("cONTENT-lENGTH: 6", "tRANSFER-eNCODING: chunked") + hello, "400"},
	{"CL.0: a request in the body", post("Content-Length: 35") + smuggled, "POST /a " + smuggled},
	{"0.CL: a request in the body of a GET", get("Content-Length: 35") + smuggled, "GET /a " + smuggled},
	{"a request in a chunk", post(chunked) + "23\r\n" + smuggled + "\r\n0\r\n\r\n", "POST /a " + smuggled},
	{"a body of a HEAD", request("HEAD", []string{"Content-Length: 35"}) + smuggled, "HEAD /a " + smuggled},
	{"a body of a DELETE", request("DELETE", []string{chunked}) + hello, "DELETE /a hello"},
	{"a body of an OPTIONS", request("OPTIONS", []string{"Content-Length: 5"}) + "hello", "OPTIONS /a hello"},
	{"no framing, bytes behind", post() + "hello\r\n", "POST /a | 400"},
	{"no framing, a request behind", post() + smuggled, "POST /a | GET /smuggled"},
	{"CL of 0, bytes behind", post("Content-Length: 0") + "hello\r\n", "POST /a | 400"},
	{"CL that is too short", post("Content-Length: 2") + "hello\r\n", "POST /a he | 400"},
	{"CL that is too long", post("Content-Length: 60") + "hello", "cut"},
	{"TE in HTTP/1.0", "POST /a HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + hello, "400"},
	{"TE and CL in HTTP/1.0", "POST /a HTTP/1.0\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + hello, "400"},
	{"CL in HTTP/1.0", "POST /a HTTP/1.0\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "POST /a hello | close"},
	{"TE taken out by Connection", post("Connection: Transfer-Encoding", chunked) + hello, "400"},
	{"CL taken out by Connection", post("Connection: close, content-length", "Content-Length: 5") + "hello", "400"},
	{"Host taken out by Connection", get("Connection: Host"), "400"},
	{"underscores for CL", get("Content_Length: 37"), "GET /a"},
	{"underscores for TE", get("Transfer_Encoding: chunked"), "GET /a"},
}

// codingCases hide Transfer-Encoding from some readers and not from others.
var codingCases = []requestCase{
	{"plain", post(chunked) + hello, "POST /a hello"},
	{"upper case", post("TRANSFER-ENCODING: CHUNKED") + hello, "POST /a hello"},
	{"without blank", post("Transfer-Encoding:chunked") + hello, "POST /a hello"},
	{"tab before", post("Transfer-Encoding:\tchunked") + hello, "POST /a hello"},
	{"blanks behind", post("Transfer-Encoding: chunked \t ") + hello, "POST /a hello"},
	{"unknown", post("Transfer-Encoding: xchunked") + hello, "501"},
	{"identity", post("Transfer-Encoding: identity") + "hello", "501"},
	{"identity with CL", post("Content-Length: 5", "Transfer-Encoding: identity") + "hello", "501"},
	{"gzip", post("Transfer-Encoding: gzip") + "hello", "501"},
	{"gzip and chunked", post("Transfer-Encoding: gzip, chunked") + hello, "501"},
	{"chunked and identity", post("Transfer-Encoding: chunked, identity") + hello, "501"},
	{"identity and chunked", post("Transfer-Encoding: identity, chunked") + hello, "501"},
	{"chunked twice in one", post("Transfer-Encoding: chunked, chunked") + hello, "501"},
	{"chunked twice", post(chunked, chunked) + hello, "400"},
	{"chunked, then identity", post(chunked, "Transfer-Encoding: identity") + hello, "400"},
	{"identity, then chunked", post("Transfer-Encoding: identity", chunked) + hello, "501"},
	{"chunked, then nonsense", post(chunked, "Transfer-encoding: x") + hello, "400"},
	{"empty", post("Transfer-Encoding:") + hello, "501"},
	{"blank", post("Transfer-Encoding: \t ") + hello, "501"},
	{"comma before", post("Transfer-Encoding: ,chunked") + hello, "501"},
	{"comma behind", post("Transfer-Encoding: chunked,") + hello, "501"},
	{"with a parameter", post("Transfer-Encoding: chunked;q=1") + hello, "501"},
	{"in quotes", post(`Transfer-Encoding: "chunked"`) + hello, "501"},
	{"in single quotes", post("Transfer-Encoding: 'chunked'") + hello, "501"},
	{"vertical tab before", post("Transfer-Encoding: \x0bchunked") + hello, "400"},
	{"form feed behind", post("Transfer-Encoding: chunked\x0c") + hello, "400"},
	{"NUL behind", post("Transfer-Encoding: chunked\x00") + hello, "400"},
	{"no-break space behind", post("Transfer-Encoding: chunked\xa0") + hello, "501"},
	{"blank within", post("Transfer-Encoding: chun ked") + hello, "501"},
	{"letter that folds to k", post("Transfer-Encoding: chun\u212aed") + hello, "501"},
	{"CR behind", post("Transfer-Encoding: chunked\r") + hello, "400"},
	{"blank before the colon", post("Transfer-Encoding : chunked") + hello, "400"},
	{"tab before the colon", post("Transfer-Encoding\t: chunked") + hello, "400"},
	{"NUL before the colon", post("Transfer-Encoding\x00: chunked") + hello, "400"},
	{"blank before the name", post("X: y", " "+chunked) + hello, "400"},
	{"tab before the name", post("X: y", "\t"+chunked) + hello, "400"},
	{"in a folded line", post("Transfer-Encoding:", " chunked") + hello, "501"},
	{"folded in the middle", post("Transfer-Encoding: chun", "\tked") + hello, "501"},
	{"behind a bare LF", post("X: y\n"+chunked) + hello, "400"},
	{"behind a bare CR", post("X: y\r"+chunked) + hello, "400"},
	{"without colon", post("Transfer-Encoding chunked") + hello, "400"},
	{"with an equals sign", post("Transfer-Encoding=chunked") + hello, "400"},
	{"two colons", post("Transfer-Encoding:: chunked") + hello, "501"},
	{"the name in quotes", post(`"Transfer-Encoding": chunked`) + hello, "400"},
	{"as a value of another", get("X: " + chunked), "GET /a"},
}

// lengthCases are numbers that programs read differently.
var lengthCases = []requestCase{
	{"plain", post("Content-Length: 5") + "hello", "POST /a hello"},
	{"upper case", post("CONTENT-LENGTH:5") + "hello", "POST /a hello"},
	{"blanks around", post("Content-Length: \t5 \t") + "hello", "POST /a hello"},
	{"leading zeros", post("Content-Length: 0005") + "hello", "POST /a hello"},
	{"plus", post("Content-Length: +5") + "hello", "400"},
	{"minus", post("Content-Length: -5") + "hello", "400"},
	{"minus zero", post("Content-Length: -0") + "hello", "400"},
	{"hexadecimal", post("Content-Length: 0x5") + "hello", "400"},
	{"with a fraction", post("Content-Length: 5.0") + "hello", "400"},
	{"with an exponent", post("Content-Length: 5e0") + "hello", "400"},
	{"with an underscore", post("Content-Length: 0_5") + "hello", "400"},
	{"empty", post("Content-Length:") + "hello", "400"},
	{"word", post("Content-Length: five") + "hello", "400"},
	{"Arabic digit", post("Content-Length: \u0665") + "hello", "400"},
	{"full-width digit", post("Content-Length: \uff15") + "hello", "400"},
	{"two numbers", post("Content-Length: 5 5") + "hello", "400"},
	{"list that agrees", post("Content-Length: 5, 5") + "hello", "400"},
	{"list that differs", post("Content-Length: 5, 0") + "hello", "400"},
	{"twice and equal", post("Content-Length: 5", "Content-Length: 5") + "hello", "400"},
	{"twice and different", post("Content-Length: 5", "Content-Length: 0") + "hello", "400"},
	{"twice in different case", post("Content-Length: 0", "content-length: 5") + "hello", "400"},
	{"semicolon", post("Content-Length: 5;") + "hello", "400"},
	{"NUL behind", post("Content-Length: 5\x00") + "hello", "400"},
	{"vertical tab behind", post("Content-Length: 5\x0b") + "hello", "400"},
	{"blank before the colon", post("Content-Length : 5") + "hello", "400"},
	{"tab before the colon", post("Content-Length\t: 5") + "hello", "400"},
	{"folded", post("Content-Length:", " 5") + "hello", "400"},
	{"more digits in a folded line", post("Content-Length: 5", "\t0") + "hello", "400"},
	{"2^63", post("Content-Length: 9223372036854775808") + "hello", "400"},
	{"2^64 and 5", post("Content-Length: 18446744073709551621") + "hello", "400"},
	{"2^32 and 5", post("Content-Length: 4294967301") + "hello", "cut"},
	{"hundred digits", post("Content-Length: 1"+strings.Repeat("0", 99)) + "hello", "400"},
	{"in quotes", post(`Content-Length: "5"`) + "hello", "400"},
}

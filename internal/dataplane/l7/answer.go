package l7

import (
	"fmt"
	"strconv"

	"poise/internal/dataplane/accesslog"
)

// Answer is a response that poise gives itself.
type Answer struct {
	Status   int
	Location string // of a redirection
	End      accesslog.End
}

// AppendAnswer appends a whole response of HTTP/1.1 with a small page that says what happened; keepAlive says whether the
// connection stays open, method whether there is a body.
func (s *Site) AppendAnswer(dst []byte, a *Answer, method string, keepAlive bool) []byte {
	p := s.pages[known(a.Status)]
	dst = append(dst, p.head...)
	dst = a.appendLocation(dst)
	if !keepAlive {
		dst = append(dst, "Connection: close\r\n"...)
	}
	dst = append(dst, "\r\n"...)
	if method == "HEAD" {
		return dst
	}
	return append(dst, p.body...)
}

// AppendAnswerFields appends the fields of the same response, for drivers that write status and framing themselves.
func (s *Site) AppendAnswerFields(dst []byte, a *Answer) []byte {
	return a.appendLocation(append(dst, s.pages[known(a.Status)].fields...))
}

func (a *Answer) appendLocation(dst []byte) []byte {
	if a.Location == "" {
		return dst
	}
	dst = append(dst, "Location: "...)
	dst = appendURL(dst, a.Location)
	return append(dst, "\r\n"...)
}

// Page is the body of an answer, text/html.
func (a *Answer) Page() []byte { return texts[known(a.Status)].page() }

// appendURL writes what may not stand in a URL, and could end the line, in percent-encoding.
func appendURL(dst []byte, url string) []byte {
	for i := range len(url) {
		if c := url[i]; c <= ' ' || c >= 0x7f {
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

// text is what is said with a status.
type text struct{ reason, sentence string }

// texts are the statuses that poise answers with.
var texts = map[int]text{
	301: {"Moved Permanently", "This is somewhere else now."},
	302: {"Found", "This is somewhere else for now."},
	303: {"See Other", "The answer is somewhere else."},
	307: {"Temporary Redirect", "This is somewhere else for now."},
	308: {"Permanent Redirect", "This is somewhere else now."},
	400: {"Bad Request", "The request is malformed."},
	403: {"Forbidden", "The request is not allowed."},
	408: {"Request Timeout", "The request did not arrive in time."},
	413: {"Content Too Large", "The request is too large."},
	414: {"URI Too Long", "The address of the request is too long."},
	417: {"Expectation Failed", "The request expects something that is not supported."},
	431: {"Request Header Fields Too Large", "The header of the request is too large."},
	500: {"Internal Server Error", "Something failed here."},
	501: {"Not Implemented", "The request asks for something that is not supported."},
	502: {"Bad Gateway", "The server behind this one gave no valid answer."},
	503: {"Service Unavailable", "No server is available for the request."},
	504: {"Gateway Timeout", "The server behind this one did not answer in time."},
	505: {"HTTP Version Not Supported", "The version of HTTP is not supported."},
}

// known is the status itself where poise has words for it, else 500.
func known(status int) int {
	if _, ok := texts[status]; !ok {
		return 500
	}
	return status
}

func (t text) page() []byte {
	return fmt.Appendf(nil, "<!doctype html>\n<title>%[1]s</title>\n<h1>%[1]s</h1>\n<p>%[2]s</p>\n", t.reason, t.sentence)
}

// pages are the answers of one site by status, but for what each request adds.
type pages map[int]page

type page struct{ head, fields, body []byte }

func newPages(hsts string) pages {
	all := pages{}
	for status, t := range texts {
		p := page{body: t.page()}
		p.fields = append(p.fields, "Content-Type: text/html\r\n"...)
		if status != 301 && status != 308 { // what is permanent may be remembered
			p.fields = append(p.fields, "Cache-Control: no-cache\r\n"...)
		}
		p.fields = append(p.fields, hsts...)
		p.head = fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Length: %s\r\n%s", status, t.reason, strconv.Itoa(len(p.body)), p.fields)
		all[status] = p
	}
	return all
}

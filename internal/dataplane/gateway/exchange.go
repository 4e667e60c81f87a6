package gateway

import (
	"errors"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
	"poise/internal/dataplane/balance"
	"poise/internal/dataplane/h1"
	"poise/internal/dataplane/l7"
	"poise/internal/dataplane/meter"
)

// exchange is one request and its response.
type exchange struct {
	session *session
	site    *l7.Site // the configuration with which the request is served
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController

	head     h1.Head // the request as one of HTTP/1.1, in written
	written  []byte
	request  l7.Request
	decision l7.Decision
	body     requestBody

	member    *balance.Member // nil: none was reached
	meter     *meter.Member   // its
	setCookie bool
	tried     []*balance.Member
	out       []byte // what is written to a member, and lines of headers

	begun    bool // the head of the response was given to net/http
	broken   bool // the response cannot be completed
	status   int
	bytesOut uint64
	end      accesslog.End
	times    times

	silence
	answering atomic.Bool // begun, for whoever watches
	upgraded  atomic.Bool // the connection is not net/http's any more
	place     int         // in session.exchanges
	abort     aborter
}

// times of an exchange; zero: did not come to it.
type times struct{ start, connect, connected, response time.Time }

// aborter ends the waits for a member.
type aborter struct {
	mu      sync.Mutex // guards what follows
	member  interface{ abort() }
	aborted bool // so is every further member
}

var exchanges = sync.Pool{New: func() any { return &exchange{} }}

func newExchange(s *session, w http.ResponseWriter, r *http.Request) *exchange {
	x := exchanges.Get().(*exchange)
	x.session, x.site, x.w, x.r = s, s.site(), w, r
	x.control = http.NewResponseController(w)
	x.times.start = time.Now()
	x.silence.reset(&s.gateway.watcher.clock)
	return x
}

// maxKept is the most memory that an exchange keeps for the next one, of each of its buffers.
const maxKept = 32 << 10

func (x *exchange) free() {
	x.session, x.site, x.w, x.r, x.control = nil, nil, nil, nil, nil
	x.head.Reset()
	x.request, x.decision = l7.Request{}, l7.Decision{}
	x.written, x.out = kept(x.written), kept(x.out)
	x.body.reset()
	x.member, x.meter, x.setCookie = nil, nil, false
	clear(x.tried)
	x.tried = x.tried[:0]
	x.begun, x.broken = false, false
	x.answering.Store(false)
	x.upgraded.Store(false)
	x.status, x.bytesOut, x.end, x.times = 0, 0, "", times{}
	x.abort.reset()
	exchanges.Put(x)
}

// kept is a buffer's memory for the next exchange.
func kept(buffer []byte) []byte {
	if cap(buffer) > maxKept {
		return nil
	}
	return buffer[:0]
}

// serve answers the request, or has a member answer it.
func (x *exchange) serve() {
	listener := x.site.Listener
	x.session.meter.Requests.Add(1)
	defer x.conclude()
	if err := x.read(); err != nil {
		x.refuse(err)
		return
	}
	if listener.Protocol == dataplane.Prometheus {
		x.serveMetrics()
		return
	}
	x.decision = x.site.Route(&x.request, x.session.client)
	if x.decision.Answer != nil {
		x.answer(x.decision.Answer)
		return
	}
	x.forward(x.decision.Pool)
}

// read writes the request down as one of HTTP/1.1 and has h1 read that, so that there is one opinion about what it means.
func (x *exchange) read() error {
	x.written = appendRequest(x.written[:0], x.r)
	x.head.Options = x.site.Options
	n, err := x.head.ParseRequest(x.written)
	switch {
	case err != nil:
		return err
	case n != len(x.written): // cannot be: net/http lets no line end into a field
		return errMalformed
	}
	x.request = l7.Request{Method: x.head.Method, Host: x.head.Host(), Path: x.head.Path(), Fields: &x.head}
	x.body.begin(x)
	return nil
}

var errMalformed = &h1.Error{Status: http.StatusBadRequest, Reason: "malformed request"}

// takenIn are the fields that net/http has taken in and that say what Request.ContentLength does, or concern only
// the connection to the client.
var takenIn = h1.SetOf(h1.Host, h1.ContentLength, h1.TransferEncoding, h1.Expect, h1.Trailer)

func appendRequest(dst []byte, r *http.Request) []byte {
	dst = append(dst, r.Method...)
	dst = append(dst, ' ')
	dst = append(dst, r.RequestURI...)
	if r.ProtoMajor == 1 && r.ProtoMinor == 0 {
		dst = append(dst, " HTTP/1.0\r\n"...)
	} else {
		dst = append(dst, " HTTP/1.1\r\n"...)
	}
	if r.Host != "" {
		dst = appendField(dst, "Host", r.Host)
	}
	for name, values := range r.Header {
		if takenIn.Has(h1.Lookup(name)) {
			continue
		}
		for _, value := range values {
			dst = appendField(dst, name, value)
		}
	}
	return append(appendFraming(dst, r), "\r\n"...)
}

func appendFraming(dst []byte, r *http.Request) []byte {
	switch {
	case r.ContentLength > 0 || r.ContentLength == 0 && r.Header["Content-Length"] != nil:
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, r.ContentLength, 10)
		return append(dst, "\r\n"...)
	case r.ContentLength < 0:
		for name := range r.Trailer {
			dst = appendField(dst, "Trailer", name)
		}
		return append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	return dst
}

func appendField(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}

// refuse answers a request that h1 does not let pass.
func (x *exchange) refuse(err error) {
	status := http.StatusBadRequest
	var refused *h1.Error
	if before := x.session.strict.refused.Load(); before != nil { // the request stands for another one
		status = before.Status
	} else if errors.As(err, &refused) {
		status = refused.Status
	}
	x.session.meter.Errors.Add(1)
	x.answer(&l7.Answer{Status: status, End: accesslog.ClientInvalid})
}

// answer gives one of poise's own answers.
func (x *exchange) answer(a *l7.Answer) {
	x.end = a.End
	if a.End == accesslog.Denied || a.End == accesslog.RulesExceeded {
		x.session.meter.Denied.Add(1)
	}
	page := a.Page()
	header := x.w.Header()
	x.out = x.site.AppendAnswerFields(x.out[:0], a)
	for name, value := range l7.Lines(x.out) {
		header.Set(name, value)
	}
	header.Set("Content-Length", strconv.Itoa(len(page)))
	x.begin(a.Status)
	x.write(page)
}

// begin gives the head of the response to net/http.
func (x *exchange) begin(status int) {
	x.status, x.begun = status, true
	x.answering.Store(true)
	x.session.meter.Responses[meter.Class(status)].Add(1)
	x.wait(&x.silence.response, theClient)
	x.w.WriteHeader(status)
}

// write gives a piece of the response's body to net/http, which drops it where there is none.
func (x *exchange) write(p []byte) (ok bool) {
	if x.r.Method == http.MethodHead {
		return true
	}
	x.wait(&x.silence.response, theClient)
	n, err := x.w.Write(p)
	x.bytesOut += uint64(n)
	if err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
		x.clientFailed()
		return false
	}
	return true
}

// flush has everything sent that was written.
func (x *exchange) flush() (ok bool) {
	x.wait(&x.silence.response, theClient)
	if err := x.control.Flush(); err != nil {
		x.clientFailed()
		return false
	}
	return true
}

// clientFailed ends the exchange, whose client is gone or does not take what it has asked for.
func (x *exchange) clientFailed() {
	x.broken = true
	if x.end != "" {
		return
	}
	x.end = accesslog.ClientClosed
	if side(x.blamed.Load()) == theClient {
		x.end = accesslog.ClientTimeout
	}
}

// sweep ends a wait that has lasted too long. The exchange is under way.
func (x *exchange) sweep(now time.Time) {
	listener := x.site.Listener
	if x.r.Context().Err() != nil { // the client is gone
		x.abort.now()
		return
	}
	writes := side(x.silence.response.Load()) == theClient // before it may begin with an answer that says how late it is
	late := x.overdue(now, orDefault(listener.ClientTimeout), orDefault(listener.MemberTimeout))
	if late == nobody && x.sendsTooSlowly(now) {
		late = theClient
	}
	if late == nobody {
		return
	}
	first := x.blamed.CompareAndSwap(int32(nobody), int32(late))
	past := time.Unix(1, 0)
	switch {
	case !first: // not even that has an end
		x.abort.now()
		_ = x.control.SetWriteDeadline(past)
	case late == theMember || x.upgraded.Load():
		x.abort.now()
	case writes:
		_ = x.control.SetWriteDeadline(past)
	default:
		_ = x.control.SetReadDeadline(past)
	}
}

// bodyGrace is for how long the rate of a request's body may be below the least that is wanted.
const bodyGrace = 30 * time.Second

// sendsTooSlowly says whether the client sends its body below the rate that the operator wants, before an answer begins.
func (x *exchange) sendsTooSlowly(now time.Time) bool {
	requests := x.site.Listener.HTTP
	if requests == nil || requests.MinBodyRate <= 0 || x.answering.Load() || side(x.silence.upload.Load()) != theClient {
		return false
	}
	allowed := bodyGrace + time.Duration(x.body.read.Load())*time.Second/time.Duration(requests.MinBodyRate)
	return now.Sub(x.times.start) > allowed
}

// orDefault says what a timeout of 0 means.
func orDefault(silence time.Duration) time.Duration {
	if silence <= 0 {
		return defaultSilence
	}
	return silence
}

// set says what ends a wait for the member from now on.
func (a *aborter) set(member interface{ abort() }) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.member = member
	if a.aborted && member != nil {
		member.abort()
	}
}

func (a *aborter) now() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.aborted = true
	if a.member != nil {
		a.member.abort()
	}
}

// reset makes it ready for the next exchange.
func (a *aborter) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.member, a.aborted = nil, false
}

package proxy

import (
	"math"
	"strconv"
	"syscall"

	"poise/internal/dataplane/accesslog"
	"poise/internal/dataplane/h1"
	"poise/internal/dataplane/h2"
	"poise/internal/dataplane/l7"
)

const (
	// streamDescriptors is what a request by HTTP/2 accounts for: its connection to a member.
	streamDescriptors = 1
	// streamQuantum is how many bytes a stream sends before others that wait have their turn.
	streamQuantum = 16 << 10
	// maxKeptStreams of one loop wait for their next use as memory, each with maxKeptInput bytes of its buffers at most.
	maxKeptStreams = 256
	maxKeptInput   = 4 << 10
	// chunkOverhead has room for the size of a chunk and for its line ends.
	chunkOverhead = 16 + len("\r\n\r\n")
)

// http2Stream is a request of a client that speaks HTTP/2, with its answer. To its session it is the stream of a connection of HTTP/1.1
// with one request: what is read is the request's head and body; the answer's head is given to it as fields, and what is
// written is the body as the member has framed it.
type http2Stream struct {
	conn    *http2Conn
	session *session // nil until all is read that came together with the request's head
	id      uint32

	text     []byte // text[textFrom:] is to be read next: the head, or the end of a chunked body
	textFrom int
	body     []byte // body[bodyFrom:] is to be read then
	bodyFrom int
	trailers []byte
	length   int64 // that the request was said to have; -1: none
	received int64 // bytes of its body
	inflow   h2.Inflow
	window   h2.Outflow
	served   int // bytes sent since its turn began

	answer         h1.Body // of the answer, where its bytes are written
	answerTrailers []byte

	isHead   bool
	chunked  bool // the session gets the body in chunks,
	tailed   bool // and has got the last one
	ended    bool // the client has sent all of its request
	begun    bool // the answer's head was sent
	answered bool // all of it was
	over     bool // the client, or an error, has ended the stream
	reset    bool // this side has reset it, and the client may not know yet
	shut     bool // its window has no room for what is to be sent
	woken    bool // is in the connection's list of that name
	waits    bool // is in that of those who wait
	dropped  bool // the stream is no more
	short    bool // there is no descriptor for its member yet
}

// newStream opens the stream of a request that is in r.
func (c *http2Conn) newStream(id uint32, r *h2.Request) *http2Stream {
	l := c.loop
	t := &http2Stream{}
	if n := len(l.keptStreams); n > 0 {
		t = l.keptStreams[n-1]
		l.keptStreams = l.keptStreams[:n-1]
	}
	*t = http2Stream{
		conn: c, id: id, text: r.AppendHead(t.text[:0]), body: t.body[:0], trailers: t.trailers[:0], answerTrailers: t.answerTrailers[:0],
		length: r.Length, isHead: r.IsHead, inflow: h2.NewInflow(streamWindow), window: h2.Outflow(c.firstWindow),
	}
	c.streams[id] = t
	c.served = id
	if c.out == nil {
		c.out = l.freeBuffer()
	}
	t.wake()
	return t
}

// wake has the stream go on when all is read that came together.
func (t *http2Stream) wake() {
	if !t.woken {
		t.woken = true
		t.conn.woken = append(t.conn.woken, t)
	}
}

// wait has the stream go on when its turn comes.
func (t *http2Stream) wait() {
	if !t.waits {
		t.waits = true
		t.conn.waiting = append(t.conn.waiting, t)
		t.conn.queue()
	}
}

// goOn is called when the stream is out of a list.
func (t *http2Stream) goOn() {
	switch s := t.session; {
	case t.dropped:
		t.recycle()
	case s == nil:
		t.start()
	default:
		s.side.readable, s.side.writable = true, true
		s.run()
	}
}

// takeData takes a piece of the request's body.
func (t *http2Stream) takeData(f *h2.Frame) error {
	if !t.inflow.Take(f.Length) {
		return h2.Faulty(t.id, h2.FlowControlError, "more DATA than the stream's window")
	}
	t.received += int64(len(f.Payload))
	if t.length >= 0 && t.received > t.length {
		return h2.Malformed(t.id, "body longer than Content-Length")
	}
	if t.bodyFrom > len(t.body)/2 {
		t.body = t.body[:copy(t.body, t.body[t.bodyFrom:])]
		t.bodyFrom = 0
	}
	t.body = append(t.body, f.Payload...)
	t.used(f.Length - len(f.Payload))
	t.wake()
	if f.Flags.Has(h2.EndStream) {
		return t.end()
	}
	return nil
}

// end is called when the client has sent all of its request.
func (t *http2Stream) end() error {
	if t.length >= 0 && t.received != t.length {
		return h2.Malformed(t.id, "body shorter than Content-Length")
	}
	t.ended = true
	t.wake()
	return nil
}

// start gives the request to a session. A body that is there already, as a whole, gets a length; some servers want one.
func (t *http2Stream) start() {
	switch {
	case t.length >= 0:
		t.text = appendLength(t.text, t.length)
	case t.ended && t.received == 0 && len(t.trailers) == 0:
	case t.ended && len(t.trailers) == 0:
		t.text = appendLength(t.text, t.received)
	default:
		t.chunked = true
		t.text = append(t.text, "Transfer-Encoding: chunked\r\n"...)
	}
	t.text = append(t.text, "\r\n"...)
	t.beginSession()
}

func appendLength(dst []byte, n int64) []byte {
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, "\r\n"...)
}

func (t *http2Stream) beginSession() {
	c, l := t.conn, t.conn.loop
	s := l.freeSession()
	s.loop, s.listener, s.setup, s.timer.owner = l, c.listener, c.setup, s
	s.client, s.hops, s.http2, s.phase, s.lent = c.client, c.hops, t, awaiting, t.short
	s.side = side{fd: -1, stream: t, activeMs: l.nowMs, readable: true, writable: true}
	s.place, s.generation = l.sessions.put(s)
	t.session = s
	s.run()
}

// The methods of stream.

// read gives the request as one of HTTP/1.1.
func (t *http2Stream) read(p []byte) (int, syscall.Errno) {
	n := t.readText(p)
	if t.textFrom == len(t.text) {
		n += t.readBody(p[n:])
	}
	if n == 0 && !(t.ended && len(t.body) == t.bodyFrom) {
		return 0, syscall.EAGAIN
	}
	return n, 0
}

func (t *http2Stream) readText(p []byte) int {
	n := copy(p, t.text[t.textFrom:])
	t.textFrom += n
	return n
}

func (t *http2Stream) readBody(p []byte) (n int) {
	data := t.body[t.bodyFrom:]
	switch {
	case len(data) == 0:
	case t.chunked:
		if len(p) <= chunkOverhead {
			return 0
		}
		data = data[:min(len(data), len(p)-chunkOverhead)]
		chunk := append(strconv.AppendInt(p[:0], int64(len(data)), 16), "\r\n"...)
		n = len(append(append(chunk, data...), "\r\n"...))
	default:
		n = copy(p, data)
		data = data[:n]
	}
	t.bodyFrom += len(data)
	t.used(len(data))
	if t.conn.giveBack(len(data)); t.bodyFrom < len(t.body) {
		return n
	}
	t.body, t.bodyFrom = t.body[:0], 0
	if t.ended && t.chunked && !t.tailed {
		t.tailed = true
		t.text, t.textFrom = append(append(append(t.text[:0], "0\r\n"...), t.trailers...), "\r\n"...), 0
		n += t.readText(p[n:])
	}
	return n
}

// used gives room in the stream's window back.
func (t *http2Stream) used(n int) {
	if increment := t.inflow.Give(n); increment > 0 && !t.ended {
		t.conn.out = h2.AppendWindowUpdate(t.conn.out, t.id, increment)
		t.conn.queue()
	}
}

// write takes what there is room for of the answer's body.
func (t *http2Stream) write(p []byte) (int, syscall.Errno) {
	n := 0
	for n < len(p) && !t.answered {
		m := 0
		if t.answer.Remaining() > 0 {
			m = t.writeData(p[n:])
		} else {
			m = t.writeFraming(p[n:])
		}
		if m == 0 {
			break
		}
		n += m
	}
	if n == 0 {
		return 0, syscall.EAGAIN
	}
	return n, 0
}

// writeData sends a piece of the body as one frame, or says when the stream is to go on.
func (t *http2Stream) writeData(p []byte) int {
	c := t.conn
	n := int(min(int64(len(p)), t.answer.Remaining(), h2.MaxFrame, int64(t.window), int64(c.window), int64(maxQueued-c.unsent())))
	switch {
	case t.window <= 0:
		t.shut = true
		return 0
	case n <= 0, len(c.waiting) > 0 && t.served >= streamQuantum:
		t.wait()
		return 0
	}
	t.answer.Skip(int64(n))
	var flags h2.Flags
	if t.answer.Done() {
		flags, t.answered = h2.EndStream, true
	}
	c.out = append(h2.AppendFrame(c.out, n, h2.Data, flags, t.id), p[:n]...)
	c.credit = min(c.credit+n, updateCredit)
	c.window -= h2.Outflow(n)
	t.window -= h2.Outflow(n)
	t.served += n
	c.queue()
	return n
}

// writeFraming follows what stands between the chunks of a body, and its end.
func (t *http2Stream) writeFraming(p []byte) int {
	n, part, err := t.answer.Piece(p)
	if err != nil {
		return 0 // cannot be: the session has looked at it
	}
	if part == h1.Trailers {
		t.answerTrailers = append(t.answerTrailers, p[:n]...)
	}
	if t.answer.Done() {
		t.endAnswer()
	}
	return n
}

// endAnswer ends an answer whose last piece of the body did not say that it was the last.
func (t *http2Stream) endAnswer() {
	c := t.conn
	t.answered = true
	c.queue()
	if len(t.answerTrailers) == 0 {
		c.out = h2.AppendFrame(c.out, 0, h2.Data, h2.EndStream, t.id)
		return
	}
	from := len(c.out)
	c.out = c.encoder.AppendLines(c.encoder.Begin(append(c.out, make([]byte, h2.HeaderSize)...)), t.answerTrailers)
	c.out = h2.SealHeaders(c.out, from, t.id, h2.EndStream)
}

// closeNotify ends an answer that ends with its connection.
func (t *http2Stream) closeNotify() {
	if t.begun && !t.answered && !t.over && t.answer.Remaining() == math.MaxInt64 {
		t.endAnswer()
	}
}

// release is called when the session ends. A stream that has not ended with it is reset.
func (t *http2Stream) release() {
	c := t.conn
	switch {
	case t.over, c.phase >= http2Leaving, t.answered && t.ended:
	case t.answered: // the rest of the request is not wanted (RFC 9113 §8.1)
		t.reset = true
		c.out = h2.AppendReset(c.out, t.id, h2.NoError)
	default:
		t.reset = true
		c.out = h2.AppendReset(c.out, t.id, h2.InternalError)
	}
	t.session = nil
	t.drop()
}

// ready, flush, pending and truncated have nothing to say: a stream that cannot be written to takes nothing.

func (t *http2Stream) ready(bool)           {}
func (t *http2Stream) flush() syscall.Errno { return 0 }
func (t *http2Stream) pending() bool        { return false }
func (t *http2Stream) truncated() bool      { return false }

// widen makes the window larger, or smaller.
func (t *http2Stream) widen(n int64) bool {
	ok := t.window.Widen(n)
	if t.shut && t.window > 0 {
		t.shut = false
		t.wait()
	}
	return ok
}

// abort ends the stream and its session.
func (t *http2Stream) abort(end accesslog.End) {
	t.over = true
	switch s := t.session; {
	case s == nil:
		t.drop()
	case end == accesslog.Stopped:
		s.close(abort, end)
	default:
		s.clientFailed(end)
	}
}

// drop takes the stream out of its connection.
func (t *http2Stream) drop() {
	c := t.conn
	delete(c.streams, t.id)
	c.remember(t.id, t.reset)
	c.giveBack(len(t.body) - t.bodyFrom)
	if !t.short {
		c.listener.server.files.Give(streamDescriptors)
	}
	c.idleMs = c.loop.nowMs
	if c.phase != http2Gone {
		c.queue()
	}
	t.dropped = true
	if !t.woken && !t.waits {
		t.recycle()
	}
}

// recycle keeps the memory of a stream that is in no list any more.
func (t *http2Stream) recycle() {
	l := t.conn.loop
	if t.woken || t.waits || len(l.keptStreams) >= maxKeptStreams {
		return
	}
	*t = http2Stream{text: keptInput(t.text), body: keptInput(t.body), trailers: keptInput(t.trailers), answerTrailers: keptInput(t.answerTrailers)}
	l.keptStreams = append(l.keptStreams, t)
}

func keptInput(buffer []byte) []byte {
	if cap(buffer) > maxKeptInput {
		return nil
	}
	return buffer[:0]
}

// The heads of answers.

// begin sends the head of the answer; the body that follows is written.
func (t *http2Stream) begin(status int, lines []byte, body h1.Body) {
	var flags h2.Flags
	if body.Done() {
		flags, t.answered = h2.EndStream, true
	}
	t.answer, t.begun = body, true
	t.sendHead(status, lines, flags)
}

// interim passes a 1xx answer on. It is no loss to a client that takes nothing.
func (t *http2Stream) interim(answer *h1.Head) {
	if t.conn.hasRoom() {
		t.sendHead(answer.Status, answer.AppendFields(t.conn.loop.message[:0], 0), 0)
	}
}

func (t *http2Stream) sendHead(status int, lines []byte, flags h2.Flags) {
	c := t.conn
	from := len(c.out)
	c.out = append(c.out, make([]byte, h2.HeaderSize)...)
	c.out = c.encoder.AppendLines(c.encoder.AppendStatus(c.out, status), lines)
	c.out = h2.SealHeaders(c.out, from, t.id, flags)
	c.queue()
}

// answerHTTP2 gives an answer of our own to a request by HTTP/2.
func (s *session) answerHTTP2(a *l7.Answer) {
	page := a.Page()
	lines := appendLength(s.setup.site.AppendAnswerFields(s.loop.message[:0], a), int64(len(page)))
	head := h1.Head{Framing: h1.Length, ContentLength: int64(len(page))}
	if s.http2.isHead {
		head.Framing, page = h1.NoBody, nil
	}
	s.http2.begin(a.Status, lines, head.Body())
	s.send(page)
}

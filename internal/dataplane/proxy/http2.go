package proxy

import (
	"errors"

	"golang.org/x/net/http2/hpack"

	"poise/internal/dataplane/accesslog"
	"poise/internal/dataplane/h1"
	"poise/internal/dataplane/h2"
	"poise/internal/dataplane/l7"
)

const (
	// maxStreams is how many requests a client may have under way on one connection.
	maxStreams = 128
	// streamWindow and connWindow are how many bytes of request bodies a client may send ahead of the members.
	streamWindow = 256 << 10
	connWindow   = 1 << 20
	// maxTable is what the client's table of fields may take: the size with which HTTP/2 begins.
	maxTable = 4 << 10
	// maxQueued bytes wait for the client before no more of an answer is taken; with twice as many, nothing is read from the client
	// either, so that nobody can make it many.
	maxQueued = 64 << 10
	// Per second a client may cause maxResets resets of streams, and send maxControl frames that cost it little: PING, SETTINGS, PRIORITY,
	// DATA without data, frames of unknown types, and more WINDOW_UPDATE than answers give it reason for: one for each bytesPerUpdate
	// that it was sent, of which at most updateCredit count at a time.
	maxResets      = 200
	maxControl     = 1000
	bytesPerUpdate = 512
	updateCredit   = 1 << 20
	// settingsPatienceMs is how long a client may take to acknowledge our settings.
	settingsPatienceMs = 10_000
)

// http2Conn is a client's connection of HTTP/2. It reads frames and makes a session of each request, which takes it for one of HTTP/1.1
// from a client of its own (see [http2Stream]): all that is decided about requests is decided there. What sessions answer
// becomes frames, and the frames of one turn of the loop go out together.
//
// Traffic is metered by sessions, as the messages of HTTP/1.1 that they see.
type http2Conn struct {
	timer    timer
	loop     *loop
	listener *listener
	setup    *setup // of the connection's beginning
	client   l7.Client
	hops     int // load balancers that the client has passed, this one included
	side     side
	in       []byte // was read and is not used yet: a part of a frame
	out      []byte // out[sent:] is not written yet
	sent     int

	streams map[uint32]*http2Stream // those that have a request under way
	woken   []*http2Stream          // their clients have sent something
	waiting []*http2Stream          // have more to send, and take turns
	lastID  uint32                  // the highest stream that the client has opened,
	served  uint32                  // and the highest that was, or will be, served
	late    [recentStreams]lateStream
	ended   int // how many streams have ended

	decoder *hpack.Decoder
	fields  fields      // what the decoder's fields are
	block   headerBlock // has come in part
	encoder h2.Encoder

	window       h2.Outflow // of the connection
	firstWindow  int64      // of each stream, as the client has it
	inflow       h2.Inflow
	resets       h2.Rate
	control      h2.Rate
	credit       int    // bytes sent to the client that may still excuse WINDOW_UPDATE
	idleMs       int64  // since when no request is under way
	settingsMs   int64  // when our settings were sent; 0: the client has acknowledged them
	untilMs      int64  // while leaving: when the connection is closed at last
	drained      int    // likewise: bytes that were thrown away
	prefaceBytes int    // of the preface that have come
	held         uint32 // events that wait for the next round
	place        uint32
	generation   int32
	phase        http2Phase
	goesAway     bool // the client was told that no more streams are served
	queued       bool // the loop will go on with it
}

// http2Phase is how far a connection is.
type http2Phase uint8

const (
	http2Greeting http2Phase = iota // the client's preface and first settings are awaited
	http2Open
	http2Leaving // the client takes what was sent last, and what it still says is thrown away
	http2Gone
)

// speakHTTP2 makes a connection of HTTP/2 of a session whose client has chosen it in its handshake.
func (s *session) speakHTTP2() {
	l := s.loop
	c := &http2Conn{
		loop: l, listener: s.listener, setup: s.setup, client: s.client, hops: s.hops, side: s.side, streams: map[uint32]*http2Stream{},
		window: h2.DefaultWindow, firstWindow: h2.DefaultWindow, inflow: h2.NewInflow(connWindow), idleMs: l.nowMs, settingsMs: l.nowMs,
	}
	c.timer.owner = c
	c.decoder = hpack.NewDecoder(maxTable, c.addField)
	l.wheel.remove(&s.timer)
	l.sessions.remove(s.place)
	l.keepSession(s)
	s.phase = gone
	c.place, c.generation = l.http2s.put(c)
	if c.side.watch(l, readEvents, kindHTTP2, c.place, c.generation) != nil {
		c.close(abort, accesslog.Stopped)
		return
	}
	c.out = h2.AppendSettings(l.freeBuffer(), uint32(h2.MaxConcurrentStreams), maxStreams, uint32(h2.InitialWindowSize), streamWindow,
		uint32(h2.MaxHeaderListSize), h1.LongestHead+h1.MaxFields*fieldOverhead)
	c.out = h2.AppendWindowUpdate(c.out, 0, connWindow-h2.DefaultWindow)
	c.run()
}

// fieldOverhead is what a field counts for beside its bytes (RFC 9113 §6.5.2).
const fieldOverhead = 32

// onEvent takes what epoll says of the client.
func (c *http2Conn) onEvent(events uint32) {
	c.side.note(events)
	c.run()
}

func (c *http2Conn) payer() *Server { return c.listener.server }

// goOn is called when the others had their turn: what sessions have answered meanwhile is sent.
func (c *http2Conn) goOn() {
	c.queued = false
	if c.phase != http2Gone {
		c.run()
	}
}

// queue has the loop continue this connection after the others.
func (c *http2Conn) queue() {
	if !c.queued {
		c.queued = true
		c.loop.goOnLater(c.payer(), c)
	}
}

// run does what can be done, and waits for more.
func (c *http2Conn) run() {
	c.flush()
	switch c.phase {
	case http2Gone:
		return
	case http2Leaving:
		c.leave()
	default:
		c.read()
		c.wake()
		c.resume()
		if c.goesAway && len(c.streams) == 0 && c.phase == http2Open {
			c.phase = http2Leaving
			c.queue()
		}
	}
	if c.phase == http2Gone {
		return
	}
	if c.unsent() > 0 && c.side.writable {
		c.queue()
	}
	if events := c.side.needs(); events != 0 && c.side.watch(c.loop, events, kindHTTP2, c.place, c.generation) != nil {
		c.close(abort, accesslog.Stopped)
		return
	}
	if due := c.dueMs(); due < never {
		c.loop.wheel.setBy(&c.timer, due)
	}
}

func (c *http2Conn) unsent() int { return len(c.out) - c.sent }

// flush writes what the client takes.
func (c *http2Conn) flush() {
	l := c.loop
	for c.unsent() > 0 && c.side.writable {
		n, err := c.side.write(l, c.out[c.sent:])
		if err != 0 {
			c.close(abort, accesslog.ClientClosed)
			return
		}
		c.sent += n
	}
	switch {
	case c.unsent() > 0:
		c.out = append(c.out[:0], c.out[c.sent:]...)
	case len(c.streams) == 0:
		l.keepBuffer(c.out)
		c.out = nil
	default:
		c.out = c.out[:0]
	}
	c.sent = 0
}

// read reads frames for as long as there are some.
func (c *http2Conn) read() {
	l := c.loop
	for moved := 0; c.phase < http2Leaving && c.side.readable && c.unsent() < 2*maxQueued; {
		if moved >= turnBytes || l.hasHadTurn(c.payer()) {
			c.queue()
			return
		}
		n, err := c.side.read(l, l.scratch[:])
		if err != 0 || c.side.eof {
			c.close(manner(len(c.streams) > 0), accesslog.ClientClosed)
			return
		}
		moved += n
		c.take(l.scratch[:n])
		l.charge(c.payer())
	}
}

// take looks at what was read.
func (c *http2Conn) take(p []byte) {
	if c.prefaceBytes < len(h2.Preface) {
		n := min(len(p), len(h2.Preface)-c.prefaceBytes)
		if string(p[:n]) != h2.Preface[c.prefaceBytes:c.prefaceBytes+n] {
			c.fail(h2.ProtocolError)
			return
		}
		c.prefaceBytes += n
		p = p[n:]
	}
	if c.in != nil {
		c.in = append(c.in, p...)
		p = c.in
	}
	rest := c.takeFrames(p)
	switch {
	case len(rest) > 0 && c.in == nil:
		c.in = append(c.loop.freeBuffer(), rest...)
	case len(rest) > 0:
		c.in = append(c.in[:0], rest...) // rest is the end of it
	case c.in != nil:
		c.loop.keepBuffer(c.in)
		c.in = nil
	}
}

// takeFrames follows the frames in p and returns what is left: a part of one.
func (c *http2Conn) takeFrames(p []byte) (rest []byte) {
	for c.phase < http2Leaving {
		f, n, err := h2.Next(p)
		if n == 0 && err == nil {
			break
		}
		p = p[n:]
		if err = c.takeFrame(&f, err); err != nil {
			c.blame(err)
		}
	}
	return p
}

// blame resets the stream that an error is of, or ends the connection.
func (c *http2Conn) blame(err error) {
	var fault *h2.Error
	if !errors.As(err, &fault) {
		fault = &h2.Error{Code: h2.InternalError}
	}
	if fault.Stream == 0 {
		c.fail(fault.Code)
		return
	}
	c.out = h2.AppendReset(c.out, fault.Stream, fault.Code)
	if t := c.streams[fault.Stream]; t != nil {
		t.reset = true
		t.abort(accesslog.ClientInvalid)
	} else {
		c.remember(fault.Stream, true)
	}
	c.countReset()
}

// countReset ends the connection of a client that has too many streams reset, each of which costs more than it costs the client.
func (c *http2Conn) countReset() {
	if c.resets.Exceeds(c.loop.nowMs, maxResets) {
		c.fail(h2.EnhanceYourCalm)
	}
}

// countControl says so of frames that cost the client little.
func (c *http2Conn) countControl() error {
	if c.control.Exceeds(c.loop.nowMs, maxControl) {
		return h2.Broken(h2.EnhanceYourCalm, "too many frames that say little")
	}
	return nil
}

// fail ends the connection, and the requests that are under way, after an error of the client.
func (c *http2Conn) fail(code h2.Code) {
	if c.phase >= http2Leaving {
		return
	}
	c.phase = http2Leaving
	c.listener.meter.Errors.Add(1)
	c.endStreams(accesslog.ClientInvalid)
	c.out = h2.AppendGoAway(c.out, c.served, code)
	c.queue()
}

// goAway has the connection end with the requests that are under way.
func (c *http2Conn) goAway() {
	if c.goesAway || c.phase >= http2Leaving {
		return
	}
	c.goesAway = true
	c.out = h2.AppendGoAway(c.out, c.served, h2.NoError)
	c.queue()
}

// wake has the streams of which something came go on.
func (c *http2Conn) wake() {
	for _, t := range c.woken {
		t.woken = false
		t.goOn()
	}
	c.woken = c.woken[:0]
}

// resume gives each stream that waits a turn, as long as there is room for what it sends.
func (c *http2Conn) resume() {
	for n := len(c.waiting); n > 0 && c.hasRoom(); n-- {
		t := c.waiting[0]
		c.waiting = c.waiting[:copy(c.waiting, c.waiting[1:])]
		t.waits, t.served = false, 0
		t.goOn()
	}
}

// hasRoom says whether DATA may be sent.
func (c *http2Conn) hasRoom() bool { return c.window > 0 && c.unsent() < maxQueued }

// dueMs is when the connection's patience ends if nothing happens.
func (c *http2Conn) dueMs() int64 {
	switch timeout := c.setup.clientTimeoutMs; {
	case c.untilMs != 0:
		return c.untilMs
	case !c.side.writable:
		return c.side.activeMs + timeout
	case len(c.streams) == 0 && c.listener.removed.Load():
		return c.idleMs + dismissalMs
	case len(c.streams) == 0:
		return c.idleMs + timeout
	case c.settingsMs != 0:
		return c.settingsMs + settingsPatienceMs
	}
	return never // each stream has its own patience
}

// onTimer hears that a deadline may have come.
func (c *http2Conn) onTimer() {
	if c.dueMs() <= c.loop.nowMs {
		c.expire()
	}
	if c.phase != http2Gone {
		c.run()
	}
}

func (c *http2Conn) expire() {
	switch {
	case c.untilMs != 0:
		c.close(orderly, "")
	case !c.side.writable:
		c.close(abort, accesslog.ClientTimeout)
	case c.phase == http2Greeting:
		c.close(orderly, "")
	case c.settingsMs != 0:
		c.fail(h2.SettingsTimeout)
	default:
		c.goAway()
	}
}

// leave has the client take what was sent last, and then closes.
func (c *http2Conn) leave() {
	l := c.loop
	if c.unsent() > 0 || c.side.waits() {
		return
	}
	if c.untilMs == 0 {
		c.untilMs = l.nowMs + lingerMs
		c.side.shutdown()
	}
	for c.side.readable {
		n, err := c.side.read(l, l.scratch[:])
		c.drained += n
		if err != 0 || c.side.eof || c.drained > maxLinger {
			c.close(orderly, "")
			return
		}
	}
}

// close ends the connection and gives back everything that it holds; end says why the requests under way have ended.
func (c *http2Conn) close(how manner, end accesslog.End) {
	l := c.loop
	c.phase = http2Gone
	c.endStreams(end)
	l.wheel.remove(&c.timer)
	c.side.close(how)
	l.keepBuffer(c.in)
	l.keepBuffer(c.out)
	c.in, c.out, c.sent = nil, nil, 0
	l.http2s.remove(c.place)
	c.listener.left(l, connDescriptors)
}

// endStreams ends all requests that are under way.
func (c *http2Conn) endStreams(end accesslog.End) {
	for _, t := range c.streams {
		t.abort(end)
	}
}

package proxy

import (
	"golang.org/x/net/http2/hpack"

	"poise/internal/dataplane/accesslog"
	"poise/internal/dataplane/h2"
)

const (
	// maxBlock bytes of a header block, compressed, and maxContinuations of its first frame are taken. What is shorter but too long for a
	// request is answered.
	maxBlock         = 64 << 10
	maxContinuations = 32
	// recentStreams are remembered after their end.
	recentStreams = 64
)

// fields are what the fields of a header block belong to.
type fields uint8

const (
	ofNothing fields = iota // they are decoded because others may refer to them
	ofRequest
	ofTrailers
)

// headerBlock is a header block that comes in more than one frame.
type headerBlock struct {
	first    h2.Frame // without its payload
	bytes    []byte
	frames   int
	underway bool
}

// lateStream is a stream that has ended. Of those that this side has reset the client may not know yet.
type lateStream struct {
	id   uint32
	ours bool
}

// takeFrame does what a frame says. fault is what is wrong with the frame itself.
func (c *http2Conn) takeFrame(f *h2.Frame, fault error) error {
	switch {
	case c.block.underway && (f.Type != h2.Continuation || f.Stream != c.block.first.Stream):
		return h2.Broken(h2.ProtocolError, "frame within a header block")
	case c.phase == http2Greeting && (f.Type != h2.Settings || f.Flags.Has(h2.Ack)):
		return h2.Broken(h2.ProtocolError, "no SETTINGS after the preface")
	case fault != nil:
		return fault
	}
	switch f.Type {
	case h2.Data:
		return c.takeData(f)
	case h2.Headers:
		return c.takeHeaders(f)
	case h2.Continuation:
		return c.takeContinuation(f)
	case h2.Reset:
		return c.takeReset(f)
	case h2.Settings:
		return c.takeSettings(f)
	case h2.Ping:
		if !f.Flags.Has(h2.Ack) {
			c.out = h2.AppendPong(c.out, f.Payload)
		}
		return c.countControl()
	case h2.WindowUpdate:
		return c.takeWindowUpdate(f)
	}
	return c.countControl() // PRIORITY, GOAWAY, and what is unknown: it says nothing to us
}

func (c *http2Conn) takeSettings(f *h2.Frame) error {
	if f.Flags.Has(h2.Ack) {
		c.settingsMs = 0
		return c.countControl()
	}
	window, err := h2.ParseSettings(f.Payload, c.firstWindow)
	if err != nil {
		return err
	}
	if c.phase == http2Greeting {
		c.phase = http2Open
	}
	for _, t := range c.streams {
		if !t.widen(window - c.firstWindow) {
			return h2.Broken(h2.FlowControlError, "window of a stream too large")
		}
	}
	c.firstWindow = window
	c.out = h2.AppendSettingsAck(c.out)
	return c.countControl()
}

func (c *http2Conn) takeWindowUpdate(f *h2.Frame) error {
	if c.credit < bytesPerUpdate {
		if err := c.countControl(); err != nil {
			return err
		}
	}
	c.credit = max(c.credit-bytesPerUpdate, 0)
	increment := int64(f.Uint32())
	t := c.streams[f.Stream]
	switch {
	case f.Stream == 0:
		if !c.window.Widen(increment) {
			return h2.Broken(h2.FlowControlError, "window of the connection too large")
		}
	case t != nil:
		if !t.widen(increment) {
			return h2.Faulty(f.Stream, h2.FlowControlError, "window of a stream too large")
		}
	case c.isIdle(f.Stream):
		return h2.Broken(h2.ProtocolError, "WINDOW_UPDATE on an idle stream")
	}
	return nil
}

func (c *http2Conn) takeReset(f *h2.Frame) error {
	t := c.streams[f.Stream]
	switch {
	case t != nil:
		t.over = true
		t.abort(accesslog.ClientClosed)
		c.countReset()
	case c.isIdle(f.Stream):
		return h2.Broken(h2.ProtocolError, "RST_STREAM on an idle stream")
	}
	return c.countControl()
}

func (c *http2Conn) takeData(f *h2.Frame) error {
	t := c.streams[f.Stream]
	switch {
	case c.isIdle(f.Stream):
		return h2.Broken(h2.ProtocolError, "DATA on an idle stream")
	case !c.inflow.Take(f.Length):
		return h2.Broken(h2.FlowControlError, "more DATA than the connection's window")
	case len(f.Payload) == 0 && !f.Flags.Has(h2.EndStream):
		if err := c.countControl(); err != nil {
			return err
		}
	}
	if t == nil || t.ended {
		c.giveBack(f.Length)
		if c.wasReset(f.Stream) {
			return nil
		}
		return h2.Faulty(f.Stream, h2.StreamClosed, "DATA on a closed stream")
	}
	c.giveBack(f.Length - len(f.Payload))
	return t.takeData(f)
}

// giveBack gives room in the connection's window back.
func (c *http2Conn) giveBack(n int) {
	if increment := c.inflow.Give(n); increment > 0 && c.phase < http2Leaving {
		c.out = h2.AppendWindowUpdate(c.out, 0, increment)
		c.queue()
	}
}

func (c *http2Conn) takeHeaders(f *h2.Frame) error {
	if f.Flags.Has(h2.EndHeaders) {
		return c.takeBlock(f, f.Payload)
	}
	first := *f
	first.Payload = nil
	c.block = headerBlock{first: first, bytes: append([]byte(nil), f.Payload...), underway: true}
	return nil
}

func (c *http2Conn) takeContinuation(f *h2.Frame) error {
	b := &c.block
	if !b.underway {
		return h2.Broken(h2.ProtocolError, "CONTINUATION of nothing")
	}
	b.frames++
	if b.frames > maxContinuations || len(b.bytes)+f.Length > maxBlock {
		return h2.Broken(h2.EnhanceYourCalm, "header block too long")
	}
	b.bytes = append(b.bytes, f.Payload...)
	if !f.Flags.Has(h2.EndHeaders) {
		return nil
	}
	whole := *b
	*b = headerBlock{}
	return c.takeBlock(&whole.first, whole.bytes)
}

// takeBlock takes a whole header block, which began with the frame f.
func (c *http2Conn) takeBlock(f *h2.Frame, block []byte) error {
	t := c.streams[f.Stream]
	switch {
	case t != nil && t.ended:
		return c.skipBlock(block, h2.Faulty(f.Stream, h2.StreamClosed, "HEADERS on a closed stream"))
	case t != nil && !f.Flags.Has(h2.EndStream):
		return c.skipBlock(block, h2.Malformed(f.Stream, "HEADERS in the middle of a request"))
	case t != nil:
		return c.takeTrailers(t, block)
	case f.Stream%2 == 0:
		return h2.Broken(h2.ProtocolError, "even stream of a client")
	case !c.isIdle(f.Stream):
		return c.skipBlock(block, c.lateHeaders(f.Stream))
	}
	c.lastID = f.Stream
	switch {
	case c.goesAway:
		c.remember(f.Stream, true)
		return c.skipBlock(block, nil)
	case f.Circular:
		return c.skipBlock(block, h2.Malformed(f.Stream, "stream depends on itself"))
	case len(c.streams) >= maxStreams:
		return c.skipBlock(block, h2.Faulty(f.Stream, h2.RefusedStream, "too many streams"))
	}
	return c.openStream(f, block)
}

// openStream begins a request.
func (c *http2Conn) openStream(f *h2.Frame, block []byte) error {
	r := &c.loop.request2
	r.Begin()
	err := c.decode(block, ofRequest)
	if err == nil {
		err = r.Close(f.Stream)
	}
	if err != nil {
		return err
	}
	t := c.newStream(f.Stream, r)
	t.short = !c.listener.server.files.Take(streamDescriptors)
	if f.Flags.Has(h2.EndStream) {
		return t.end()
	}
	return nil
}

func (c *http2Conn) takeTrailers(t *http2Stream, block []byte) error {
	trailers := &c.loop.trailers2
	trailers.Begin()
	if err := c.decode(block, ofTrailers); err != nil {
		return err
	}
	lines, err := trailers.Close(t.id)
	if err != nil {
		return err
	}
	t.trailers = append(t.trailers[:0], lines...)
	return t.end()
}

// lateHeaders says what is wrong with HEADERS on a stream that is not open any more.
func (c *http2Conn) lateHeaders(stream uint32) error {
	for _, late := range c.late {
		switch {
		case late.id != stream:
		case late.ours:
			return nil
		default:
			return h2.Broken(h2.StreamClosed, "HEADERS on a closed stream")
		}
	}
	return h2.Broken(h2.ProtocolError, "stream lower than one before")
}

// skipBlock decodes a block whose fields nobody wants, for the sake of those that follow.
func (c *http2Conn) skipBlock(block []byte, fault error) error {
	if err := c.decode(block, ofNothing); err != nil {
		return err
	}
	return fault
}

func (c *http2Conn) decode(block []byte, belong fields) error {
	c.fields = belong
	c.decoder.SetEmitEnabled(belong != ofNothing)
	_, err := c.decoder.Write(block)
	if end := c.decoder.Close(); err != nil || end != nil {
		return h2.Broken(h2.CompressionError, "header block cannot be decoded")
	}
	return nil
}

// addField takes a field that was decoded.
func (c *http2Conn) addField(f hpack.HeaderField) {
	more := false
	if c.fields == ofRequest {
		more = c.loop.request2.Add(f.Name, f.Value)
	} else {
		more = c.loop.trailers2.Add(f.Name, f.Value)
	}
	c.decoder.SetEmitEnabled(more)
}

// isIdle says that the stream was not opened yet, nor one above it.
func (c *http2Conn) isIdle(stream uint32) bool { return stream > c.lastID || stream%2 == 0 }

// remember notes that a stream has ended; ours says that this side has reset it.
func (c *http2Conn) remember(stream uint32, ours bool) {
	c.late[c.ended%recentStreams] = lateStream{stream, ours}
	c.ended++
}

// wasReset says that this side has reset the stream, or has not opened it, a short time ago.
func (c *http2Conn) wasReset(stream uint32) bool {
	for _, late := range c.late {
		if late.id == stream && late.ours {
			return true
		}
	}
	return false
}

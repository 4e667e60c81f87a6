package gateway

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane/accesslog"
	"poise/internal/dataplane/h1"
	"poise/internal/dataplane/l7"
)

// overHTTP1 carries the exchange over a connection of HTTP/1.1. It is false when the connection turns out to have been closed before
// the member took anything of the request, which may then be sent again.
func (x *exchange) overHTTP1(l *link, pool *l7.Pool) (taken bool) {
	x.abort.set(l.socket)
	defer x.abort.set(nil)
	x.out = append(x.appendHead(x.out[:0], pool), x.body.small...)
	x.wait(&x.silence.response, theMember)
	_, writeErr := l.conn.Write(x.out)
	sent := len(x.out)
	up := x.startUpload(l, writeErr)
	err := x.readHead(l)
	if err != nil && x.wasNotTaken(l, err, sent) {
		l.close()
		return false
	}
	x.meter.BytesIn.Add(uint64(sent))
	if err == nil && l.head.Status == http.StatusSwitchingProtocols {
		up.end(l)
		x.upgrade(l, pool)
		l.close()
		return true
	}
	if err == nil {
		err = x.relay(l, pool)
	}
	intact := err == nil && l.isIntact()
	if up.end(l) && intact {
		x.session.gateway.links.put(l)
	} else {
		l.close()
	}
	if err != nil && !x.broken {
		x.fail(err)
	}
	return true
}

// appendHead appends the head of the request as the member gets it.
func (x *exchange) appendHead(dst []byte, pool *l7.Pool) []byte {
	dst = append(dst, x.head.Method...)
	dst = append(dst, ' ')
	dst = append(dst, x.head.Path()...)
	if x.head.Host() == "" {
		dst = append(dst, " HTTP/1.0\r\n"...) // of HTTP/1.0, which needs no Host
	} else {
		dst = append(dst, " HTTP/1.1\r\n"...)
	}
	dst = x.head.AppendFields(dst, x.site.Drop(pool))
	if pool.DropsCookie() {
		dst = pool.AppendCookies(dst, &x.head)
	}
	dst = x.site.AppendInserted(dst, x.session.client, pool)
	return append(dst, "\r\n"...)
}

// wasNotTaken says whether the member has certainly not seen the request: it closed a connection that was idle before, and its
// end of the stream did not acknowledge a single byte. The kernel sends that end with the number of what it has received.
func (x *exchange) wasNotTaken(l *link, err error, sent int) bool {
	closed := errors.Is(err, io.EOF) || errors.Is(err, unix.EPIPE)
	return l.reused && closed && l.to == 0 && !x.body.stream && side(x.blamed.Load()) == nobody && l.socket.unacknowledged() >= sent
}

// readHead reads the head of the response, after those of any interim responses, which are passed on.
func (x *exchange) readHead(l *link) error {
	for {
		n, err := l.head.ParseResponse(l.unread(), x.head.Method)
		switch {
		case err != nil:
			return err
		case n == 0:
			x.wait(&x.silence.response, theMember)
			if err := l.fill(); err != nil {
				return err
			}
			continue
		}
		l.from += n
		l.head.Keep() // net/http and its HPACK tables hold on to strings
		if l.head.Status >= 200 {
			return nil
		}
		if l.head.Status == http.StatusSwitchingProtocols {
			if !x.head.Upgrade {
				return &h1.Error{Status: http.StatusBadGateway, Reason: "101 that was not asked for"}
			}
			return nil
		}
		x.passInterim(l)
		l.head.Reset()
	}
}

// passInterim passes on an interim response, but for 100, which net/http has sent or will send itself.
func (x *exchange) passInterim(l *link) {
	if l.head.Status == http.StatusContinue || x.r.ProtoMajor == 1 && x.r.ProtoMinor == 0 {
		return
	}
	header := x.w.Header()
	for i := range l.head.Len() {
		if l.head.Passes(i, 0) {
			_, name, value := l.head.Field(i)
			header.Add(name, value)
		}
	}
	x.w.WriteHeader(l.head.Status)
	clear(header)
}

// relay passes the response on.
func (x *exchange) relay(l *link, pool *l7.Pool) error {
	x.respond(l.head.Status, &l.head, l.head.Passes, pool)
	body := l.head.Body()
	var trailers []byte
	for !body.Done() {
		if len(l.unread()) == 0 {
			if !x.flush() {
				return errClient
			}
			x.wait(&x.silence.response, theMember)
			switch err := l.fill(); {
			case err == nil:
			case errors.Is(err, io.EOF) && l.head.Framing == h1.UntilClose && side(x.blamed.Load()) == nobody:
				return nil
			default:
				return err
			}
		}
		piece := l.unread()
		n, part, err := body.Piece(piece)
		if err != nil {
			return err
		}
		l.from += n
		switch part {
		case h1.Content:
			if !x.write(piece[:n]) {
				return errClient
			}
		case h1.Trailers:
			trailers = append(trailers, piece[:n]...)
		}
	}
	return x.passTrailers(trailers)
}

// errClient says that the response could not be given to the client, which was noted already.
var errClient = errors.New("client failed")

func (x *exchange) passTrailers(section []byte) error {
	if len(section) == 0 {
		return nil
	}
	var trailers h1.Head
	if err := trailers.ParseTrailers(section); err != nil {
		return err
	}
	x.addTrailers(&trailers)
	return nil
}

// upload sends the body of a request while the response is read. The nil upload has nothing to send.
type upload struct {
	x        *exchange
	done     chan struct{}
	complete bool // all was sent; only after done
}

// startUpload sends the body if it has not been sent with the head.
func (x *exchange) startUpload(l *link, failed error) *upload {
	if !x.body.stream {
		return nil
	}
	if x.r.ProtoMajor == 1 {
		_ = x.control.EnableFullDuplex() // a response may begin before its request has ended
	}
	up := &upload{x: x, done: make(chan struct{})}
	if failed != nil {
		close(up.done)
		return up
	}
	x.wait(&x.silence.upload, theClient)
	go up.run(l)
	return up
}

func (up *upload) run(l *link) {
	defer close(up.done)
	if up.x.r.ContentLength >= 0 {
		up.complete = up.sendPlain(l)
	} else {
		up.complete = up.sendChunked(l)
	}
	up.x.wait(&up.x.silence.upload, nobody)
	if !up.complete && up.x.body.failed.Load() {
		l.socket.abort() // the member waits for the rest, and we for the member
	}
}

func (up *upload) sendPlain(l *link) bool {
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	for {
		n, err := up.x.body.Read(buffer[:])
		if n > 0 && !up.send(l, buffer[:n]) {
			return false
		}
		if err != nil {
			return err == io.EOF
		}
	}
}

// sendChunked sends each piece as a chunk: its size, which has room before the piece, then the piece and a line end.
func (up *upload) sendChunked(l *link) bool {
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	const room, end = 8, 2
	for {
		n, err := up.x.body.Read(buffer[room : len(buffer)-end])
		if n > 0 {
			size := append(strconv.AppendUint(make([]byte, 0, room), uint64(n), 16), "\r\n"...)
			from := room - copy(buffer[room-len(size):], size)
			to := room + n + copy(buffer[room+n:], "\r\n")
			if !up.send(l, buffer[from:to]) {
				return false
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return false
		}
	}
	last := append(buffer[:0], "0\r\n"...)
	for name, values := range up.x.body.trailers() {
		for _, value := range values {
			last = appendField(last, name, value)
		}
	}
	return up.send(l, append(last, "\r\n"...))
}

func (up *upload) send(l *link, p []byte) bool {
	up.x.wait(&up.x.silence.upload, theMember)
	n, err := l.conn.Write(p)
	up.x.meter.BytesIn.Add(uint64(n))
	return err == nil
}

// end ends the upload, which after the response serves nothing any more, and waits for it. It says whether all was sent, and the connection is
// fit for another request.
func (up *upload) end(l *link) (complete bool) {
	if up == nil {
		return true
	}
	select {
	case <-up.done:
		return up.complete
	default:
		_ = up.x.control.SetReadDeadline(time.Unix(1, 0))
		l.socket.abort()
		<-up.done
		return false // whatever it has become: the connection cannot be used any more
	}
}

// upgrade lets bytes flow in both directions after the member has agreed to change the protocol.
func (x *exchange) upgrade(l *link, pool *l7.Pool) {
	x.countResponse(http.StatusSwitchingProtocols)
	pool.Learn(&l.head, x.member)
	conn, buffered, err := x.control.Hijack()
	if err != nil { // HTTP/2, whose requests cannot ask for this
		x.fail(&h1.Error{Status: http.StatusBadGateway, Reason: "101 in HTTP/2"})
		return
	}
	x.begun, x.status = true, http.StatusSwitchingProtocols
	x.upgraded.Store(true)
	x.session.strict.tunnel()
	x.session.meter.Responses[1].Add(1)
	x.times.response = time.Now()
	x.out = append(x.out[:0], "HTTP/1.1 101 Switching Protocols\r\n"...)
	x.out = l.head.AppendFields(x.out, x.site.DropResponse(pool, &l.head))
	x.out = x.site.AppendResponse(x.out, pool, &l.head, x.member, x.setCookie)
	x.out = append(append(x.out, "\r\n"...), l.unread()...)
	early, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	t := &tunnel{x: x, client: conn, member: l}
	x.abort.set(t)
	x.end = t.run(x.out, early)
	_ = conn.Close()
}

// tunnel is an upgraded connection.
type tunnel struct {
	x      *exchange
	client io.ReadWriteCloser
	member *link
}

// abort ends both directions.
func (t *tunnel) abort() {
	_ = t.x.session.SetDeadline(time.Unix(1, 0))
	t.member.socket.abort()
}

// run passes bytes on until both sides have ended, or one has failed.
func (t *tunnel) run(toClient, toMember []byte) accesslog.End {
	_ = t.x.session.SetDeadline(time.Time{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		t.pass(t.member.conn, t.client, toMember, &t.x.silence.upload, theClient)
		t.finish()
	}()
	t.pass(t.client, t.member.conn, toClient, &t.x.silence.response, theMember)
	t.finish()
	<-done
	switch side(t.x.blamed.Load()) {
	case theClient:
		return accesslog.ClientTimeout
	case theMember:
		return accesslog.MemberTimeout
	}
	return accesslog.Complete
}

// finish ends both directions once the client has what was written: an upgraded protocol has its own way to end, half of a
// connection is of no use.
func (t *tunnel) finish() {
	t.x.session.outbox.drain()
	t.abort()
}

func (t *tunnel) pass(dst io.Writer, src io.Reader, first []byte, waits *thread, from side) {
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	p := first
	for {
		if _, err := dst.Write(p); err != nil {
			return
		}
		if from == theMember {
			t.x.bytesOut += uint64(len(p))
		} else {
			t.x.body.read.Add(int64(len(p)))
		}
		t.x.wait(waits, from)
		n, err := src.Read(buffer[:])
		if n == 0 && err != nil {
			return
		}
		p = buffer[:n]
	}
}

package gateway

import (
	"io"
	"net/http"
	"time"

	"poise/internal/dataplane/accesslog"
	"poise/internal/dataplane/h1"
	"poise/internal/dataplane/l7"
)

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

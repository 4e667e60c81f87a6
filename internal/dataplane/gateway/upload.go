package gateway

import (
	"io"
	"strconv"
	"time"
)

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

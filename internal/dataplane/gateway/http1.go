package gateway

import (
	"errors"
	"io"
	"net/http"

	"golang.org/x/sys/unix"

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

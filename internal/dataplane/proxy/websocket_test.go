package proxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"poise/internal/dataplane"
	"poise/internal/testpki"
)

// TestWebSockets has a client and a member speak WebSocket through every kind of listener that speaks HTTP: messages of all
// sizes, in one frame and in many, pings between the fragments, and the codes with which either side closes.
func TestWebSockets(t *testing.T) {
	authority := testpki.NewAuthority(t, "test")
	pair := authority.Issue(t, "site.example", testpki.DNS("site.example"))
	for _, test := range []struct {
		name            string
		clients, member bool
		memberALPN      []string
	}{
		{"plain", false, false, nil},
		{"TLS of clients", true, false, nil},
		{"TLS of both", true, true, nil},
		{"members with HTTP/2", true, true, []string{"h2", "http/1.1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			member := httpMember(t, "a", echoMessages)
			if test.member {
				member = secureMember(t, "a", pair, echoMessages)
			}
			bench := newHTTPBench(t, member)
			address := "ws://" + bench.addr() + "/chat"
			if test.clients {
				address = "wss://" + bench.addr() + "/chat"
				bench.config.Listeners[0].TLS = &dataplane.ServerTLS{
					Certificates: []dataplane.Certificate{certificate(t, pair)}, Handshake: dataplane.Handshake{ALPN: []string{"h2", "http/1.1"}},
				}
			}
			if test.member {
				bench.config.Pools[0].TLS = &dataplane.ClientTLS{Handshake: dataplane.Handshake{ALPN: test.memberALPN}}
			}
			bench.apply()
			for name, converse := range conversations {
				t.Run(name, func(t *testing.T) { converse(t, connectSocket(t, address)) })
			}
		})
	}
}

// echoMessages is a member that repeats every message, and closes when it is told to: "close 4001 why".
func echoMessages(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{Subprotocols: []string{"chat"}, CheckOrigin: func(*http.Request) bool { return true }}
	c, err := upgrader.Upgrade(w, r, http.Header{"X-Member": {"a"}})
	if err != nil {
		return
	}
	defer c.Close()
	for {
		kind, message, err := c.ReadMessage()
		if err != nil {
			return
		}
		var code int
		var why string
		if n, _ := fmt.Sscanf(string(message[:min(len(message), 50)]), "close %d %s", &code, &why); n == 2 {
			_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, why), time.Now().Add(patience))
			continue // until the client has answered
		}
		if c.WriteMessage(kind, message) != nil {
			return
		}
	}
}

func connectSocket(t *testing.T, address string) *websocket.Conn {
	t.Helper()
	d := websocket.Dialer{
		Subprotocols: []string{"chat"}, HandshakeTimeout: patience, WriteBufferSize: 1 << 10, // large messages are fragmented
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "site.example", NextProtos: []string{"http/1.1"}},
		NetDialContext:  (&net.Dialer{}).DialContext,
	}
	c, answer, err := d.DialContext(t.Context(), address, nil)
	if err != nil {
		t.Fatalf("%v %v", err, answer)
	}
	t.Cleanup(func() { _ = c.Close() })
	if c.Subprotocol() != "chat" || answer.Header.Get("X-Member") != "a" {
		t.Errorf("the member's answer to the handshake: %v", answer.Header)
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

var conversations = map[string]func(*testing.T, *websocket.Conn){
	"messages of all sizes": func(t *testing.T, c *websocket.Conn) {
		for _, size := range []int{0, 1, 125, 126, 127, 65535, 65536, 1 << 20, 8 << 20} {
			for _, kind := range []int{websocket.TextMessage, websocket.BinaryMessage} {
				message := bytes.Repeat([]byte("w"), size)
				if err := c.WriteMessage(kind, message); err != nil {
					t.Fatal(err)
				}
				wantMessage(t, c, kind, message)
			}
		}
	},
	"fragments with pings between": func(t *testing.T, c *websocket.Conn) {
		pongs := make(chan string, 10)
		c.SetPongHandler(func(data string) error { pongs <- data; return nil })
		w, err := c.NextWriter(websocket.TextMessage)
		if err != nil {
			t.Fatal(err)
		}
		var whole strings.Builder
		for i := range 10 {
			part := strings.Repeat(fmt.Sprint(i), 3000) // more than the buffer of a frame
			whole.WriteString(part)
			if _, err := io.WriteString(w, part); err != nil {
				t.Fatal(err)
			}
			if err := c.WriteControl(websocket.PingMessage, []byte(fmt.Sprint("ping ", i)), time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		wantMessage(t, c, websocket.TextMessage, []byte(whole.String()))
		for i := range 10 {
			if got := <-pongs; got != fmt.Sprint("ping ", i) {
				t.Errorf("pong %q, want that of ping %d", got, i)
			}
		}
	},
	"many messages before the first answer": func(t *testing.T, c *websocket.Conn) {
		const count = 500
		sent := make(chan error, 1)
		go func() {
			for i := range count {
				if err := c.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, "message %d", i)); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		for i := range count {
			wantMessage(t, c, websocket.TextMessage, fmt.Appendf(nil, "message %d", i))
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
	},
	"the client closes": func(t *testing.T, c *websocket.Conn) {
		bye := websocket.FormatCloseMessage(websocket.CloseGoingAway, "bye")
		if err := c.WriteControl(websocket.CloseMessage, bye, time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		wantClose(t, c, websocket.CloseGoingAway)
	},
	"the member closes": func(t *testing.T, c *websocket.Conn) {
		if err := c.WriteMessage(websocket.TextMessage, []byte("close 4001 enough")); err != nil {
			t.Fatal(err)
		}
		if closed := wantClose(t, c, 4001); closed.Text != "enough" {
			t.Errorf("closed because of %q", closed.Text)
		}
	},
}

func wantMessage(t *testing.T, c *websocket.Conn, kind int, want []byte) {
	t.Helper()
	gotKind, got, err := c.ReadMessage()
	if err != nil {
		t.Fatalf("a message of %d bytes: %v", len(want), err)
	}
	if gotKind != kind || !bytes.Equal(got, want) {
		t.Fatalf("a message of kind %d with %d bytes, want kind %d with %d", gotKind, len(got), kind, len(want))
	}
}

func wantClose(t *testing.T, c *websocket.Conn, code int) *websocket.CloseError {
	t.Helper()
	_, _, err := c.ReadMessage()
	var closed *websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != code {
		t.Fatalf("%v, want a close with code %d", err, code)
	}
	return closed
}

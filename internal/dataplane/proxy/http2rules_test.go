package proxy

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// framesClient writes frames without any of the checks of a client.
type framesClient struct {
	*http2.Framer
	conn    net.Conn
	block   bytes.Buffer
	encoder *hpack.Encoder
}

// dialFrames connects and says hello.
func (b *bench) dialFrames() *framesClient {
	b.t.Helper()
	conn := tls.Client(b.dial(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		b.t.Fatal(err)
	}
	c := &framesClient{Framer: http2.NewFramer(conn, conn), conn: conn}
	c.AllowIllegalWrites = true
	c.encoder = hpack.NewEncoder(&c.block)
	_ = c.WriteSettings()
	return c
}

// request is a header block.
func (c *framesClient) fields(fields ...string) []byte {
	c.block.Reset()
	for _, field := range fields {
		name, value, _ := strings.Cut(field, " ")
		_ = c.encoder.WriteField(hpack.HeaderField{Name: name, Value: value})
	}
	return bytes.Clone(c.block.Bytes())
}

func (c *framesClient) open(stream uint32, end bool, fields ...string) {
	fields = append([]string{":method POST", ":scheme https", ":path /", ":authority a"}, fields...)
	_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: c.fields(fields...), EndStream: end, EndHeaders: true})
}

// fate is how the stream, or with 0 the connection, ends: the code of RST_STREAM or GOAWAY, or NO_ERROR when it was answered.
func (c *framesClient) fate(t *testing.T, stream uint32) http2.ErrCode {
	t.Helper()
	for {
		frame, err := c.ReadFrame()
		if err != nil {
			t.Fatalf("no end: %v", err)
		}
		switch f := frame.(type) {
		case *http2.RSTStreamFrame:
			if f.StreamID == stream {
				return f.ErrCode
			}
		case *http2.GoAwayFrame:
			if stream != 0 {
				t.Fatalf("the connection ends: %s", f.ErrCode)
			}
			return f.ErrCode
		case *http2.DataFrame:
			if f.StreamID == stream && f.StreamEnded() {
				return http2.ErrCodeNo
			}
		}
	}
}

// TestHTTP2Rules has a client break rules beyond those of h2spec, or come close.
func TestHTTP2Rules(t *testing.T) {
	for _, test := range []struct {
		name    string
		violate func(c *framesClient)
		stream  uint32
		want    http2.ErrCode
	}{
		{"nothing", func(c *framesClient) { c.open(1, true) }, 1, http2.ErrCodeNo},
		{"length that fits", func(c *framesClient) {
			c.open(1, false, "content-length 5")
			_ = c.WriteData(1, true, []byte("hello"))
		}, 1, http2.ErrCodeNo},
		{"length that is too short", func(c *framesClient) {
			c.open(1, false, "content-length 2")
			_ = c.WriteData(1, true, []byte("hello"))
		}, 1, http2.ErrCodeProtocol},
		{"length that is too long", func(c *framesClient) {
			c.open(1, false, "content-length 7")
			_ = c.WriteData(1, true, []byte("hello"))
		}, 1, http2.ErrCodeProtocol},
		{"length without a body", func(c *framesClient) { c.open(1, true, "content-length 7") }, 1, http2.ErrCodeProtocol},
		{"host that differs", func(c *framesClient) { c.open(1, true, "host b") }, 1, http2.ErrCodeProtocol},
		{"field of the connection", func(c *framesClient) { c.open(1, true, "connection x") }, 1, http2.ErrCodeProtocol},
		{"pseudo-field in trailers", func(c *framesClient) {
			c.open(1, false)
			_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.fields(":path /"), EndStream: true, EndHeaders: true})
		}, 1, http2.ErrCodeProtocol},
		{"a fault leaves others alone", func(c *framesClient) { c.open(1, true, "Upper x"); c.open(3, true) }, 3, http2.ErrCodeNo},
		{"fields of a faulty stream are remembered", func(c *framesClient) {
			c.open(1, true, "connection x", "x-remembered yes")
			c.open(3, true, "x-remembered yes")
		}, 3, http2.ErrCodeNo},
		{"DATA after a reset of ours", func(c *framesClient) {
			c.open(1, false, "connection x")
			_ = c.WriteData(1, true, []byte("hello"))
			c.open(3, true)
		}, 3, http2.ErrCodeNo},
		{"block without an end", func(c *framesClient) {
			_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.fields(":method GET")})
			for range maxContinuations + 1 {
				_ = c.WriteContinuation(1, false, nil)
			}
		}, 0, http2.ErrCodeEnhanceYourCalm},
		{"block that is too long", func(c *framesClient) {
			_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: make([]byte, 16<<10)})
			for range maxBlock / (16 << 10) {
				_ = c.WriteContinuation(1, false, make([]byte, 16<<10))
			}
		}, 0, http2.ErrCodeEnhanceYourCalm},
		{"rapid reset", func(c *framesClient) {
			for i := range uint32(2*maxResets + 2) { // in two seconds at most
				c.open(2*i+1, true)
				_ = c.WriteRSTStream(2*i+1, http2.ErrCodeCancel)
			}
		}, 0, http2.ErrCodeEnhanceYourCalm},
		{"streams that have us reset them", func(c *framesClient) {
			for i := range uint32(2*maxResets + 2) {
				c.open(2*i+1, false)
				_ = c.WriteWindowUpdate(2*i+1, 0)
			}
		}, 0, http2.ErrCodeEnhanceYourCalm},
		{"flood of pings", func(c *framesClient) {
			for range 2*maxControl + 2 {
				_ = c.WritePing(false, [8]byte{})
			}
		}, 0, http2.ErrCodeEnhanceYourCalm},
		{"flood of settings", func(c *framesClient) {
			for range 2*maxControl + 2 {
				_ = c.WriteSettings()
			}
		}, 0, http2.ErrCodeEnhanceYourCalm},
		{"flood of empty DATA", func(c *framesClient) {
			c.open(1, false)
			for range 2*maxControl + 2 {
				_ = c.WriteData(1, false, nil)
			}
		}, 0, http2.ErrCodeEnhanceYourCalm},
		{"CONNECT is answered", func(c *framesClient) {
			block := c.fields(":method CONNECT", ":authority a:443")
			_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block, EndHeaders: true, EndStream: true})
		}, 1, http2.ErrCodeNo},
		{"extended CONNECT is not known", func(c *framesClient) {
			block := c.fields(":method CONNECT", ":protocol websocket", ":scheme https", ":path /", ":authority a")
			_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block, EndHeaders: true})
		}, 1, http2.ErrCodeProtocol},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newHTTP2Bench(t, httpMember(t, "a", func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = io.WriteString(w, "ok")
			}))
			c := b.dialFrames()
			wrote := make(chan struct{})
			go func() { test.violate(c); close(wrote) }()
			if got := c.fate(t, test.stream); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
			_ = c.conn.Close()
			<-wrote
			eventually(t, "the connection ends", func() bool { return b.counters().Active == 0 })
		})
	}
}

// More streams than may be open are refused, and the others are not harmed.
func TestHTTP2StreamLimit(t *testing.T) {
	proceed := make(chan struct{})
	b := newHTTP2Bench(t, httpMember(t, "a", func(w http.ResponseWriter, _ *http.Request) {
		<-proceed
		_, _ = io.WriteString(w, "ok")
	}))
	c := b.dialFrames()
	for i := range uint32(maxStreams + 1) {
		c.open(2*i+1, true)
	}
	if got := c.fate(t, 2*maxStreams+1); got != http2.ErrCodeRefusedStream {
		t.Error(got)
	}
	close(proceed)
	for answered := 0; answered < maxStreams; {
		frame, err := c.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if f, ok := frame.(*http2.DataFrame); ok && f.StreamEnded() {
			answered++
		}
	}
	_ = c.conn.Close()
}

// A client that asks and asks, and never reads, makes no more wait for it than there is room for.
func TestHTTP2ClientThatNeverReads(t *testing.T) {
	b := newHTTP2Bench(t, httpMember(t, "a", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, 1<<20))
	}))
	b.config.Listeners[0].ClientTimeout = 300 * time.Millisecond
	b.apply()
	c := b.dialFrames()
	_ = c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
	_ = c.WriteWindowUpdate(0, 1<<30)
	for i := range uint32(100) {
		c.open(2*i+1, true)
	}
	eventually(t, "its connection ends", func() bool { return b.counters().Requests > 0 && b.counters().Active == 0 })
}

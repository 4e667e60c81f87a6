package proxy

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// http2Streams is what the gateway allows on one connection.
	http2Streams = 128
	// http2Conns attack at once.
	http2Conns = 2
	// ofHTTP2 is what one connection may hold beside its streams: queued answers of net/http (10,000 control frames), tables of HPACK, the
	// outbox, and the test's own side.
	ofHTTP2 = 4 << 20
	// ofStream is what one request of HTTP/2 may hold: the goroutines of its handler, of the member's, buffers for the body and to
	// either side (32 KiB each), its head.
	ofStream = 4*(32<<10) + 2*ofHead
)

// attacker is a client of HTTP/2 that knows no manners.
type attacker struct {
	*http2.Framer
	conn  *tls.Conn
	block bytes.Buffer
	coder *hpack.Encoder
	next  uint32
}

func (f *fortress) attacker(settings ...http2.Setting) *attacker {
	f.t.Helper()
	config := f.client.Clone()
	config.NextProtos = []string{"h2"}
	a := &attacker{conn: tls.Client(f.dial(), config), next: 1}
	if err := a.conn.Handshake(); err != nil {
		f.t.Fatal(err)
	}
	a.Framer, a.coder = http2.NewFramer(a.conn, a.conn), hpack.NewEncoder(&a.block)
	tell(f.t, a.conn, http2.ClientPreface)
	if err := a.WriteSettings(settings...); err != nil {
		f.t.Fatal(err)
	}
	return a
}

// head is the encoded head of a request.
func (a *attacker) head(path string, more ...hpack.HeaderField) []byte {
	a.block.Reset()
	fields := append([]hpack.HeaderField{
		{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "site.example"}, {Name: ":path", Value: path},
	}, more...)
	for _, field := range fields {
		_ = a.coder.WriteField(field)
	}
	return bytes.Clone(a.block.Bytes())
}

// request begins a stream and returns its number.
func (a *attacker) request(path string, more ...hpack.HeaderField) (uint32, error) {
	id := a.next
	a.next += 2
	return id, a.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: a.head(path, more...), EndHeaders: true, EndStream: true})
}

// drain reads until the connection ends.
func (a *attacker) drain() { _, _ = io.Copy(io.Discard, a.conn) }

// hpackBomb is a field of 4,000 bytes that one byte names from then on.
var hpackBomb = hpack.HeaderField{Name: "x", Value: strings.Repeat("x", 4000)}

// floods never end by themselves: each is a turn, again and again, until the connection fails or the test has seen enough.
var floods = []struct {
	name  string
	reads bool // the attacker reads what it is answered
	ends  bool // the connection must end by that, within some turns
	idle  bool // it must end by the client's timeout, as no request is under way
	turn  func(a *attacker) error
}{
	{name: "rapid reset", reads: true, ends: true, turn: func(a *attacker) error {
		id, err := a.request("/silent")
		if err == nil {
			err = a.WriteRSTStream(id, http2.ErrCodeCancel)
		}
		return err
	}},
	{name: "rapid reset of what is answered", reads: true, turn: func(a *attacker) error {
		id, err := a.request("/")
		if err == nil {
			err = a.WriteRSTStream(id, http2.ErrCodeCancel)
		}
		return err
	}},
	{name: "CONTINUATION", ends: true, turn: func(a *attacker) error {
		fragment := bytes.Repeat(append([]byte{0, 1, 'x', 127, 100}, bytes.Repeat([]byte{'x'}, 227)...), 50)
		if a.next == 1 {
			a.next += 2
			return a.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: a.head("/")})
		}
		return a.WriteContinuation(1, false, fragment)
	}},
	{name: "empty CONTINUATION", idle: true, turn: func(a *attacker) error {
		if a.next == 1 {
			a.next += 2
			return a.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: a.head("/")})
		}
		return a.WriteContinuation(1, false, nil)
	}},
	{name: "PING, read", reads: true, turn: func(a *attacker) error { return a.WritePing(false, [8]byte{}) }},
	{name: "PING, unread", ends: true, turn: func(a *attacker) error { return a.WritePing(false, [8]byte{}) }},
	{name: "SETTINGS, read", reads: true, turn: func(a *attacker) error { return a.WriteSettings() }},
	{name: "SETTINGS, unread", turn: func(a *attacker) error { return a.WriteSettings() }},
	{name: "HPACK bomb", reads: true, turn: func(a *attacker) error {
		id := a.next
		a.next += 2
		block := append(a.head("/", hpackBomb), bytes.Repeat([]byte{0x80 | 62}, 10_000)...) // the newest entry of the table
		return a.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true, EndStream: true})
	}},
	{name: "too many streams", reads: true, turn: func(a *attacker) error { _, err := a.request("/silent"); return err }},
	{name: "unread answers", turn: func(a *attacker) error { _, err := a.request("/endless"); return err }},
	{name: "PRIORITY", reads: true, ends: true, turn: func(a *attacker) error {
		a.next += 2
		return a.WritePriority(a.next, http2.PriorityParam{StreamDep: 0})
	}},
	{name: "unknown frames", reads: true, ends: true, turn: func(a *attacker) error { return a.WriteRawFrame(0x42, 0, 0, nil) }},
	{name: "WINDOW_UPDATE", reads: true, ends: true, turn: func(a *attacker) error { return a.WriteWindowUpdate(0, 1) }},
	{name: "RST_STREAM, again", reads: true, ends: true, turn: func(a *attacker) error {
		if a.next == 1 {
			if _, err := a.request("/"); err != nil {
				return err
			}
		}
		return a.WriteRSTStream(1, http2.ErrCodeCancel)
	}},
}

// enoughTurns of a flood have been seen, and how many may pass until a connection ends that must.
const enoughTurns = 200_000

// TestHTTP2Floods measures what attackers of HTTP/2 hold, and wants others to be served.
func TestHTTP2Floods(t *testing.T) {
	all := floods
	if testing.Short() {
		all = all[:1]
	}
	for _, flood := range all {
		t.Run(flood.name, func(t *testing.T) {
			f := newFortress(t, true)
			if flood.idle {
				f.config.Listeners[0].ClientTimeout = time.Second
				f.apply()
			}
			settle := f.others(200)
			before := held()
			var wg sync.WaitGroup
			over := make(chan struct{})
			var mu sync.Mutex
			turns := 0
			for range http2Conns {
				a := f.attacker()
				_ = a.conn.NetConn().SetDeadline(time.Now().Add(2 * patience))
				if flood.reads {
					wg.Go(a.drain)
				}
				wg.Go(func() {
					n := 0
					defer func() { mu.Lock(); turns += n; mu.Unlock(); _ = a.conn.NetConn().Close() }()
					for ; n < enoughTurns || flood.idle; n++ {
						if err := flood.turn(a); err != nil {
							return
						}
						select {
						case <-over:
							return
						default:
						}
					}
					if flood.ends {
						t.Errorf("the connection lives after %d turns", n)
					}
				})
			}
			settle()
			each := (held() - before) / http2Conns
			if !flood.ends && !flood.idle {
				close(over)
			}
			wg.Wait()
			const limit = ofHTTP2 + http2Streams*ofStream
			t.Logf("%-32s %8.1f KiB each, of %d; %d turns, %d requests at once", flood.name, float64(each)/1024, limit>>10, turns/http2Conns, f.most.Load())
			if each > limit {
				t.Errorf("%d bytes each, allowed are %d", each, limit)
			}
			if most := f.most.Load(); most > http2Conns*http2Streams+2 {
				t.Errorf("%d requests at once", most)
			}
		})
	}
}

// TestHTTP2TinyWindows asks for much on all streams and allows one byte of each answer: the client's timeout ends the streams.
func TestHTTP2TinyWindows(t *testing.T) {
	f := newFortress(t, true)
	patient := f.config.Listeners[0]
	patient.ID, patient.Port = "patient", freePort(t)
	f.config.Listeners[0].ClientTimeout = 4 * time.Second // until then all must be asked for
	f.config.Listeners = append(f.config.Listeners, patient)
	f.apply()
	settle := f.othersAt(netip.AddrPortFrom(vip, patient.Port).String(), 200)
	var wg sync.WaitGroup
	for range http2Conns {
		a := f.attacker(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
		wg.Go(func() {
			reset := map[uint32]bool{}
			for range http2Streams {
				if _, err := a.request("/endless"); err != nil {
					t.Error(err)
					return
				}
			}
			for len(reset) < http2Streams {
				frame, err := a.ReadFrame()
				if err != nil {
					t.Errorf("after %d streams: %v", len(reset), err)
					return
				}
				if _, ok := frame.(*http2.RSTStreamFrame); ok {
					reset[frame.Header().StreamID] = true
				}
			}
		})
	}
	eventually(t, "all are asked for", func() bool { return f.most.Load() >= http2Conns*http2Streams })
	each := held() / (http2Conns * http2Streams)
	t.Logf("%.1f KiB for each stream, of %d, all else included", float64(each)/1024, ofStream>>10)
	if each > ofStream {
		t.Errorf("%d bytes for each stream", each)
	}
	wg.Wait()
	settle()
}

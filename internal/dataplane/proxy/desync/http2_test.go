package desync

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
	"poise/internal/dataplane/balance"
	"poise/internal/dataplane/gateway"
	"poise/internal/dataplane/l7"
	"poise/internal/dataplane/loop"
	"poise/internal/dataplane/meter"
	"poise/internal/dataplane/proxy"
	"poise/internal/testpki"
)

// TestHTTP2 sends requests by HTTP/2 to members that speak HTTP/1.1, through event loops and through the gateway.
func TestHTTP2(t *testing.T) {
	engine := startEngine(t)
	pair := testpki.NewAuthority(t, "test").Issue(t, "x", testpki.DNS("x"))
	certificate := dataplane.Certificate{Chain: pair.Chain, Key: pair.KeyDER(t)}
	ways := map[string]func(*testing.T, *member) net.Conn{
		"loops":   func(t *testing.T, m *member) net.Conn { return throughLoops(t, engine, m, certificate) },
		"gateway": throughGateway,
	}
	for way, connect := range ways {
		for _, c := range http2Cases {
			t.Run(way+"/"+c.name, func(t *testing.T) {
				m := startMember(t, paces["at once"], serves)
				var statuses [2]string
				t.Run("exchange", func(t *testing.T) { // which ends with its proxy
					statuses = exchangeHTTP2(connect(t, m), &c)
				})
				m.stop()
				checkHTTP2(t, &c, m, statuses)
			})
		}
	}
}

// throughLoops connects to a proxy with one listener, which offers HTTP/2, in front of the member.
func throughLoops(t *testing.T, engine *proxy.Engine, m *member, certificate dataplane.Certificate) net.Conn {
	t.Helper()
	server := proxy.New(hostNet{}, slog.New(slog.DiscardHandler), engine, engine.NewAccount())
	t.Cleanup(server.Close)
	vip := netip.MustParseAddr("127.0.10.2")
	listener, pool := configHTTP2(m)
	listener.Port = freePort(t, vip)
	listener.TLS = &dataplane.ServerTLS{
		Certificates: []dataplane.Certificate{certificate}, Handshake: dataplane.Handshake{ALPN: []string{"h2"}},
	}
	states := server.Apply(&dataplane.Config{Listeners: []dataplane.Listener{*listener}, Pools: []dataplane.Pool{*pool}}, []netip.Addr{vip})
	if !states[listener.ID].Listening {
		t.Fatal(states)
	}
	conn, err := tls.Dial("tcp", netip.AddrPortFrom(vip, listener.Port).String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

func configHTTP2(m *member) (*dataplane.Listener, *dataplane.Pool) {
	listener := dataplane.Listener{
		ID: "listener", Protocol: dataplane.HTTP, PoolID: "pool",
		ClientTimeout: silence, MemberTimeout: patience, ConnectTimeout: patience,
		HTTP: &dataplane.Requests{Insert: []dataplane.Insertion{dataplane.XForwardedFor}},
	}
	pool := dataplane.Pool{
		ID: "pool", Algorithm: dataplane.RoundRobin, HTTP: true,
		Members: []dataplane.Member{{ID: "member", Address: m.addr, Weight: 1}},
	}
	return &listener, &pool
}

// unlimited is a budget of file descriptors that is never short.
type unlimited struct{}

func (unlimited) Take(int64) bool { return true }
func (unlimited) Give(int64)      {}

// siteOf is a site with the member alone.
func siteOf(t *testing.T, m *member) *l7.Site {
	t.Helper()
	listener, pool := configHTTP2(m)
	site, err := l7.New(l7.Parts{
		Listener: listener,
		Net:      hostNet{}, Meter: &meter.Listener{}, Log: &accesslog.Log{},
		Pools: map[string]*l7.Pool{pool.ID: {
			Config: pool, Balancer: balance.New(*pool, nil), Meters: []*meter.Member{{}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return site
}

// throughGateway connects to a gateway in front of the member.
func throughGateway(t *testing.T, m *member) net.Conn {
	t.Helper()
	g := gateway.New(slog.New(slog.DiscardHandler), unlimited{}, &loop.Hops{})
	t.Cleanup(func() { g.Close(context.Background()) })
	site := siteOf(t, m)
	near, far := connected(t)
	t.Cleanup(func() { _ = near.Close() })
	client := &l7.Client{Address: netip.MustParseAddrPort("192.0.2.1:1"), Local: netip.MustParseAddrPort("192.0.2.2:80")}
	g.Serve(far, client, func() *l7.Site { return site }, nil)
	return near
}

// exchangeHTTP2 sends the request and then the sentinel, and returns the statuses of both; "" where there was none.
func exchangeHTTP2(near net.Conn, c *http2Case) [2]string {
	conn := newHTTP2Client(near)
	conn.send(1, c)
	statuses := [2]string{conn.status(1)}
	for stream := uint32(3); stream <= lastStream; stream += 2 {
		conn.send(stream, &http2Case{fields: over2(":path /end")})
		if statuses[1] = conn.status(stream); statuses[1] != "502" { // of a connection to the member that could not be used again
			break
		}
	}
	return statuses
}

// lastStream is that of the last attempt at the sentinel.
const lastStream = 9

// connected are the two ends of a connection.
func connected(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = near.SetDeadline(time.Now().Add(patience))
	return near, far
}

// http2Client writes frames without any of the checks of a client.
type http2Client struct {
	framer  *http2.Framer
	block   bytes.Buffer
	encoder *hpack.Encoder
}

func newHTTP2Client(conn net.Conn) *http2Client {
	_, _ = io.WriteString(conn, http2.ClientPreface)
	c := &http2Client{framer: http2.NewFramer(conn, conn)}
	c.framer.AllowIllegalWrites = true
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.encoder = hpack.NewEncoder(&c.block)
	_ = c.framer.WriteSettings()
	return c
}

// send sends a request. Errors are those of a connection that the other side has closed, as it may.
func (c *http2Client) send(stream uint32, request *http2Case) {
	c.headers(stream, request.fields, request.data == "" && request.trailers == nil)
	if request.data != "" {
		_ = c.framer.WriteData(stream, request.trailers == nil, []byte(request.data))
	}
	if request.trailers != nil {
		c.headers(stream, request.trailers, true)
	}
}

// maxFrame is the longest frame that may be sent without asking.
const maxFrame = 16 << 10

func (c *http2Client) headers(stream uint32, fields []string, last bool) {
	c.block.Reset()
	for _, field := range fields {
		name, value, _ := strings.Cut(field, " ")
		_ = c.encoder.WriteField(hpack.HeaderField{Name: name, Value: value})
	}
	block := c.block.Next(maxFrame)
	_ = c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, BlockFragment: block, EndStream: last, EndHeaders: c.block.Len() == 0,
	})
	for c.block.Len() > 0 {
		block = c.block.Next(maxFrame)
		_ = c.framer.WriteContinuation(stream, c.block.Len() == 0, block)
	}
}

// status reads up to the end of a stream: what the client was told; "" when the stream or the connection ended without.
func (c *http2Client) status(stream uint32) (status string) {
	for {
		frame, err := c.framer.ReadFrame()
		var broken http2.StreamError
		if err != nil && !errors.As(err, &broken) {
			return ""
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = c.framer.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			if f.StreamID == stream && !strings.HasPrefix(f.PseudoValue("status"), "1") {
				status = f.PseudoValue("status")
			}
			if f.StreamID == stream && f.StreamEnded() {
				return status
			}
		case *http2.DataFrame:
			if f.StreamID == stream && f.StreamEnded() {
				return status
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == stream {
				return status
			}
		case *http2.GoAwayFrame:
			if f.ErrCode != http2.ErrCodeNo {
				return status
			}
		}
	}
}

func checkHTTP2(t *testing.T, c *http2Case, m *member, statuses [2]string) {
	t.Helper()
	message, either := strings.CutSuffix(c.want, " or refused")
	refused := message == "refused" || either && !slices.Contains(m.messages, message)
	var want []string
	if !refused {
		want = append(want, message)
	}
	if !refused || slices.Contains(m.messages, "GET /end") {
		want = append(want, "GET /end")
	}
	slices.Sort(want) // streams overtake each other
	slices.Sort(m.messages)
	if diff := gocmp.Diff(want, m.messages); diff != "" {
		t.Errorf("the member reads (-want +got)\n%s", diff)
	}
	var strict []string
	for _, raw := range m.raw {
		read, err := readStrictly(raw.Bytes())
		if err != nil && !(refused && errors.Is(err, io.ErrUnexpectedEOF)) {
			t.Errorf("read strictly: %v in %q", err, raw)
		}
		strict = append(strict, read...)
	}
	slices.Sort(strict)
	if diff := gocmp.Diff(want, strict); diff != "" {
		t.Errorf("read strictly (-want +got)\n%s", diff)
	}
	if served := statuses[0] == "200"; !either && served == refused || !refused && statuses[1] != "200" {
		t.Errorf("the client is told %q", statuses)
	}
	if len(m.hops) > 0 || strings.Trim(m.hosts, "x") != "" {
		t.Errorf("the member got %v, for the hosts %s", m.hops, m.hosts)
	}
}

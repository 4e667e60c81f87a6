package proxy

import (
	"strconv"
	"strings"
	"time"

	"poise/internal/dataplane/accesslog"
)

// log writes the connection's record, or that of the request with which a tunnel began.
func (c *conn) log(end accesslog.End) {
	r := c.record
	r.Time = processStart.Add(time.Duration(c.startNs))
	r.ListenerID, r.Client, r.End = c.listener.id, c.client.String(), end
	if c.setup.pool != nil {
		r.PoolID = c.setup.pool.Config.ID
	}
	if c.member != nil {
		r.MemberID = c.member.ID
	}
	r.BytesIn += c.bytes[kindClient]
	r.BytesOut += c.bytes[kindMember]
	r.TotalMs = milli(c.loop.nowNs - c.startNs)
	c.listener.log.Write(*r)
}

func milli(ns int64) float64 { return float64(ns) / float64(time.Millisecond) }

// logRefused writes the record of a client that is not let in.
func (l *loop) logRefused(a accepted, why accesslog.End) {
	if a.listener.log.Wanted() {
		a.listener.log.Write(accesslog.Record{
			Time: time.Now(), ListenerID: a.listener.id, Client: a.client.String(), End: why,
		})
	}
}

// newRecord begins the record of a request whose head is complete.
func (s *session) newRecord() *accesslog.Record {
	x := s.x
	version := "HTTP/1." + strconv.Itoa(x.head.Minor)
	if s.http2 != nil {
		version = "HTTP/2.0"
	}
	return &accesslog.Record{
		Method: strings.Clone(x.request.Method), Host: strings.Clone(x.request.Host), Target: strings.Clone(x.request.Path),
		Version: version,
	}
}

// logExchange writes the record of the request at hand. One that was never read has no more in it than how it ended.
func (s *session) logExchange(end accesslog.End) {
	r := s.x.record
	if r == nil {
		if !s.listener.log.Wanted() {
			return
		}
		r = &accesslog.Record{}
	}
	s.fill(r)
	r.End = end
	s.listener.log.Write(*r)
}

// fill says what is known so far.
func (s *session) fill(r *accesslog.Record) {
	x := s.x
	r.Time = processStart.Add(time.Duration(x.startNs))
	r.ListenerID, r.Client, r.Status, r.PolicyID = s.listener.id, s.client.Address.String(), x.status, x.policyID
	if x.pool != nil {
		r.PoolID = x.pool.Config.ID
	}
	if x.member != nil {
		r.MemberID = x.member.ID
	}
	if peer := s.client.TLS; peer != nil {
		r.TLSVersion, r.TLSCipher, r.ClientDN = peer.Version, peer.Cipher, peer.Subject()
	}
	r.BytesIn, r.BytesOut = x.bytesIn, x.bytesOut
	r.ConnectMs, r.ResponseMs, r.TotalMs = milli(x.connectNs), milli(x.answerNs), milli(s.loop.nowNs-x.startNs)
}

// logHandshake writes the record of a client whose TLS handshake has failed.
func (s *session) logHandshake() {
	if s.listener.log.Wanted() {
		s.listener.log.Write(accesslog.Record{
			Time: time.Now(), ListenerID: s.listener.id, Client: s.client.Address.String(), End: accesslog.HandshakeError,
		})
	}
}

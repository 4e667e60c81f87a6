package gateway

import (
	"strings"
	"time"

	"poise/internal/dataplane/accesslog"
)

// conclude counts an exchange that has ended, and tells who follows the log of the listener.
func (x *exchange) conclude() {
	if x.end == "" {
		x.end = accesslog.Complete
	}
	now := time.Now()
	if x.meter != nil {
		x.meter.BytesOut.Add(x.bytesOut)
		x.meter.TotalNs.Add(int64(now.Sub(x.times.start)))
	}
	if !x.site.Log.Wanted() {
		return
	}
	client := x.session.client
	// What points into the buffers of the exchange is copied: records live longer.
	r := accesslog.Record{
		Time: x.times.start, ListenerID: x.site.Listener.ID, Client: client.Address.String(),
		Method: strings.Clone(x.r.Method), Host: strings.Clone(x.request.Host), Target: strings.Clone(x.request.Path),
		Version: x.r.Proto, Status: x.status, PolicyID: x.decision.PolicyID,
		BytesIn: uint64(x.body.read.Load()) + uint64(len(x.written)), BytesOut: x.bytesOut,
		ConnectMs: milliseconds(x.times.connect, x.times.connected), ResponseMs: milliseconds(x.times.start, x.times.response),
		TotalMs: milliseconds(x.times.start, now), End: x.end,
	}
	if client.TLS != nil {
		r.TLSVersion, r.TLSCipher, r.ClientDN = client.TLS.Version, client.TLS.Cipher, client.TLS.Subject()
	}
	if x.decision.Pool != nil {
		r.PoolID = x.decision.Pool.Config.ID
	}
	if x.member != nil {
		r.MemberID = x.member.ID
	}
	x.site.Log.Write(r)
}

func milliseconds(from, to time.Time) float64 {
	if from.IsZero() || to.IsZero() {
		return 0
	}
	return float64(to.Sub(from)) / float64(time.Millisecond)
}

package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"poise/internal/dataplane/accesslog"
	"poise/internal/dataplane/h1"
	"poise/internal/dataplane/l7"
	"poise/internal/dataplane/meter"
)

const (
	// maxAttempts is how many members are tried, each once, until a connection can be made.
	maxAttempts = 3
	// silentAfter is how long an attempt that fails may take before its member counts as silent, and rests.
	silentAfter = 100 * time.Millisecond
)

// forward has a member of the pool answer the request.
func (x *exchange) forward(pool *l7.Pool) {
	if !x.body.takeSmall() {
		x.fail(io.ErrUnexpectedEOF)
		return
	}
	for len(x.tried) < maxAttempts {
		x.member, x.setCookie = pool.Pick(&x.request, x.session.client.Address, x.tried...)
		if x.member == nil {
			break
		}
		if x.tryMember(pool) {
			return
		}
		x.tried = append(x.tried, x.member)
	}
	x.session.meter.Errors.Add(1)
	end := accesslog.NoMember
	if len(x.tried) > 0 {
		end = accesslog.MemberRefused
	}
	x.answer(&l7.Answer{Status: http.StatusServiceUnavailable, End: end})
}

// tryMember is false when the member could not be reached; another one may then answer.
func (x *exchange) tryMember(pool *l7.Pool) (done bool) {
	defer x.member.Release()
	x.meter = pool.Meters[x.member.Index]
	if len(x.tried) > 0 {
		x.meter.Redispatches.Add(1)
	}
	x.meter.Active.Add(1)
	defer x.meter.Active.Add(-1)
	for {
		x.times.connect = time.Now()
		one, two, err := x.session.gateway.links.get(x, pool, x.member)
		if err != nil {
			return x.connectFailed(err)
		}
		if x.times.connected.IsZero() {
			x.meter.Total.Add(1)
		}
		x.times.connected = time.Now()
		x.meter.ConnectNs.Add(int64(x.times.connected.Sub(x.times.connect)))
		taken := false
		if two != nil {
			taken = x.overHTTP2(two, pool)
		} else {
			taken = x.overHTTP1(one, pool)
		}
		if taken {
			return true
		}
	}
}

// connectFailed says whether the exchange is over with that.
func (x *exchange) connectFailed(err error) (done bool) {
	if x.r.Context().Err() != nil {
		x.clientFailed()
		return true
	}
	if !isOwnFault(err) {
		x.meter.ConnectErrors.Add(1)
		if time.Since(x.times.connect) >= silentAfter {
			x.member.Rest()
		}
	}
	return false
}

// fail ends an exchange whose response could not be got, or not to its end.
func (x *exchange) fail(err error) {
	var refused *h1.Error
	status, end := http.StatusBadGateway, accesslog.MemberClosed
	switch blamed := side(x.blamed.Load()); {
	case blamed == theClient:
		status, end = http.StatusRequestTimeout, accesslog.ClientTimeout
	case x.r.Context().Err() != nil:
		x.clientFailed()
		x.countAbort()
		return
	case x.body.failed.Load():
		status, end = http.StatusBadRequest, accesslog.ClientClosed
	case blamed == theMember:
		status, end = http.StatusGatewayTimeout, accesslog.MemberTimeout
	case errors.As(err, &refused):
		end = accesslog.MemberInvalid
	}
	x.end = end
	x.countAbort()
	if x.begun {
		x.broken = true
		return
	}
	x.answer(&l7.Answer{Status: status, End: end})
}

// countAbort counts an exchange that x.end has ended.
func (x *exchange) countAbort() {
	switch x.end {
	case accesslog.ClientClosed, accesslog.ClientTimeout:
		x.session.meter.Errors.Add(1)
		if x.meter != nil {
			x.meter.ClientAborts.Add(1)
		}
	case accesslog.MemberClosed:
		x.meter.ResponseErrors.Add(1)
		x.meter.MemberAborts.Add(1)
	case accesslog.MemberTimeout, accesslog.MemberInvalid:
		x.meter.ResponseErrors.Add(1)
	}
}

// respond gives the head of a member's response to net/http: its fields, without those that are not passed on, and what is
// added to it.
func (x *exchange) respond(status int, response l7.Fields, passes func(i int, drop h1.Set) bool, pool *l7.Pool) {
	x.times.response = time.Now()
	x.meter.ResponseNs.Add(int64(x.times.response.Sub(x.times.connected)))
	pool.Learn(response, x.member)
	header := x.w.Header()
	drop := x.site.DropResponse(pool, response) | h1.SetOf(h1.TransferEncoding)
	values := make([]string, response.Len())
	for i := range response.Len() {
		if !passes(i, drop) {
			continue
		}
		_, name, value := response.Field(i)
		name = http.CanonicalHeaderKey(name)
		if before := header[name]; before != nil {
			header[name] = append(before, value)
			continue
		}
		values[i] = value
		header[name] = values[i : i+1 : i+1]
	}
	x.out = x.site.AppendResponse(x.out[:0], pool, response, x.member, x.setCookie)
	if len(x.out) > 0 {
		for name, value := range l7.Lines(x.out) {
			header.Add(name, value)
		}
	}
	if header["Content-Type"] == nil {
		header["Content-Type"] = nil // keeps net/http from guessing
	}
	x.countResponse(status)
	x.begin(status)
}

func (x *exchange) countResponse(status int) {
	x.meter.Requests.Add(1)
	x.meter.Responses[meter.Class(status)].Add(1)
}

// addTrailers passes on the trailers of a response.
func (x *exchange) addTrailers(trailers l7.Fields) {
	header := x.w.Header()
	for i := range trailers.Len() {
		if _, name, value := trailers.Field(i); h1.IsTrailer(name) {
			header.Add(http.TrailerPrefix+http.CanonicalHeaderKey(name), value)
		}
	}
}

// canceler ends the waits for a member that obey a context.
type canceler context.CancelFunc

func (c canceler) abort() { c() }

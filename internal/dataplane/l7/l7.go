// Package l7 decides about requests: which pool gets one, or which answer poise gives itself, which headers are added to it
// and which cookie ties its client to a member. It knows no connections; event loops and goroutines ask it alike.
//
// A [Site] is a listener with all that its requests need, compiled from one configuration. For each request a driver asks
// it for a [Decision], has a member picked by the decision's [Pool], and writes what both append: lines of a header as
// HTTP/1.1 has them. A driver whose messages look otherwise reads them with [Lines].
package l7

import (
	"crypto/tls"
	"fmt"
	"iter"
	"net/netip"
	"strings"

	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
	"poise/internal/dataplane/balance"
	"poise/internal/dataplane/h1"
	"poise/internal/dataplane/meter"
	"poise/internal/dataplane/tlsconf"
)

// Site is one listener under one configuration, with all that a request needs of it. It is immutable but for the balancers,
// meters and logs that it points to, and safe for concurrent use. Each request takes the listener's newest.
type Site struct {
	Listener *dataplane.Listener
	Net      dataplane.Net
	Meter    *meter.Listener
	Log      *accesslog.Log
	TLS      *tls.Config // nil: plaintext
	Default  *Pool       // nil: none
	Options  h1.Options  // with which requests are read

	router  router
	inserts inserts
	pages   pages
	hsts    string // the line of Strict-Transport-Security; "": none
}

// Pool is a pool as one listener uses it.
type Pool struct {
	Config   *dataplane.Pool
	Balancer *balance.Balancer
	// Meters are those of the members, in the order of Config.Members: see [balance.Member.Index].
	Meters []*meter.Member
	// TLS makes the configuration for a connection to member under the name that the client has asked for ("": none); nil: plaintext.
	TLS func(serverName string, member netip.AddrPort) *tls.Config
	// OffersHTTP2 says that members may be spoken to in HTTP/2.
	OffersHTTP2 bool
}

// Parts are what a Site is made of.
type Parts struct {
	Listener *dataplane.Listener
	Net      dataplane.Net
	Meter    *meter.Listener
	Log      *accesslog.Log
	TLS      *tls.Config
	Pools    map[string]*Pool // by id: the default pool and those of policies; missing ones are disabled
}

// New makes a site. It fails when a rule's regular expression cannot be compiled, or a value cannot stand in a header; the
// error is fit for the user's eyes.
func New(p Parts) (*Site, error) {
	requests := p.Listener.HTTP
	if requests == nil {
		requests = &dataplane.Requests{}
	}
	s := &Site{
		Listener: p.Listener, Net: p.Net, Meter: p.Meter, Log: p.Log, TLS: p.TLS,
		Default: p.Pools[p.Listener.PoolID],
		Options: h1.Options{MaxTarget: requests.MaxTarget, StrictPaths: requests.StrictPaths},
		inserts: newInserts(requests.Insert, p.Listener.TLS != nil),
	}
	if value := requests.StrictTransportSecurity; value != "" {
		if !fieldValue(value) {
			return nil, fmt.Errorf("the value of Strict-Transport-Security has characters that no header can have")
		}
		s.hsts = "Strict-Transport-Security: " + value + "\r\n"
	}
	s.pages = newPages(s.hsts)
	var err error
	s.router, err = newRouter(requests.Policies, s.Default, p.Pools)
	return s, err
}

// fieldValue says whether a value can stand in a header: it has no control characters.
func fieldValue(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) < 0
}

// Client is what is known of a connection's client.
type Client struct {
	Address netip.AddrPort
	Local   netip.AddrPort // what the client connected to
	TLS     *tlsconf.Peer  // nil: plaintext
	Passed  int            // how many load balancers of the process it has passed, this one included
}

// Request is what is decided about.
type Request struct {
	Method string
	Host   string // with a port where the client gave one
	Path   string // with the query
	Fields Fields
}

// Fields are the header of a message. [h1.Head] is one; [Pairs] is another.
type Fields interface {
	Len() int
	Field(i int) (k h1.Known, name, value string)
}

// Pairs are fields that somebody else than h1 has read.
type Pairs []Pair

// Pair is one field.
type Pair struct {
	Known       h1.Known // what [h1.Lookup] says of its name
	Name, Value string
}

// PairsOf are the fields of a header as net/http has it.
func PairsOf(header map[string][]string) Pairs {
	pairs := make(Pairs, 0, len(header))
	for name, values := range header {
		known := h1.Lookup(name)
		for _, value := range values {
			pairs = append(pairs, Pair{known, name, value})
		}
	}
	return pairs
}

// Len is the number of fields.
func (p Pairs) Len() int { return len(p) }

// Field is one field.
func (p Pairs) Field(i int) (k h1.Known, name, value string) {
	return p[i].Known, p[i].Name, p[i].Value
}

// Lines are the names and values of what this package appends, for drivers that do not write HTTP/1.1.
func Lines(appended []byte) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for line := range strings.SplitSeq(string(appended), "\r\n") {
			if name, value, ok := strings.Cut(line, ": "); ok && !yield(name, value) {
				return
			}
		}
	}
}

package control

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"poise/internal/dataplane"
	"poise/internal/lb"
)

// up is the common part of an object that is enabled.
func up(id string) lb.Object { return lb.Object{ID: id, AdminStateUp: true} }

func down(id string) lb.Object { return lb.Object{ID: id} }

func gone(id string) lb.Object { return lb.Object{ID: id, AdminStateUp: true, Deleted: true} }

func balancer(listeners []*lb.Listener, pools ...*lb.Pool) *lb.LoadBalancer {
	return &lb.LoadBalancer{Object: up("lb"), Generation: 7, Listeners: listeners, Pools: pools}
}

// fullRing has whatever the tests refer to.
var fullRing = &keyring{
	certificates: map[string]heldCertificate{
		"c1": {Certificate: dataplane.Certificate{Key: []byte("k1")}}, "c2": {Certificate: dataplane.Certificate{Key: []byte("k2")}},
	},
	lists: map[listKey][][]byte{{"ca", ""}: {[]byte("ca")}, {"crl", "ca"}: {[]byte("crl")}},
}

func TestCompileListener(t *testing.T) {
	age, yes, no := 300, "TRUE", "false"
	shared := lb.Handshake{Ciphers: "X:Y", Versions: []string{"TLSv1.3"}, ALPNProtocols: []string{"h2"}}
	asHandshake := dataplane.Handshake{Ciphers: "X:Y", Versions: []string{"TLSv1.3"}, ALPN: []string{"h2"}}
	for name, test := range map[string]struct {
		in   lb.Listener
		want *dataplane.Listener // nil: left out
	}{
		"TCP":   {lb.Listener{Protocol: lb.TCP}, &dataplane.Listener{Protocol: dataplane.TCP}},
		"HTTPS": {lb.Listener{Protocol: lb.HTTPS}, &dataplane.Listener{Protocol: dataplane.TCP}},
		"UDP":   {lb.Listener{Protocol: lb.UDP}, &dataplane.Listener{Protocol: dataplane.UDP}},
		"SCTP":  {lb.Listener{Protocol: lb.SCTP}, nil},
		"plain metrics": {
			lb.Listener{Protocol: lb.Prometheus, Handshake: shared}, &dataplane.Listener{Protocol: dataplane.Prometheus},
		},
		"metrics with TLS": {
			lb.Listener{Protocol: lb.Prometheus, DefaultTLSContainerRef: "c1", ClientAuthentication: "NONE"},
			&dataplane.Listener{Protocol: dataplane.Prometheus, TLS: &dataplane.ServerTLS{
				Certificates: []dataplane.Certificate{{Key: []byte("k1")}}, ClientAuth: dataplane.NoClientAuth,
			}},
		},
		"inserted headers": {
			lb.Listener{Protocol: lb.HTTP, InsertHeaders: map[string]*string{
				"X-Forwarded-Proto": &yes, "X-Forwarded-For": &yes, "X-Forwarded-Port": &no, "X-Real-IP": nil,
			}},
			&dataplane.Listener{Protocol: dataplane.HTTP, HTTP: &dataplane.Requests{
				Insert: []dataplane.Insertion{dataplane.XForwardedFor, dataplane.XForwardedProto},
			}},
		},
		"everything of TLS": {
			lb.Listener{
				Protocol: lb.TerminatedHTTPS, DefaultTLSContainerRef: "c1", SNIContainerRefs: []string{"c2"}, Handshake: shared,
				ClientCATLSContainerRef: "ca", ClientCRLContainerRef: "crl", ClientAuthentication: "OPTIONAL",
				HSTSMaxAgeSec: &age, HSTSIncludeSubdomains: true, HSTSPreload: true,
			},
			&dataplane.Listener{
				Protocol: dataplane.HTTP,
				HTTP:     &dataplane.Requests{StrictTransportSecurity: "max-age=300; includeSubDomains; preload;"},
				TLS: &dataplane.ServerTLS{
					Handshake: asHandshake, Certificates: []dataplane.Certificate{{Key: []byte("k1")}, {Key: []byte("k2")}},
					ClientAuth: dataplane.OptionalClientAuth, ClientCAs: [][]byte{[]byte("ca")}, Revocations: [][]byte{[]byte("crl")},
				},
			},
		},
		"names alone": {
			lb.Listener{Protocol: lb.TerminatedHTTPS, SNIContainerRefs: []string{"c2", "c1"}, HSTSMaxAgeSec: new(int)},
			&dataplane.Listener{
				Protocol: dataplane.HTTP, HTTP: &dataplane.Requests{StrictTransportSecurity: "max-age=0;"},
				TLS: &dataplane.ServerTLS{Certificates: []dataplane.Certificate{{Key: []byte("k2")}, {Key: []byte("k1")}}},
			},
		},
		"a missing certificate": {lb.Listener{Protocol: lb.TerminatedHTTPS, SNIContainerRefs: []string{"c1", "x"}}, nil},
		"no certificate":        {lb.Listener{Protocol: lb.TerminatedHTTPS}, nil},
		"a missing authority": {
			lb.Listener{Protocol: lb.TerminatedHTTPS, DefaultTLSContainerRef: "c1", ClientCATLSContainerRef: "x"}, nil,
		},
		"revocations of another authority": {
			lb.Listener{Protocol: lb.TerminatedHTTPS, DefaultTLSContainerRef: "c1", ClientCRLContainerRef: "crl"}, nil,
		},
		"timeouts and limits": {
			lb.Listener{
				Protocol: lb.TCP, ConnectionLimit: 5, TimeoutClientDataMs: 1, TimeoutMemberConnectMs: 2, TimeoutMemberDataMs: 3,
				AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Object: lb.Object{Tags: []string{"x", "access-log"}},
			},
			&dataplane.Listener{
				Protocol: dataplane.TCP, ConnectionLimit: 5, AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
				ClientTimeout: time.Millisecond, ConnectTimeout: 2 * time.Millisecond, MemberTimeout: 3 * time.Millisecond, AccessLog: true,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.in.ID, test.in.AdminStateUp, test.in.ProtocolPort = "l", true, 80
			var want []dataplane.Listener
			if test.want != nil {
				test.want.ID, test.want.Port = "l", 80
				if test.want.ClientTimeout == 0 {
					test.want.ClientTimeout, test.want.MemberTimeout, test.want.ConnectTimeout = 50*time.Second, 50*time.Second, 5*time.Second
				}
				if test.want.Protocol == dataplane.HTTP && test.want.HTTP == nil {
					test.want.HTTP = &dataplane.Requests{}
				}
				want = append(want, *test.want)
			}
			got := compile(balancer([]*lb.Listener{&test.in}), fullRing, nil)
			if diff := cmp.Diff(want, got.Listeners, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCompilePolicies(t *testing.T) {
	rule := &lb.L7Rule{Object: up("r"), Type: "PATH", CompareType: "STARTS_WITH", Value: "/a", Invert: true}
	asked := []dataplane.Rule{{Type: "PATH", Compare: "STARTS_WITH", Value: "/a", Invert: true}}
	policy := func(o lb.Object, action, target string, code int, rules ...*lb.L7Rule) *lb.L7Policy {
		p := &lb.L7Policy{Object: o, Action: action, RedirectHTTPCode: code, Rules: rules}
		switch action {
		case lb.RedirectToPool:
			p.RedirectPoolID = target
		case lb.RedirectToURL:
			p.RedirectURL = target
		case lb.RedirectPrefix:
			p.RedirectPrefix = target
		}
		return p
	}
	l := &lb.Listener{Object: up("l"), Protocol: lb.HTTP, ProtocolPort: 80, DefaultPoolID: "off", Policies: []*lb.L7Policy{
		policy(up("url"), lb.RedirectToURL, "http://x/", 301, rule),
		policy(up("prefix"), lb.RedirectPrefix, "https://x", 0, rule),
		policy(up("reject"), lb.Reject, "", 0, &lb.L7Rule{Object: down("off")}, &lb.L7Rule{Object: gone("old")}, rule),
		policy(up("pool"), lb.RedirectToPool, "on", 0, rule),
		policy(up("no rule"), lb.Reject, "", 0, &lb.L7Rule{Object: down("off")}),
		policy(down("disabled"), lb.Reject, "", 0, rule),
		policy(gone("deleted"), lb.RedirectToPool, "deleted's", 0, rule),
		policy(up("to a disabled pool"), lb.RedirectToPool, "off", 0, rule),
	}}
	got := compile(balancer([]*lb.Listener{l}, &lb.Pool{Object: up("on"), Protocol: lb.HTTP}, &lb.Pool{Object: down("off")},
		&lb.Pool{Object: up("deleted's")}, &lb.Pool{Object: up("unused")}), &keyring{}, nil)
	want := []dataplane.Policy{
		{ID: "url", Action: dataplane.RedirectToURL, Location: "http://x/", Code: 301, Rules: asked},
		{ID: "prefix", Action: dataplane.RedirectPrefix, Location: "https://x", Code: 302, Rules: asked},
		{ID: "reject", Action: dataplane.Reject, Rules: asked},
		{ID: "pool", Action: dataplane.RedirectToPool, PoolID: "on", Rules: asked},
	}
	if diff := cmp.Diff(want, got.Listeners[0].HTTP.Policies); diff != "" {
		t.Error(diff)
	}
	if got.Listeners[0].PoolID != "" {
		t.Error("the disabled default pool is served")
	}
	if diff := cmp.Diff([]dataplane.Pool{{ID: "on", HTTP: true}}, got.Pools, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func TestCompilePool(t *testing.T) {
	seconds := 60
	member := netip.MustParseAddrPort("10.0.0.5:80")
	for name, test := range map[string]struct {
		in   lb.Pool
		want dataplane.Pool
	}{
		"HTTP":            {lb.Pool{Protocol: lb.HTTP}, dataplane.Pool{HTTP: true}},
		"HTTPS":           {lb.Pool{Protocol: lb.HTTPS}, dataplane.Pool{}},
		"PROXY":           {lb.Pool{Protocol: lb.Proxy}, dataplane.Pool{Proxy: dataplane.ProxyV1}},
		"PROXYV2":         {lb.Pool{Protocol: lb.ProxyV2}, dataplane.Pool{Proxy: dataplane.ProxyV2}},
		"TLS, unverified": {lb.Pool{TLSEnabled: true}, dataplane.Pool{TLS: &dataplane.ClientTLS{}}},
		"TLS": {
			lb.Pool{TLSEnabled: true, TLSContainerRef: "c1", CATLSContainerRef: "ca", CRLContainerRef: "crl"},
			dataplane.Pool{TLS: &dataplane.ClientTLS{
				Certificate: &dataplane.Certificate{Key: []byte("k1")}, CAs: [][]byte{[]byte("ca")}, Revocations: [][]byte{[]byte("crl")},
			}},
		},
		"TLS that is off": {lb.Pool{TLSContainerRef: "x"}, dataplane.Pool{}},
		"a missing authority": { // nothing is sent to members that cannot be verified
			lb.Pool{TLSEnabled: true, CATLSContainerRef: "x", Members: []*lb.Member{{Object: up("m"), Address: member.Addr(), ProtocolPort: 80}}},
			dataplane.Pool{},
		},
		"APP_COOKIE": {
			lb.Pool{Protocol: lb.HTTP, Persistence: &lb.SessionPersistence{Type: "APP_COOKIE", CookieName: "sid"}},
			dataplane.Pool{HTTP: true, Persistence: &dataplane.Persistence{Type: dataplane.ByAppCookie, Cookie: "sid"}},
		},
		"persistence of datagrams": {
			lb.Pool{Protocol: lb.UDP, Persistence: &lb.SessionPersistence{
				Type: "SOURCE_IP", TimeoutSec: &seconds, Granularity: netip.MustParseAddr("255.255.240.0"),
			}},
			dataplane.Pool{Persistence: &dataplane.Persistence{Type: dataplane.BySourceIP, Timeout: time.Minute, MaskBits: 20}},
		},
		"persistence of datagrams by default": {
			lb.Pool{Protocol: lb.UDP, Persistence: &lb.SessionPersistence{Type: "SOURCE_IP", Granularity: netip.MustParseAddr("255.255.255.255")}},
			dataplane.Pool{Persistence: &dataplane.Persistence{Type: dataplane.BySourceIP, Timeout: 6 * time.Minute}},
		},
		"HTTP monitor": {
			lb.Pool{Monitor: &lb.HealthMonitor{
				Object: up("h"), Type: lb.MonitorHTTP, DelaySec: 5, MaxRetries: 2, MaxRetriesDown: 3, HTTPMethod: "HEAD",
				URLPath: "/up", ExpectedCodes: "200 , 204-206", HTTPVersion: "1.1", DomainName: "x.test",
			}},
			dataplane.Pool{Monitor: &dataplane.Monitor{
				ID: "h", Type: dataplane.MonitorHTTP, Delay: 5 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3, Method: "HEAD",
				Path: "/up", Codes: "200,204-206", HTTPVersion: "1.1", Host: "x.test",
			}},
		},
		"disabled monitor": {lb.Pool{Monitor: &lb.HealthMonitor{Object: down("h"), Type: lb.MonitorPing}}, dataplane.Pool{}},
		"members": {
			lb.Pool{Members: []*lb.Member{
				{Object: gone("x")},
				{Object: down("a"), Address: member.Addr(), ProtocolPort: 80, Weight: 2, Backup: true, MonitorPort: 81},
				{Object: up("b"), Address: member.Addr(), ProtocolPort: 80, MonitorAddress: netip.MustParseAddr("10.0.0.6")},
			}},
			dataplane.Pool{Members: []dataplane.Member{
				{ID: "a", Address: member, Weight: 2, Backup: true, Disabled: true, Probe: netip.MustParseAddrPort("10.0.0.5:81")},
				{ID: "b", Address: member, Probe: netip.MustParseAddrPort("10.0.0.6:80")},
			}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.in.ID, test.in.AdminStateUp, test.want.ID = "p", true, "p"
			l := &lb.Listener{Object: up("l"), Protocol: lb.TCP, DefaultPoolID: "p"}
			got := compile(balancer([]*lb.Listener{l}, &test.in), fullRing, nil)
			if diff := cmp.Diff([]dataplane.Pool{test.want}, got.Pools, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMaskBits(t *testing.T) {
	for mask, want := range map[string]int{
		"255.255.255.255": 0, "255.255.255.0": 24, "0.0.0.0": 1, "255.0.255.0": 8, "ffff:ffff::": 32, "::": 1,
	} {
		if got := maskBits(netip.MustParseAddr(mask)); got != want {
			t.Errorf("%s: %d, want %d", mask, got, want)
		}
	}
	if got := maskBits(netip.Addr{}); got != 0 {
		t.Errorf("no mask: %d", got)
	}
}

// TestCompileAnything compiles trees that no rule would let through. It must not panic, and what it makes is consistent: the
// pools that listeners and policies name are there.
func TestCompileAnything(t *testing.T) {
	object := rapid.Custom(func(t *rapid.T) lb.Object {
		return lb.Object{ID: rapid.StringMatching(`[a-d]`).Draw(t, "id"), AdminStateUp: rapid.Bool().Draw(t, "up"), Deleted: rapid.Bool().Draw(t, "deleted")}
	})
	reference := rapid.SampledFrom([]string{"", "c1", "c2", "ca", "crl", "x"})
	rapid.Check(t, func(t *rapid.T) {
		tree := &lb.LoadBalancer{Object: object.Draw(t, "lb")}
		tree.Listeners = rapid.SliceOf(rapid.Custom(func(t *rapid.T) *lb.Listener {
			l := rapid.Ptr(rapid.Make[lb.Listener](), false).Draw(t, "listener")
			l.Object, l.Protocol = object.Draw(t, "object"), lb.Protocol(rapid.SampledFrom(append(lb.ListenerProtocols, "")).Draw(t, "protocol"))
			l.DefaultPoolID = rapid.StringMatching(`[a-d]?`).Draw(t, "pool")
			l.DefaultTLSContainerRef, l.ClientCATLSContainerRef, l.ClientCRLContainerRef = reference.Draw(t, "c"), reference.Draw(t, "ca"), reference.Draw(t, "crl")
			for _, p := range l.Policies {
				if p != nil {
					p.Object, p.RedirectPoolID = object.Draw(t, "policy"), rapid.StringMatching(`[a-d]?`).Draw(t, "redirect pool")
				}
			}
			l.Policies = withoutNil(l.Policies)
			for _, p := range l.Policies {
				p.Rules = withoutNil(p.Rules)
			}
			return l
		})).Draw(t, "listeners")
		tree.Pools = rapid.SliceOf(rapid.Custom(func(t *rapid.T) *lb.Pool {
			p := rapid.Ptr(rapid.Make[lb.Pool](), false).Draw(t, "pool")
			p.Object, p.Members = object.Draw(t, "object"), withoutNil(p.Members)
			p.TLSContainerRef, p.CATLSContainerRef = reference.Draw(t, "c"), reference.Draw(t, "ca")
			return p
		})).Draw(t, "pools")
		config := compile(tree, fullRing, uncarried(tree, &keyring{}))
		pools := map[string]bool{"": true}
		for _, p := range config.Pools {
			pools[p.ID] = true
		}
		for _, l := range config.Listeners {
			if !pools[l.PoolID] {
				t.Errorf("listener %s: pool %s is not there", l.ID, l.PoolID)
			}
			if l.HTTP == nil {
				continue
			}
			for _, p := range l.HTTP.Policies {
				if !pools[p.PoolID] || len(p.Rules) == 0 {
					t.Errorf("policy %s: pool %s, %d rules", p.ID, p.PoolID, len(p.Rules))
				}
			}
		}
	})
}

func withoutNil[T any](all []*T) []*T {
	var kept []*T
	for _, o := range all {
		if o != nil {
			kept = append(kept, o)
		}
	}
	return kept
}

func TestLimitsOfRequestsAreTheOperators(t *testing.T) {
	c := Control{RequestLimits: dataplane.Limits{MaxTarget: 16 << 10, StrictPaths: true, MinBodyRate: 7}}
	l := &lb.Listener{Object: up("l"), Protocol: lb.HTTP, ProtocolPort: 80}
	tcp := &lb.Listener{Object: up("t"), Protocol: lb.TCP, ProtocolPort: 81}
	got := c.config(balancer([]*lb.Listener{l, tcp}), &keyring{})
	if diff := cmp.Diff(c.RequestLimits, got.Listeners[0].HTTP.Limits); diff != "" || got.Listeners[1].HTTP != nil {
		t.Error(diff, got.Listeners[1].HTTP)
	}
}

package lb_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"poise/internal/lb"
)

// villa makes a load balancer with a listener of each protocol but SCTP, named by it in lower case, and a pool of each
// protocol likewise, with "pool-" before it. Listeners have no default pools; ports begin at 1001.
func villa(t testing.TB) *lb.LoadBalancer {
	t.Helper()
	tree := house(t)
	for i, protocol := range lb.ListenerProtocols {
		if protocol == "SCTP" {
			continue
		}
		attrs := lb.ListenerAttrs{}
		if protocol == "TERMINATED_HTTPS" {
			attrs.DefaultTLSContainerRef = lb.Some("cert")
		}
		tree = change(t, tree, listener(strings.ToLower(protocol), protocol, 1001+i, attrs))
	}
	for _, protocol := range lb.PoolProtocols {
		if protocol == "SCTP" {
			continue
		}
		tree = change(t, tree, func(t *lb.LoadBalancer) error {
			_, err := t.CreatePool(lb.PoolCreate{
				ID: "pool-" + strings.ToLower(protocol), Protocol: protocol, PoolAttrs: lb.PoolAttrs{Algorithm: lb.Some(lb.Algorithm("ROUND_ROBIN"))},
			})
			return err
		})
	}
	return tree
}

func listener(id, protocol string, port int, attrs lb.ListenerAttrs) step {
	return func(t *lb.LoadBalancer) error {
		_, err := t.CreateListener(lb.ListenerCreate{ID: id, Protocol: protocol, ProtocolPort: port, ListenerAttrs: attrs})
		return err
	}
}

func pool(protocol string, attrs lb.PoolAttrs) step {
	return func(t *lb.LoadBalancer) error {
		if !attrs.Algorithm.Set {
			attrs.Algorithm = lb.Some(lb.Algorithm("ROUND_ROBIN"))
		}
		_, err := t.CreatePool(lb.PoolCreate{ID: "x", Protocol: protocol, PoolAttrs: attrs})
		return err
	}
}

func monitor(pool, kind string, attrs lb.HealthMonitorAttrs) step {
	return func(t *lb.LoadBalancer) error {
		if !attrs.DelaySec.Set {
			attrs.DelaySec = lb.Some(5)
		}
		_, err := t.CreateHealthMonitor(pool, lb.HealthMonitorCreate{ID: "x", Type: kind, HealthMonitorAttrs: attrs})
		return err
	}
}

// refusal is a change and what is said to it; "" when it is allowed.
type refusal struct {
	change  step
	code    lb.Code
	message string
}

func refuse(t *testing.T, start *lb.LoadBalancer, tests map[string]refusal) {
	t.Helper()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := test.change(start.Next(at(start.Generation + 1)))
			switch {
			case test.message == "" && err != nil:
				t.Error(err)
			case test.message != "" && (lb.CodeOf(err) != test.code || err.Error() != test.message):
				t.Errorf("%v (code %d), want %s (code %d)", err, lb.CodeOf(err), test.message, test.code)
			}
		})
	}
}

// TestPairing asks each listener protocol for each pool protocol (octavia-rules.md §1).
func TestPairing(t *testing.T) {
	tree := villa(t)
	pairs := map[string]string{
		"TCP": "HTTP HTTPS PROXY PROXYV2 TCP", "HTTP": "HTTP PROXY PROXYV2", "HTTPS": "HTTPS PROXY PROXYV2 TCP",
		"TERMINATED_HTTPS": "HTTP PROXY PROXYV2", "UDP": "UDP", "PROMETHEUS": "",
	}
	for l, pools := range pairs {
		for _, p := range lb.PoolProtocols {
			if p == "SCTP" {
				continue
			}
			err := updateListener(strings.ToLower(l), lb.ListenerAttrs{DefaultPoolID: lb.Some("pool-" + strings.ToLower(p))})(tree.Next(noon))
			want := fmt.Sprintf("Validation failure: The pool protocol '%s' is invalid while the listener protocol is '%s'.", p, l)
			if l == "PROMETHEUS" {
				want = "Protocol PROMETHEUS listeners cannot have child objects."
			}
			allowed := slices.Contains(strings.Fields(pools), p)
			if allowed && err != nil || !allowed && (lb.CodeOf(err) != lb.Invalid || err.Error() != want) {
				t.Errorf("%s listener with %s pool: %v", l, p, err)
			}
		}
	}
}

func TestListenerRules(t *testing.T) {
	const https = "TERMINATED_HTTPS"
	header := func(names ...string) lb.ListenerAttrs {
		yes := "true"
		all := map[string]*string{}
		for _, name := range names {
			all[name] = &yes
		}
		return lb.ListenerAttrs{InsertHeaders: lb.Some(all)}
	}
	with := func(set func(*lb.ListenerAttrs)) lb.ListenerAttrs {
		attrs := lb.ListenerAttrs{DefaultTLSContainerRef: lb.Some("cert")}
		set(&attrs)
		return attrs
	}
	versions := func(names ...string) lb.ListenerAttrs {
		return with(func(a *lb.ListenerAttrs) { a.Versions = lb.Some(append([]string{}, names...)) })
	}
	const incompleteHSTS = "Validation failure: HSTS configuration options hsts_include_subdomains and hsts_preload only make sense if hsts_max_age is set as well."
	refuse(t, villa(t), map[string]refusal{
		"UDP beside TCP on one port":   {listener("x", "UDP", 80, lb.ListenerAttrs{}), 0, ""},
		"HTTP beside TCP on one port":  {listener("x", "HTTP", 80, lb.ListenerAttrs{}), lb.Conflict, "Another Listener on this Load Balancer is already using protocol TCP and protocol_port 80"},
		"UDP beside UDP on one port":   {listener("x", "UDP", 1005, lb.ListenerAttrs{}), lb.Conflict, "Another Listener on this Load Balancer is already using protocol UDP and protocol_port 1005"},
		"headers on HTTP":              {listener("x", "HTTP", 90, header("X-Forwarded-For", "X-Real-IP")), 0, ""},
		"headers on TCP":               {listener("x", "TCP", 90, header("X-Forwarded-For")), lb.Invalid, "insert-headers is not a valid option for a TCP protocol listener."},
		"unknown header":               {listener("x", "HTTP", 90, header("X-Nosuch")), lb.Invalid, "dict_keys(['X-Nosuch']) is not a valid option for insert_headers"},
		"header in another case":       {listener("x", "HTTP", 90, header("x-forwarded-for")), lb.Invalid, "dict_keys(['x-forwarded-for']) is not a valid option for insert_headers"},
		"client header on HTTP":        {listener("x", "HTTP", 90, header("X-SSL-Client-CN")), lb.Invalid, "['X-SSL-Client-CN'] is not a valid option for HTTP protocol listener."},
		"headers put on UDP":           {updateListener("udp", header("X-Forwarded-For")), lb.Invalid, "Validation failure: UDP protocol listener does not support TLS or header insertion."},
		"certificate on UDP":           {listener("x", "UDP", 90, with(func(*lb.ListenerAttrs) {})), lb.Invalid, "Validation failure: UDP protocol listener does not support TLS."},
		"certificate on HTTP":          {listener("x", "HTTP", 90, with(func(*lb.ListenerAttrs) {})), lb.Invalid, "Validation failure: Certificate container references are not allowed on HTTP protocol listeners."},
		"certificate put on TCP":       {updateListener("tcp", with(func(*lb.ListenerAttrs) {})), lb.Invalid, "Validation failure: Certificate container references are not allowed on TCP protocol listeners."},
		"certificate on PROMETHEUS":    {listener("x", "PROMETHEUS", 90, with(func(*lb.ListenerAttrs) {})), 0, ""},
		"HTTPS without certificate":    {listener("x", https, 90, lb.ListenerAttrs{}), lb.Invalid, "Validation failure: An SNI or default certificate container reference must be provided for TERMINATED_HTTPS protocol listeners."},
		"HTTPS with SNI alone":         {listener("x", https, 90, lb.ListenerAttrs{SNIContainerRefs: lb.Some([]string{"a"})}), 0, ""},
		"last certificate taken away":  {updateListener("terminated_https", lb.ListenerAttrs{DefaultTLSContainerRef: lb.Null[string]()}), 0, ""},
		"CA without certificate":       {listener("x", https, 90, lb.ListenerAttrs{ClientCATLSContainerRef: lb.Some("ca")}), lb.Invalid, "Validation failure: An SNI or default certificate container reference must be provided with a client CA container reference."},
		"client authentication, no CA": {listener("x", https, 90, with(func(a *lb.ListenerAttrs) { a.ClientAuthentication = lb.Some("OPTIONAL") })), lb.Invalid, "Validation failure: Client authentication setting OPTIONAL requires a client CA container reference."},
		"CRL without CA":               {listener("x", https, 90, with(func(a *lb.ListenerAttrs) { a.ClientCRLContainerRef = lb.Some("crl") })), lb.Invalid, "Validation failure: A client authentication CA reference is required to specify a client authentication revocation list."},
		"CRL put without CA":           {updateListener("terminated_https", lb.ListenerAttrs{ClientCRLContainerRef: lb.Some("crl")}), lb.Invalid, "Validation failure: A client authentication CA reference is required to specify a client authentication revocation list."},
		"odd ciphers":                  {listener("x", https, 90, with(func(a *lb.ListenerAttrs) { a.Ciphers = lb.Some("a b") })), lb.Invalid, "Validation failure: Invalid characters in cipher string. A cipher string may have letters, digits and -+!:@=_."},
		"no versions":                  {listener("x", https, 90, versions()), lb.Invalid, "Validation failure: Empty TLS version list. Either specify at least one TLS version or remove this parameter to use the default."},
		"unknown version":              {listener("x", https, 90, versions("TLSv1.2", "TLSv9")), lb.Invalid, "Validation failure: Invalid TLS versions: TLSv9"},
		"SSLv3":                        {listener("x", https, 90, versions("SSLv3")), lb.Unsupported, "Provider 'poise' does not support a requested option: SSLv3 is broken and not offered."},
		"versions with a gap":          {listener("x", https, 90, versions("TLSv1.1", "TLSv1.3")), 0, ""},
		"no versions of TCP":           {listener("x", "TCP", 90, lb.ListenerAttrs{HandshakeAttrs: lb.HandshakeAttrs{Versions: lb.Some([]string{})}}), 0, ""},
		"no versions put on TCP":       {updateListener("tcp", lb.ListenerAttrs{HandshakeAttrs: lb.HandshakeAttrs{Versions: lb.Some([]string{})}}), lb.Invalid, "Validation failure: Empty TLS version list. Either specify at least one TLS version or remove this parameter to use the default."},
		"no application protocols":     {listener("x", https, 90, with(func(a *lb.ListenerAttrs) { a.ALPNProtocols = lb.Some([]string{}) })), lb.Invalid, "Validation failure: Empty ALPN protocol list. Either specify at least one ALPN protocol or remove this parameter to use the default."},
		"HSTS for subdomains, no age":  {listener("x", https, 90, with(func(a *lb.ListenerAttrs) { a.HSTSIncludeSubdomains = lb.Some(true) })), lb.Invalid, incompleteHSTS},
		"HSTS preloaded, no age":       {listener("x", https, 90, with(func(a *lb.ListenerAttrs) { a.HSTSPreload = lb.Some(true) })), lb.Invalid, incompleteHSTS},
		"HSTS put without age":         {updateListener("terminated_https", lb.ListenerAttrs{HSTSPreload: lb.Some(true)}), lb.Invalid, "Validation failure: Cannot enable hsts_include_subdomains or hsts_preload if hsts_max_age was not set as well."},
		"HSTS of age 0":                {listener("x", https, 90, with(func(a *lb.ListenerAttrs) { a.HSTSMaxAgeSec, a.HSTSPreload = lb.Some(0), lb.Some(true) })), 0, ""},
		"HSTS on HTTP":                 {listener("x", "HTTP", 90, lb.ListenerAttrs{HSTSMaxAgeSec: lb.Some(1)}), lb.Invalid, "Validation failure: The HSTS feature can only be used for listeners using the TERMINATED_HTTPS protocol."},
		"PROMETHEUS with a pool":       {listener("x", "PROMETHEUS", 90, lb.ListenerAttrs{DefaultPoolID: lb.Some("pool-http")}), lb.Invalid, "Protocol PROMETHEUS listeners cannot have child objects."},
		"pool first, then headers":     {listener("x", "HTTP", 90, lb.ListenerAttrs{DefaultPoolID: lb.Some("nosuch"), InsertHeaders: header("X").InsertHeaders}), lb.NotFound, "Pool nosuch not found."},
		"UDP pool for an HTTP listener": {func(t *lb.LoadBalancer) error {
			_, err := t.CreatePool(lb.PoolCreate{Protocol: "UDP", ListenerID: "http"})
			return err
		}, lb.Invalid, "Validation failure: The pool protocol 'UDP' is invalid while the listener protocol is 'HTTP'."},
	})
}

func TestPoolRules(t *testing.T) {
	tls := func(set func(*lb.PoolAttrs)) lb.PoolAttrs {
		attrs := lb.PoolAttrs{TLSEnabled: lb.Some(true)}
		set(&attrs)
		return attrs
	}
	refuse(t, villa(t), map[string]refusal{
		"cookie on TCP":              {pool("TCP", persistence("HTTP_COOKIE")), 0, ""},
		"app cookie on HTTP":         {pool("HTTP", persistence("APP_COOKIE", "cookie_name")), 0, ""},
		"cookie on UDP":              {pool("UDP", persistence("HTTP_COOKIE")), lb.Invalid, "Validation failure: Session persistence of type HTTP_COOKIE is not supported for UDP/SCTP protocol pools."},
		"cookie name on UDP":         {pool("UDP", persistence("SOURCE_IP", "cookie_name")), lb.Invalid, "Validation failure: Cookie names are not supported for UDP/SCTP pools."},
		"timeout on UDP":             {pool("UDP", persistence("SOURCE_IP", "persistence_timeout")), 0, ""},
		"CRL without CA":             {pool("HTTP", lb.PoolAttrs{CRLContainerRef: lb.Some("crl")}), lb.Invalid, "Validation failure: A CA certificate reference is required to specify a revocation list."},
		"CRL put without CA":         {updatePool("pool-http", lb.PoolAttrs{CRLContainerRef: lb.Some("crl")}), lb.Invalid, "Validation failure: A CA reference is required to specify a certificate revocation list."},
		"odd ciphers":                {pool("HTTP", lb.PoolAttrs{HandshakeAttrs: lb.HandshakeAttrs{Ciphers: lb.Some("a b")}}), lb.Invalid, "Validation failure: Invalid characters in cipher string. A cipher string may have letters, digits and -+!:@=_."},
		"no versions":                {pool("HTTP", tls(func(p *lb.PoolAttrs) { p.Versions = lb.Some([]string{}) })), lb.Invalid, "Validation failure: Empty TLS version list. Either specify at least one TLS version or remove this parameter to use the default."},
		"no algorithm":               {pool("HTTP", lb.PoolAttrs{Algorithm: lb.Null[lb.Algorithm]()}), lb.Invalid, "None is not a valid option for lb_algorithm"},
		"SCTP monitor of UDP":        {monitor("pool-udp", "SCTP", lb.HealthMonitorAttrs{}), lb.Unsupported, "Provider 'poise' does not support a requested option: health monitors of type SCTP are not supported."},
		"PING monitor of UDP":        {monitor("pool-udp", "PING", lb.HealthMonitorAttrs{}), lb.Invalid, "Validation failure: The associated pool protocol is UDP, so only a UDP-CONNECT/SCTP/TCP/HTTP health monitor is supported."},
		"UDP monitor of UDP":         {monitor("pool-udp", "UDP-CONNECT", lb.HealthMonitorAttrs{DelaySec: lb.Some(3)}), 0, ""},
		"hasty UDP monitor":          {monitor("pool-udp", "UDP-CONNECT", lb.HealthMonitorAttrs{DelaySec: lb.Some(2)}), lb.Invalid, "Validation failure: The request delay value 2 should be larger than 3 for UDP-CONNECT health monitor type."},
		"PING monitor of TCP":        {monitor("pool-tcp", "PING", lb.HealthMonitorAttrs{URLPath: lb.Null[string]()}), 0, ""},
		"TLS monitor with a path":    {monitor("pool-tcp", "TLS-HELLO", lb.HealthMonitorAttrs{URLPath: lb.Some("/")}), lb.Invalid, "url_path is not a valid option for health monitors of type TLS-HELLO"},
		"TCP monitor with a method":  {monitor("pool-tcp", "TCP", lb.HealthMonitorAttrs{HTTPMethod: lb.Some("GET")}), lb.Invalid, "http_method is not a valid option for health monitors of type TCP"},
		"domain without version":     {monitor("pool-http", "HTTP", lb.HealthMonitorAttrs{DomainName: lb.Some("a.b")}), lb.Invalid, "Validation failure: 'http_version' must be specified when 'domain_name' is provided."},
		"domain with version 1.0":    {monitor("pool-http", "HTTP", lb.HealthMonitorAttrs{DomainName: lb.Some("a.b"), HTTPVersion: lb.Some("1.0")}), lb.Invalid, "http_version 1.0 is not a valid option for health monitors HTTP 1.1 domain name health check"},
		"domain with version 1.1":    {monitor("pool-http", "HTTP", lb.HealthMonitorAttrs{DomainName: lb.Some("a.b"), HTTPVersion: lb.Some("1.1")}), 0, ""},
		"a pool is in use by policy": {then(policy("http", "y1", lb.L7PolicyAttrs{RedirectPoolID: lb.Some("pool-http")}), deletePool("pool-http")), lb.Conflict, "Pool pool-http is in use by L7 policy y1"},
	})
	tree := change(t, villa(t), updatePool("pool-http", lb.PoolAttrs{CATLSContainerRef: lb.Some("ca"), CRLContainerRef: lb.Some("crl")}))
	err := updatePool("pool-http", lb.PoolAttrs{CATLSContainerRef: lb.Null[string]()})(tree.Next(noon))
	if err == nil || err.Error() != "Validation failure: A CA reference cannot be removed when a certificate revocation list is present." {
		t.Errorf("CA taken away: %v", err)
	}
}

// TestTLSDefaults follows what objects with TLS get when nobody says more.
func TestTLSDefaults(t *testing.T) {
	tree := villa(t)
	secure, err := tree.Listener("terminated_https")
	must(t, err)
	plain, err := tree.Listener("tcp")
	must(t, err)
	if !strings.HasPrefix(secure.Ciphers, "TLS_AES_128_GCM_SHA256:") || len(secure.Versions) != 2 || len(secure.ALPNProtocols) != 3 || plain.Ciphers != "" || plain.Versions != nil {
		t.Errorf("listeners %+v and %+v", secure.Handshake, plain.Handshake)
	}
	null := lb.HandshakeAttrs{Ciphers: lb.Null[string](), Versions: lb.Null[[]string](), ALPNProtocols: lb.Null[[]string]()}
	tree = change(t, tree, updateListener("tcp", lb.ListenerAttrs{HandshakeAttrs: null}), pool("HTTP", lb.PoolAttrs{TLSEnabled: lb.Some(true)}))
	if plain, err = tree.Listener("tcp"); err != nil || plain.Ciphers != secure.Ciphers || len(plain.ALPNProtocols) != 3 {
		t.Errorf("TCP listener after nulls: %+v", plain.Handshake)
	}
	if p, err := tree.Pool("x"); err != nil || p.Ciphers != secure.Ciphers || len(p.ALPNProtocols) != 3 {
		t.Errorf("pool with TLS: %+v", p.Handshake)
	}
	tree = change(t, tree, updatePool("x", lb.PoolAttrs{HandshakeAttrs: null}))
	if p, err := tree.Pool("x"); err != nil || len(p.Versions) != 2 || p.ALPNProtocols != nil {
		t.Errorf("pool with TLS after nulls: %+v", p.Handshake)
	}
}

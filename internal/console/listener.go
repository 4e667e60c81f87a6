package console

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

var listenerPages = []page{
	{method: "GET", pattern: "/load-balancers/{region}/{id}/listeners/new", handle: (*view).createListener},
	{method: "POST", pattern: "/load-balancers/{region}/{id}/listeners/new", handle: (*view).createListener},
	{method: "GET", pattern: "/load-balancers/{region}/{id}/listeners/{listener}/modify", handle: (*view).modifyListener},
	{method: "POST", pattern: "/load-balancers/{region}/{id}/listeners/{listener}/modify", handle: (*view).modifyListener},
}

var listenerProtocols = same("TCP", "UDP", "HTTP", "HTTPS", "TERMINATED_HTTPS", "SCTP", "PROMETHEUS")

// terminated is the protocol of listeners that need a certificate.
const terminated = "TERMINATED_HTTPS"

// udp is the protocol that carries QUIC.
const udp = "UDP"

// protocolHint says what a listener's protocol needs to be known for, "" for most.
func protocolHint(protocol string) string {
	if protocol != udp {
		return ""
	}
	return "For QUIC give the pool the session persistence SOURCE_IP: without it a client whose port changes, as behind NAT, " +
		"goes to another member."
}

// typeAddress is the line of a dropdown of certificates for one that is not among them.
const typeAddress = "type"

var (
	clientAuthentications = same("NONE", "OPTIONAL", "MANDATORY")
	tlsVersions           = same("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
	applicationProtocols  = same("h2", "http/1.1", "http/1.0")
	forwardHeaders        = same("X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto")
	clientHeaders         = same(
		"X-SSL-Client-Verify", "X-SSL-Client-Has-Cert", "X-SSL-Client-DN", "X-SSL-Client-CN", "X-SSL-Issuer", "X-SSL-Client-SHA1",
		"X-SSL-Client-Not-Before", "X-SSL-Client-Not-After",
	)
)

// headerOptions are the headers that a listener of a protocol can add to requests.
func headerOptions(protocol string) []option {
	if protocol == terminated {
		return slices.Concat(forwardHeaders, clientHeaders)
	}
	return forwardHeaders
}

// speaksHTTP tells whether the listener can have L7 policies.
func (l listener) speaksHTTP() bool { return l.Protocol == "HTTP" || l.Protocol == terminated }

// withNone puts the choice of nothing before the lines of a dropdown.
func withNone(label string, options []option) []option {
	return append([]option{{"", label}}, options...)
}

func (v *view) createListener() error {
	p, err := v.place()
	if err != nil {
		return err
	}
	f := v.form()
	f.preset(map[string]string{"protocol": "TCP"})
	if v.isPost() {
		in := body{}
		f.choice(in, "protocol")
		f.number(in, "protocol_port")
		f.choice(in, "default_pool_id")
		f.listener(in)
		f.security(in, listener{})
		if f.value("protocol_port") == "" {
			f.refuse("protocol_port", "The port on which the listener waits for connections is needed.")
		}
		o := order{kind: listenerKind, parent: p.ID, in: in}
		if v.isCopy() {
			return v.renderCopy(o)
		}
		ok, err := f.send(func() error { return p.carryOut(v.r.Context(), o, nil) })
		if err != nil {
			return err
		}
		if ok && f.value("another") == "" {
			return v.done("Listener "+f.value("name")+" is created.", p.balancer.region, p.ID)
		}
		if ok {
			v.settle(p.balancer.region, p.ID)
			f = v.another(f, "Listener "+f.value("name")+" is created.", "protocol")
		}
	}
	return v.renderListener("Create a Listener", p, nil, f)
}

func (v *view) modifyListener() error {
	p, err := v.place()
	if err != nil {
		return err
	}
	l, ok := p.listener(v.r.PathValue("listener"))
	if !ok {
		return &fault{status: http.StatusNotFound, message: "Listener " + v.r.PathValue("listener") + " not found."}
	}
	f := v.form()
	f.preset(map[string]string{
		"name": l.Name, "description": l.Description, "protocol": l.Protocol, "default_pool_id": l.DefaultPoolID,
		"connection_limit": strconv.Itoa(l.ConnectionLimit), "allowed_cidrs": strings.Join(l.AllowedCIDRs, "\n"),
		"timeout_client_data": strconv.Itoa(l.TimeoutClientData), "timeout_member_connect": strconv.Itoa(l.TimeoutMemberConnect),
		"timeout_member_data": strconv.Itoa(l.TimeoutMemberData), "timeout_tcp_inspect": strconv.Itoa(l.TimeoutTCPInspect),
		"default_tls_container_ref": l.TLSContainer, "client_authentication": l.ClientAuthentication,
		"client_ca_tls_container_ref": l.ClientCA, "client_crl_container_ref": l.ClientCRL, "hsts_max_age": filled(l.HSTSMaxAge),
		"hsts_include_subdomains": ticked(l.HSTSSubdomains), "hsts_preload": ticked(l.HSTSPreload),
	})
	f.presetAll(map[string][]string{
		"sni_container_refs": l.SNIContainers, "alpn_protocols": l.ALPN, "tls_versions": l.TLSVersions, "insert_headers": l.inserted(),
	})
	if v.isPost() {
		in := body{}
		f.orNull(in, "default_pool_id")
		f.listener(in)
		f.security(in, l)
		o := order{kind: listenerKind, id: l.ID, parent: p.ID, in: in, fixed: body{"protocol": l.Protocol, "protocol_port": l.Port}}
		if v.isCopy() {
			return v.renderCopy(o)
		}
		ok, err := f.send(func() error { return p.carryOut(v.r.Context(), o, nil) })
		if err != nil {
			return err
		}
		if ok {
			return v.done("Listener "+f.value("name")+" is modified.", p.balancer.region, p.ID)
		}
	}
	return v.renderListener("Modify Listener", p, &l, f)
}

// listener reads the attributes that a new listener has in common with a changed one.
func (f *form) listener(in body) {
	f.text(in, "name")
	f.text(in, "description")
	for _, name := range []string{"connection_limit", "timeout_client_data", "timeout_member_connect", "timeout_member_data", "timeout_tcp_inspect"} {
		f.number(in, name)
	}
	f.lines(in, "allowed_cidrs")
}

// security reads what a listener does with TLS and with the headers of requests. What stays as it is is left out: clouds
// that are older do not know all of it.
func (f *form) security(in body, now listener) {
	protocol := f.value("protocol")
	if protocol == "HTTP" || protocol == terminated {
		headers := map[string]string{}
		for _, name := range f.chosen("insert_headers") {
			headers[name] = "true"
		}
		if !maps.Equal(headers, now.switchedOn()) {
			in["insert_headers"] = headers
		}
	}
	if protocol != terminated {
		return
	}
	f.orNull(in, "default_tls_container_ref")
	if f.value("default_tls_container_ref") == typeAddress {
		f.orNull(in, "default_tls_container_typed")
		in["default_tls_container_ref"] = in["default_tls_container_typed"]
		delete(in, "default_tls_container_typed")
	}
	f.changedList(in, "sni_container_refs", now.SNIContainers)
	f.changedList(in, "alpn_protocols", now.ALPN)
	f.changedList(in, "tls_versions", now.TLSVersions)
	f.changedText(in, "client_authentication", cmp.Or(now.ClientAuthentication, "NONE"))
	f.changedText(in, "client_ca_tls_container_ref", now.ClientCA)
	f.changedText(in, "client_crl_container_ref", now.ClientCRL)
	if f.value("hsts_max_age") != filled(now.HSTSMaxAge) {
		in["hsts_max_age"] = nil
		f.number(in, "hsts_max_age")
	}
	for name, was := range map[string]bool{"hsts_include_subdomains": now.HSTSSubdomains, "hsts_preload": now.HSTSPreload} {
		if is := len(f.chosen(name)) > 0; is != was {
			in[name] = is
		}
	}
}

// changedText sets an attribute to what was typed when that is not what is there; nothing is null.
func (f *form) changedText(into body, name, now string) {
	if f.values.Has(name) && f.value(name) != now {
		f.orNull(into, name)
	}
}

// changedList sets an attribute to what was ticked when that is not what is there; nothing is null.
func (f *form) changedList(into body, name string, now []string) {
	chosen := f.chosen(name)
	if !f.values.Has(name) || slices.Equal(chosen, now) {
		return
	}
	into[name] = chosen
	if len(chosen) == 0 {
		into[name] = nil
	}
}

// filled is a number as a field shows it, which is empty for 0.
func filled(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// ticked is what a box says.
func ticked(is bool) string {
	if is {
		return "yes"
	}
	return ""
}

// switchedOn are the headers that the listener adds.
func (l listener) switchedOn() map[string]string {
	all := map[string]string{}
	for name, value := range l.InsertHeaders {
		if value == "true" {
			all[name] = value
		}
	}
	return all
}

func (l listener) inserted() []string { return slices.Sorted(maps.Keys(l.switchedOn())) }

// renderListener answers with the form of a listener, and the certificates to choose from where it needs one. A cloud
// without a key manager has none.
func (v *view) renderListener(title string, p place, l *listener, f *form) error {
	var all []certificate
	if f.value("protocol") == terminated {
		var err error
		if all, err = p.certificates(v.r.Context()); err != nil && statusOf(err) == 0 {
			return err
		}
	}
	return v.renderForm(f, v.listenerPane(title, p, l, all, f))
}

func poolOptions(all []pool) []option {
	options := make([]option, len(all))
	for i, p := range all {
		options[i] = option{p.ID, p.label()}
	}
	return options
}

func listenerOptions(all []listener) []option {
	options := make([]option, len(all))
	for i, l := range all {
		options[i] = option{l.ID, l.label() + " (" + l.Protocol + " " + strconv.Itoa(l.Port) + ")"}
	}
	return options
}

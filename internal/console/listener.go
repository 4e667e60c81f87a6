package console

import (
	"net/http"
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
		in := body{"loadbalancer_id": p.ID}
		f.choice(in, "protocol")
		f.number(in, "protocol_port")
		f.choice(in, "default_pool_id")
		f.listener(in)
		if f.value("protocol_port") == "" {
			f.refuse("protocol_port", "The port on which the listener waits for connections is needed.")
		}
		ok, err := f.send(func() error {
			return p.call(v.r.Context(), loadBalancing, http.MethodPost, "listeners", body{"listener": in}, nil)
		})
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
	return v.renderForm(f, v.listenerPane("Create a Listener", p, nil, f))
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
		"default_tls_container_ref": l.TLSContainer, "sni_container_refs": strings.Join(l.SNIContainers, "\n"),
	})
	if v.isPost() {
		in := body{}
		f.orNull(in, "default_pool_id")
		f.listener(in)
		ok, err := f.send(func() error {
			return p.call(v.r.Context(), loadBalancing, http.MethodPut, "listeners/"+l.ID, body{"listener": in}, nil)
		})
		if err != nil {
			return err
		}
		if ok {
			return v.done("Listener "+f.value("name")+" is modified.", p.balancer.region, p.ID)
		}
	}
	return v.renderForm(f, v.listenerPane("Modify Listener", p, &l, f))
}

// listener reads the attributes that a new listener has in common with a changed one.
func (f *form) listener(in body) {
	f.text(in, "name")
	f.text(in, "description")
	for _, name := range []string{"connection_limit", "timeout_client_data", "timeout_member_connect", "timeout_member_data", "timeout_tcp_inspect"} {
		f.number(in, name)
	}
	f.lines(in, "allowed_cidrs")
	if f.value("protocol") == terminated {
		f.orNull(in, "default_tls_container_ref")
		f.lines(in, "sni_container_refs")
	}
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

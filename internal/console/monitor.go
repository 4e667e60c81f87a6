package console

import (
	"net/http"
	"slices"
	"strconv"
)

var monitorPages = []page{
	{method: "GET", pattern: "/load-balancers/{region}/{id}/pools/{pool}/health-monitor/new", handle: (*view).createMonitor},
	{method: "POST", pattern: "/load-balancers/{region}/{id}/pools/{pool}/health-monitor/new", handle: (*view).createMonitor},
	{method: "GET", pattern: "/load-balancers/{region}/{id}/pools/{pool}/health-monitor/modify", handle: (*view).modifyMonitor},
	{method: "POST", pattern: "/load-balancers/{region}/{id}/pools/{pool}/health-monitor/modify", handle: (*view).modifyMonitor},
}

var (
	monitorTypes = same("TCP", "HTTP", "HTTPS", "PING", "TLS-HELLO", "UDP-CONNECT", "SCTP")
	httpMethods  = same("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT")
)

// asksHTTP tells whether checks of a type send an HTTP request.
func asksHTTP(kind string) bool { return slices.Contains([]string{"HTTP", "HTTPS"}, kind) }

func (v *view) createMonitor() error {
	p, of, err := v.placePool()
	if err != nil {
		return err
	}
	f := v.form()
	f.preset(map[string]string{"type": "TCP", "delay": "10", "timeout": "5", "max_retries": "1", "max_retries_down": "3"})
	if v.isPost() {
		in := body{}
		f.choice(in, "type")
		f.monitor(in)
		o := order{kind: monitorKind, parent: of.ID, in: in}
		if v.isCopy() {
			return v.renderCopy(o)
		}
		ok, err := f.send(func() error { return p.carryOut(v.r.Context(), o, nil) })
		if err != nil {
			return err
		}
		if ok {
			return v.done("Health monitor "+f.value("name")+" is created.", p.balancer.region, p.ID)
		}
	}
	return v.renderForm(f, v.monitorPane("Create a Healthmonitor", nil, f))
}

func (v *view) modifyMonitor() error {
	p, of, err := v.placePool()
	if err != nil {
		return err
	}
	if of.monitor == nil {
		return &fault{status: http.StatusNotFound, message: "The pool has no health monitor."}
	}
	m := *of.monitor
	f := v.form()
	f.preset(map[string]string{
		"name": m.Name, "type": m.Type, "delay": strconv.Itoa(m.Delay), "timeout": strconv.Itoa(m.Timeout),
		"max_retries": strconv.Itoa(m.MaxRetries), "max_retries_down": strconv.Itoa(m.MaxRetriesDown),
		"url_path": m.Path, "http_method": m.Method, "expected_codes": m.Codes,
	})
	if v.isPost() {
		in := body{}
		f.monitor(in)
		o := order{kind: monitorKind, id: m.ID, parent: of.ID, in: in, fixed: body{"type": m.Type}}
		if v.isCopy() {
			return v.renderCopy(o)
		}
		ok, err := f.send(func() error { return p.carryOut(v.r.Context(), o, nil) })
		if err != nil {
			return err
		}
		if ok {
			return v.done("Health monitor "+f.value("name")+" is modified.", p.balancer.region, p.ID)
		}
	}
	return v.renderForm(f, v.monitorPane("Modify Healthmonitor", &m, f))
}

// monitor reads the attributes that a new health monitor has in common with a changed one.
func (f *form) monitor(in body) {
	f.text(in, "name")
	for _, name := range []string{"delay", "timeout", "max_retries", "max_retries_down"} {
		f.number(in, name)
	}
	if asksHTTP(f.value("type")) {
		f.choice(in, "url_path")
		f.choice(in, "http_method")
		f.choice(in, "expected_codes")
	}
}

package console

import (
	"net/http"
)

var poolPages = []page{
	{method: "GET", pattern: "/load-balancers/{region}/{id}/pools/new", handle: (*view).createPool},
	{method: "POST", pattern: "/load-balancers/{region}/{id}/pools/new", handle: (*view).createPool},
	{method: "GET", pattern: "/load-balancers/{region}/{id}/pools/{pool}/modify", handle: (*view).modifyPool},
	{method: "POST", pattern: "/load-balancers/{region}/{id}/pools/{pool}/modify", handle: (*view).modifyPool},
}

var (
	algorithms    = same("ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP", "SOURCE_IP_PORT")
	poolProtocols = same("TCP", "UDP", "HTTP", "HTTPS", "PROXY", "PROXYV2", "SCTP")
	persistences  = append([]option{{"", "None"}}, same("SOURCE_IP", "HTTP_COOKIE", appCookie)...)
)

// appCookie is the session persistence that needs the name of a cookie.
const appCookie = "APP_COOKIE"

// persistenceHint says what session persistence is good for in pools of a protocol, "" where its name says it.
func persistenceHint(protocol string) string {
	if protocol != udp {
		return ""
	}
	return "For QUIC choose SOURCE_IP: a client then keeps its member when its port changes. Connection IDs are not read, " +
		"so a client whose address changes goes to another member."
}

func (v *view) createPool() error {
	p, err := v.place()
	if err != nil {
		return err
	}
	f := v.form()
	f.preset(map[string]string{"lb_algorithm": "ROUND_ROBIN", "protocol": "TCP"})
	if v.isPost() {
		in := body{}
		f.choice(in, "protocol")
		f.choice(in, "listener_id")
		if f.value("listener_id") == "" {
			in["loadbalancer_id"] = p.ID
		}
		f.pool(in)
		o := order{kind: poolKind, in: in}
		if v.isCopy() {
			return v.renderCopy(o)
		}
		ok, err := f.send(func() error { return p.carryOut(v.r.Context(), o, nil) })
		if err != nil {
			return err
		}
		if ok && f.value("another") == "" {
			return v.done("Pool "+f.value("name")+" is created.", p.balancer.region, p.ID)
		}
		if ok {
			v.settle(p.balancer.region, p.ID)
			f = v.another(f, "Pool "+f.value("name")+" is created.", "lb_algorithm", "protocol")
		}
	}
	return v.renderForm(f, v.poolPane("Create a Pool", p, nil, f))
}

// placePool is the pool that the address of a page names, with the load balancer.
func (v *view) placePool() (place, pool, error) {
	p, err := v.place()
	if err != nil {
		return place{}, pool{}, err
	}
	found, ok := p.pool(v.r.PathValue("pool"))
	if !ok {
		err = &fault{status: http.StatusNotFound, message: "Pool " + v.r.PathValue("pool") + " not found."}
	}
	return p, found, err
}

func (v *view) modifyPool() error {
	p, changed, err := v.placePool()
	if err != nil {
		return err
	}
	f := v.form()
	now := map[string]string{"name": changed.Name, "description": changed.Description, "lb_algorithm": changed.Algorithm, "protocol": changed.Protocol}
	if changed.Persistence != nil {
		now["session_persistence"], now["cookie_name"] = changed.Persistence.Type, changed.Persistence.CookieName
	}
	f.preset(now)
	if v.isPost() {
		in := body{}
		f.pool(in)
		o := order{kind: poolKind, id: changed.ID, in: in, fixed: body{"protocol": changed.Protocol, "loadbalancer_id": p.ID}}
		if v.isCopy() {
			return v.renderCopy(o)
		}
		ok, err := f.send(func() error { return p.carryOut(v.r.Context(), o, nil) })
		if err != nil {
			return err
		}
		if ok {
			return v.done("Pool "+f.value("name")+" is modified.", p.balancer.region, p.ID)
		}
	}
	return v.renderForm(f, v.poolPane("Modify Pool", p, &changed, f))
}

// pool reads the attributes that a new pool has in common with a changed one.
func (f *form) pool(in body) {
	f.text(in, "name")
	f.text(in, "description")
	f.choice(in, "lb_algorithm")
	kind := f.value("session_persistence")
	if kind == "" {
		in["session_persistence"] = nil
		return
	}
	stored := body{"type": kind}
	if kind == appCookie {
		f.choice(stored, "cookie_name")
	}
	in["session_persistence"] = stored
}

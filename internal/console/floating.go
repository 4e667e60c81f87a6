package console

import (
	"net/http"
	"net/url"
)

var floatingPages = []page{
	{method: "GET", pattern: "/floating-ips", handle: (*view).showFloatingIPs},
	{method: "GET", pattern: "/floating-ips/new", handle: (*view).createFloatingIP},
	{method: "POST", pattern: "/floating-ips/new", handle: (*view).createFloatingIP},
	{method: "GET", pattern: "/load-balancers/{region}/{id}/floating-ip", handle: (*view).createFloatingIP},
	{method: "POST", pattern: "/floating-ips/{region}/{ip}/release", handle: (*view).releaseFloatingIP},
	{method: "GET", pattern: "/floating-ips/{region}/{ip}/release", handle: (*view).releaseFloatingIP},
}

// The choices of what a floating IP is assigned to.
const (
	assignNothing  = "nothing"
	assignBalancer = "balancer"
)

var assignments = []option{{assignBalancer, "Load Balancer"}, {assignNothing, "Nothing"}}

// createFloatingIP makes a floating IP and assigns it; the address of the page may name the load balancer.
func (v *view) createFloatingIP() error {
	f := v.form()
	region := v.person.Region
	if named := v.r.PathValue("region"); named != "" {
		region = named
	}
	f.preset(map[string]string{"region": region, "assign": assignBalancer})
	c, err := v.open(f.value("region"))
	if err != nil {
		return err
	}
	_, balancers, err := v.balancers(c.region)
	if err != nil {
		return err
	}
	networks, err := c.networks(v.r.Context())
	if err != nil {
		return err
	}
	external := networkOptions(networks, func(n network) bool { return n.External })
	chosen := pick(balancers, v.r.PathValue("id"), f.value("port_id"))
	if id := v.r.PathValue("id"); id != "" && chosen == nil {
		return &fault{status: http.StatusNotFound, message: "Load Balancer " + id + " not found."}
	}
	if chosen != nil {
		f.values.Set("port_id", chosen.VIPPortID)
	}
	if v.isPost() {
		o := newFloatingIP(f, external)
		if v.isCopy() {
			return v.renderCopy(o)
		}
		made, err := v.makeFloatingIP(c, f, o)
		switch {
		case err != nil:
			return err
		case made != nil && made.PortID != "" && chosen != nil:
			return v.done("Floating IP "+made.Address+" leads to "+chosen.label()+".", c.region, chosen.ID)
		case made != nil:
			return v.finished("Floating IP "+made.Address+" is created.", Base+"/floating-ips")
		}
	}
	return v.renderForm(f, v.floatingPane(f, external, balancers))
}

// newFloatingIP is what the form asks for.
func newFloatingIP(f *form, external []option) order {
	network := f.value("floating_network_id")
	o := order{kind: floatingKind, parent: network, in: body{}, fixed: body{"pool": labelIn(external, network)}}
	if f.value("assign") == assignBalancer {
		f.choice(o.in, "port_id")
	}
	return o
}

// makeFloatingIP carries the order out; the answer is nil when that was refused.
func (v *view) makeFloatingIP(c *cloud, f *form, o order) (*floatingIP, error) {
	if f.value("floating_network_id") == "" {
		f.refuse("floating_network_id", "Choose the network on which the address is.")
	}
	if f.value("assign") == assignBalancer && f.value("port_id") == "" {
		f.refuse("port_id", "Choose the load balancer that it leads to.")
	}
	var made map[string]*floatingIP
	if ok, err := f.send(func() error { return c.carryOut(v.r.Context(), o, &made) }); !ok {
		return nil, err
	}
	return made["floatingip"], nil
}

// pick is the load balancer that was asked for by id or by its port; the only one there is counts as asked for.
func pick(all []*balancer, id, portID string) *balancer {
	for _, b := range all {
		if b.ID == id || id == "" && b.VIPPortID == portID {
			return b
		}
	}
	if len(all) == 1 && id == "" && portID == "" {
		return all[0]
	}
	return nil
}

// finished ends a pane that changed no load balancer, and shows the page where the result is.
func (v *view) finished(message, address string) error {
	if !v.isFragment() {
		http.Redirect(v.w, v.r, address, http.StatusSeeOther)
		return nil
	}
	v.trigger(map[string]string{"done": message, "changed": ""})
	v.w.WriteHeader(http.StatusOK)
	return nil
}

// floatingRow is a line of the page with floating IPs.
type floatingRow struct {
	floatingIP
	network  string
	balancer *balancer // that it leads to, nil when it leads to something else or nothing
}

func (v *view) showFloatingIPs() error {
	c, err := v.open(v.person.Region)
	if err != nil {
		return err
	}
	ctx := v.r.Context()
	all, err := c.floatingIPs(ctx)
	if err != nil {
		return err
	}
	networks, err := c.networks(ctx)
	if err != nil {
		return err
	}
	_, balancers, err := v.balancers(c.region)
	if err != nil {
		return err
	}
	names := map[string]string{}
	for _, n := range networks {
		names[n.ID] = named(n.Name, n.ID)
	}
	byPort := map[string]*balancer{}
	for _, b := range balancers {
		byPort[b.VIPPortID] = b
	}
	rows := make([]floatingRow, len(all))
	for i, ip := range all {
		rows[i] = floatingRow{ip, names[ip.NetworkID], byPort[ip.PortID]}
	}
	return v.render(v.floatingPage(c.region, rows))
}

// releaseFloatingIP asks whether a floating IP is to be given back, and does it.
func (v *view) releaseFloatingIP() error {
	c, err := v.open(v.r.PathValue("region"))
	if err != nil {
		return err
	}
	path := "floatingips/" + url.PathEscape(v.r.PathValue("ip"))
	ip, err := show[floatingIP](v.r.Context(), c, networking, path, "floatingip")
	if err != nil {
		return err
	}
	f := v.form()
	if v.isPost() {
		o := order{kind: floatingKind, id: url.PathEscape(ip.ID), gone: true}
		if v.isCopy() {
			return v.renderCopy(o)
		}
		ok, err := f.send(func() error { return c.carryOut(v.r.Context(), o, nil) })
		if err != nil {
			return err
		}
		if ok {
			return v.finished("Floating IP "+ip.Address+" is released.", Base+"/floating-ips")
		}
	}
	return v.renderForm(f, v.deleteObjectPane("Floating IP", ip.Address, v.r.URL.Path, f))
}

package console

import (
	"net/http"
	"net/url"
	"strings"
)

// changePages change or remove what is there already.
var changePages = []page{
	{method: "GET", pattern: "/load-balancers/{region}/{id}/modify", handle: (*view).modifyBalancer},
	{method: "POST", pattern: "/load-balancers/{region}/{id}/modify", handle: (*view).modifyBalancer},
	{method: "GET", pattern: "/load-balancers/{region}/{id}/modify/floating-ip", handle: (*view).chooseFloatingIP},
	{method: "GET", pattern: "/load-balancers/delete", handle: (*view).deleteBalancers},
	{method: "POST", pattern: "/load-balancers/delete", handle: (*view).deleteBalancers},
	{method: "GET", pattern: "/load-balancers/{region}/{id}/{kind}/{object}/delete", handle: (*view).deleteObject},
	{method: "POST", pattern: "/load-balancers/{region}/{id}/{kind}/{object}/delete", handle: (*view).deleteObject},
}

// place is the load balancer that the address of a page names, with the cloud that it is in.
type place struct {
	*cloud
	*balancer
}

// path is the address of a page below the load balancer's.
func (p place) path(rest string) string { return row{balancer: p.balancer}.path(rest) }

func (v *view) place() (place, error) {
	region := v.r.PathValue("region")
	c, err := v.open(region)
	if err != nil {
		return place{}, err
	}
	b, err := v.balancer(region, v.r.PathValue("id"))
	return place{c, b}, err
}

// isPost tells whether a form was sent.
func (v *view) isPost() bool { return v.r.Method == http.MethodPost }

// send makes a call with what a form says, unless that cannot be read. It tells whether all went well; what an API refused is
// then in the form.
func (f *form) send(call func() error) (bool, error) {
	if f.isBad() || f.isAsk {
		return false, nil
	}
	if err := call(); err != nil {
		return false, f.take(err)
	}
	return true, nil
}

// done ends a pane whose form was carried out: it closes, the page hears what happened, and the row shows it.
func (v *view) done(message, region, id string) error {
	v.settle(region, id)
	if !v.isFragment() {
		http.Redirect(v.w, v.r, balancersPath+"/"+url.PathEscape(region)+"/"+url.PathEscape(id), http.StatusSeeOther)
		return nil
	}
	v.trigger(map[string]string{"done": message, "changed": id})
	v.w.WriteHeader(http.StatusOK)
	return nil
}

// settle has everybody see at once what a person has just changed. When it fails, the watch finds the change a little later.
func (v *view) settle(region, id string) {
	w, err := v.watch(region)
	if err == nil {
		err = w.refresh(v.r.Context(), id)
	}
	if err != nil {
		v.Log.WarnContext(v.r.Context(), "a change will be shown late", "err", err)
	}
}

// The choices of the Floating IP dropdown that are no floating IP.
const (
	noFloatingIP     = "none"
	createFloatingIP = "create"
)

func (v *view) modifyBalancer() error {
	p, err := v.place()
	if err != nil {
		return err
	}
	all, err := p.floatingIPs(v.r.Context())
	if err != nil {
		return err
	}
	current := noFloatingIP
	for _, ip := range all {
		if ip.PortID == p.VIPPortID {
			current = ip.ID
		}
	}
	f := v.form()
	f.preset(map[string]string{"name": p.Name, "description": p.balancer.Description, "floating_ip": current})
	if v.isCopy() {
		return v.renderCopy(p.modified(f, all, current)...)
	}
	if v.isPost() {
		ok, err := f.send(func() error {
			for _, o := range p.modified(f, all, current) {
				if err := p.carryOut(v.r.Context(), o, nil); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if ok && f.value("floating_ip") == createFloatingIP {
			v.goTo(p.path("/floating-ip"))
			return nil
		}
		if ok {
			return v.done("Load balancer "+f.value("name")+" is modified.", p.balancer.region, p.ID)
		}
	}
	return v.renderForm(f, v.modifyPane(p, f, floatingOptions(all, current)))
}

// renderForm answers with a pane: 422 when something is wrong with what was typed.
func (v *view) renderForm(f *form, pane component) error {
	status := http.StatusOK
	if f.isBad() {
		status = http.StatusUnprocessableEntity
	}
	v.renderStatus(status, pane)
	return nil
}

// modified is what the form of a load balancer says that differs from what is.
func (p place) modified(f *form, all []floatingIP, current string) []order {
	var orders []order
	if f.value("name") != p.Name || f.value("description") != p.balancer.Description {
		o := order{kind: balancerKind, id: p.ID, in: body{}, fixed: body{"vip_subnet_id": p.VIPSubnetID}}
		f.text(o.in, "name")
		f.text(o.in, "description")
		orders = append(orders, o)
	}
	chosen := f.value("floating_ip")
	if chosen == current || chosen == createFloatingIP {
		return orders
	}
	if current != noFloatingIP {
		orders = append(orders, attached(all, current, nil))
	}
	if chosen != noFloatingIP {
		orders = append(orders, attached(all, chosen, p.VIPPortID))
	}
	return orders
}

// attached leads a floating IP to a port, or to nothing when that is nil.
func attached(all []floatingIP, id string, portID any) order {
	o := order{kind: attachKind, id: url.PathEscape(id), in: body{"port_id": portID}, fixed: body{}}
	for _, ip := range all {
		if ip.ID == id {
			o.fixed["floating_ip"] = ip.Address
		}
	}
	return o
}

// floatingOptions are the floating IP that is attached, those that are free, and that one may be made.
func floatingOptions(all []floatingIP, current string) []option {
	options := []option{{noFloatingIP, "None"}}
	for _, ip := range all {
		if ip.PortID == "" || ip.ID == current {
			options = append(options, option{ip.ID, ip.Address})
		}
	}
	return append(options, option{createFloatingIP, "Create and attach IP"})
}

// chooseFloatingIP slides the pane in that creates a floating IP when that is what was chosen in the dropdown.
func (v *view) chooseFloatingIP() error {
	if _, err := v.place(); err != nil {
		return err
	}
	if v.r.FormValue("floating_ip") != createFloatingIP {
		v.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	v.w.Header().Set("HX-Retarget", "#panes")
	v.w.Header().Set("HX-Reswap", "beforeend")
	v.r.Form = url.Values{}
	return v.createFloatingIP()
}

// chosenBalancers are the load balancers that a query names, as region/id.
func (v *view) chosenBalancers(names []string) ([]*balancer, error) {
	var all []*balancer
	for _, name := range names {
		region, id, _ := strings.Cut(name, "/")
		b, err := v.balancer(region, id)
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

// deleteBalancers asks whether the chosen load balancers are to be deleted, and does it.
func (v *view) deleteBalancers() error {
	f := v.form()
	chosen, err := v.chosenBalancers(f.values["id"])
	if err != nil {
		return err
	}
	if len(chosen) == 0 {
		f.problem = "No load balancer is selected."
	}
	if !v.isPost() || len(chosen) == 0 {
		return v.renderForm(f, v.deletePane(chosen, f))
	}
	if v.isCopy() {
		return v.renderCopy(deletions(chosen)...)
	}
	for i, o := range deletions(chosen) {
		b := chosen[i]
		c, err := v.open(b.region)
		if err != nil {
			return err
		}
		ok, err := f.send(func() error { return c.carryOut(v.r.Context(), o, nil) })
		if err != nil {
			return err
		}
		if !ok {
			return v.renderForm(f, v.deletePane(chosen, f))
		}
		v.settle(b.region, b.ID)
	}
	message := "Load balancer " + chosen[0].label() + " is being deleted."
	if len(chosen) > 1 {
		message = "The load balancers are being deleted."
	}
	return v.done(message, chosen[0].region, chosen[0].ID)
}

// deletions are those of load balancers with everything below them.
func deletions(chosen []*balancer) []order {
	orders := make([]order, len(chosen))
	for i, b := range chosen {
		orders[i] = order{kind: balancerKind, id: b.ID, gone: true}
	}
	return orders
}

// removable are the kinds below a load balancer, as addresses have them, with the word for people.
var removable = map[string]struct {
	*kind
	word string
}{
	"listeners":       {listenerKind, "Listener"},
	"pools":           {poolKind, "Pool"},
	"health-monitors": {monitorKind, "Healthmonitor"},
}

// deleteObject asks whether an object of a load balancer is to be deleted, and does it.
func (v *view) deleteObject() error {
	kind, known := removable[v.r.PathValue("kind")]
	if !known {
		return &fault{status: http.StatusNotFound, message: "There is no such page."}
	}
	p, err := v.place()
	if err != nil {
		return err
	}
	id := v.r.PathValue("object")
	name, ok := p.names()[id]
	if !ok {
		return &fault{status: http.StatusNotFound, message: kind.word + " " + id + " not found."}
	}
	f := v.form()
	if v.isPost() {
		o := order{kind: kind.kind, id: id, gone: true}
		if v.isCopy() {
			return v.renderCopy(o)
		}
		ok, err := f.send(func() error { return p.carryOut(v.r.Context(), o, nil) })
		if err != nil {
			return err
		}
		if ok {
			return v.done(kind.word+" "+name+" is being deleted.", p.balancer.region, p.ID)
		}
	}
	return v.renderForm(f, v.deleteObjectPane(kind.word, name, v.r.URL.Path, f))
}

// names are the labels of everything below a load balancer by id.
func (b *balancer) names() map[string]string {
	all := map[string]string{}
	for _, l := range b.listeners {
		all[l.ID] = l.label()
	}
	for _, p := range b.pools {
		all[p.ID] = p.label()
		if p.monitor != nil {
			all[p.monitor.ID] = p.monitor.label()
		}
	}
	return all
}

package console

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

var memberPages = []page{
	{method: "GET", pattern: "/load-balancers/{region}/{id}/pools/{pool}/members", handle: (*view).modifyMembers},
	{method: "POST", pattern: "/load-balancers/{region}/{id}/pools/{pool}/members", handle: (*view).modifyMembers},
}

// defaultMemberPort is the port that a member has until another one is typed.
const defaultMemberPort = "80"

// memberLine is a line of the form: a member as it is to be. id is that of the member that it was.
type memberLine struct{ id, name, address, port, weight string }

// memberForm is the pane in which a pool's members are put together. The lines travel with the form; nothing is changed
// before Update, which sends them all in one request.
type memberForm struct {
	*form
	lines   []memberLine
	editing int // the line that is being edited, -1 for none
	servers []server
}

// free are the servers that are no members yet, as far as their addresses tell.
func (f memberForm) free() []server {
	return slices.DeleteFunc(slices.Clone(f.servers), func(s server) bool {
		return slices.ContainsFunc(f.lines, func(l memberLine) bool { return slices.Contains(s.ips(), l.address) })
	})
}

// nameOf is the name of a line: the member's, or that of the server with its address.
func (f memberForm) nameOf(l memberLine) string {
	if l.name != "" {
		return l.name
	}
	for _, s := range f.servers {
		if slices.Contains(s.ips(), l.address) {
			return s.Name
		}
	}
	return ""
}

func (v *view) modifyMembers() error {
	p, of, err := v.placePool()
	if err != nil {
		return err
	}
	f := memberForm{form: v.form(), editing: -1}
	if f.servers, err = p.servers(v.r.Context()); err != nil {
		return err
	}
	if !v.isPost() {
		now, err := p.members(v.r.Context(), of.ID)
		if err != nil {
			return err
		}
		for _, m := range now {
			f.lines = append(f.lines, memberLine{m.ID, m.Name, m.Address, strconv.Itoa(m.Port), strconv.Itoa(m.Weight)})
		}
		return v.renderForm(f.form, v.membersPane(p, of, f))
	}
	f.read()
	if !v.isCopy() && f.edit() {
		return v.renderForm(f.form, v.membersPane(p, of, f))
	}
	if v.isCopy() {
		return v.copyMembers(p, of, f)
	}
	ok, err := f.send(func() error { return p.updateMembers(v.r.Context(), of.ID, f) })
	if err != nil {
		return err
	}
	if ok {
		return v.done("The members of pool "+of.label()+" are updated.", p.balancer.region, p.ID)
	}
	return v.renderForm(f.form, v.membersPane(p, of, f))
}

// read takes the lines out of the form.
func (f *memberForm) read() {
	at := func(name string, i int) string {
		if all := f.values[name]; i < len(all) {
			return strings.TrimSpace(all[i])
		}
		return ""
	}
	for i := range f.values["m_address"] {
		f.lines = append(f.lines, memberLine{at("m_id", i), at("m_name", i), at("m_address", i), at("m_port", i), at("m_weight", i)})
	}
	if n, err := strconv.Atoi(f.value("editing")); err == nil && n >= 0 && n < len(f.lines) {
		f.editing = n
	}
}

// edit does what the button asks for that was pressed, and tells whether that was another one than Update.
func (f *memberForm) edit() bool {
	line := func(name string) int {
		n, err := strconv.Atoi(f.value(name))
		if err != nil || n >= len(f.lines) {
			return -1
		}
		return n
	}
	switch {
	case f.values.Has("add"):
		name, address, _ := strings.Cut(f.value("add"), " ")
		if decoded, err := url.QueryUnescape(name); err == nil {
			name = decoded
		}
		f.lines = append(f.lines, memberLine{name: name, address: address, port: defaultMemberPort, weight: "1"})
	case f.values.Has("manually"):
		f.addManually()
	case line("remove") >= 0:
		f.lines = slices.Delete(f.lines, line("remove"), line("remove")+1)
		f.editing = -1
	case line("edit") >= 0:
		f.editing = line("edit")
		if f.value("edit") == f.value("editing") {
			f.editing = -1
		}
	default:
		return false
	}
	return true
}

// addManually adds what was typed in place of a server.
func (f *memberForm) addManually() {
	address, err := netip.ParseAddr(f.value("address"))
	if err != nil {
		f.refuse("address", fmt.Sprintf("“%s” is not an IP address.", f.value("address")))
		return
	}
	port, err := strconv.ParseUint(f.value("protocol_port"), 10, 16)
	if err != nil || port == 0 {
		f.refuse("protocol_port", "A port is a number from 1 to 65535.")
		return
	}
	f.lines = append(f.lines, memberLine{address: address.String(), port: strconv.FormatUint(port, 10), weight: "1"})
	f.values.Del("address")
	f.values.Del("protocol_port")
}

// keptAttributes are those of a member that the form does not show, and that a change of the whole set keeps.
var keptAttributes = []string{"name", "subnet_id", "admin_state_up", "backup", "monitor_address", "monitor_port", "tags"}

// updateMembers makes the lines the pool's members, in one request.
func (p place) updateMembers(ctx context.Context, poolID string, f memberForm) error {
	path := "pools/" + poolID + "/members"
	now, err := list[body](ctx, p.cloud, loadBalancing, path, "members")
	if err != nil {
		return err
	}
	wanted := []body{}
	for _, l := range f.lines {
		in, err := l.body(now)
		if err != nil {
			return err
		}
		wanted = append(wanted, in)
	}
	return p.call(ctx, loadBalancing, http.MethodPut, path, body{"members": wanted}, nil)
}

// body is a line as the API takes it.
func (l memberLine) body(now []body) (body, error) {
	in := body{"address": l.address}
	for _, m := range now {
		if m["id"] != l.id || l.id == "" {
			continue
		}
		for _, name := range keptAttributes {
			if value, ok := m[name]; ok && value != nil {
				in[name] = value
			}
		}
	}
	if l.id == "" && l.name != "" {
		in["name"] = l.name
	}
	for name, typed := range map[string]string{"protocol_port": l.port, "weight": l.weight} {
		n, err := strconv.Atoi(typed)
		if err != nil {
			return nil, &fault{status: http.StatusBadRequest, message: fmt.Sprintf("“%s” of member %s is not a whole number.", typed, l.address)}
		}
		in[name] = n
	}
	return in, nil
}

// copyMembers shows the form as commands: one for each member that is new, other than it was, or gone.
func (v *view) copyMembers(p place, of pool, f memberForm) error {
	now, err := p.members(v.r.Context(), of.ID)
	if err != nil {
		return err
	}
	var orders []order
	for _, l := range f.lines {
		orders = append(orders, l.order(of.ID, now))
	}
	for _, m := range now {
		if !slices.ContainsFunc(f.lines, func(l memberLine) bool { return l.id == m.ID }) {
			orders = append(orders, order{kind: memberKind, id: m.ID, parent: of.ID, gone: true})
		}
	}
	return v.renderCopy(orders...)
}

// order is a line as an order of its own. What is no number is shown as it was typed.
func (l memberLine) order(poolID string, now []member) order {
	number := func(typed string) any {
		if n, err := strconv.Atoi(typed); err == nil {
			return n
		}
		return typed
	}
	whole := body{"name": l.name, "address": l.address, "protocol_port": number(l.port), "weight": number(l.weight)}
	for _, m := range now {
		if m.ID != l.id {
			continue
		}
		o := order{kind: memberKind, id: m.ID, parent: poolID, in: body{}, fixed: whole}
		if whole["weight"] != m.Weight { // a port cannot be set: Update makes the member anew
			o.in["weight"] = whole["weight"]
		}
		if whole["protocol_port"] != m.Port {
			return order{kind: memberKind, parent: poolID, in: whole}
		}
		return o
	}
	return order{kind: memberKind, parent: poolID, in: whole}
}

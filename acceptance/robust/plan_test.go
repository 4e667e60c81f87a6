package robust

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
)

// The most that a worker has at the same time: load balancers, listeners and pools in each, members in each pool.
const (
	mostBalancers   = 2
	mostListeners   = 3
	mostPools       = 3
	mostMembers     = 4
	mostFloatingIPs = 2
)

// closedPort is a port of the lab's servers where nobody listens.
const closedPort = labPort + 1

// plan chooses a random step; false when the chosen kind of step is not possible now.
func (w *worker) plan() (step, bool) {
	plans := []func() (step, bool){
		w.planBalancer, w.planListener, w.planListener, w.planPool, w.planPool, w.planMember, w.planMember, w.planMember,
		w.planMonitor, w.planFloatingIP, w.planMembers, w.planChange, w.planChange, w.planChange, w.planChange,
		w.planLink, w.planLink, w.planRemoval, w.planRemoval, w.planRemoval,
	}
	return plans[w.random.IntN(len(plans))]()
}

func (w *worker) planBalancer() (step, bool) {
	if len(w.acknowledged.names("loadbalancer", all)) >= mostBalancers {
		return step{}, false
	}
	name := w.newName()
	return w.create(name, thing{kind: "loadbalancer", up: true}, w.acknowledged, object{"vip_subnet_id": w.server.subnet}), true
}

// balancer chooses a load balancer that has fewer things of a kind than most, the shared one among them.
func (w *worker) balancer(kind string, most int) (string, bool) {
	names := append(w.acknowledged.names("loadbalancer", all), sharedBalancer)
	return w.pick(slices.DeleteFunc(names, func(name string) bool {
		return len(w.acknowledged.names(kind, below(name))) >= most
	}))
}

func (w *worker) planListener() (step, bool) {
	parent, ok := w.balancer("listener", mostListeners)
	port := strconv.Itoa(1000*(w.index+1) + w.random.IntN(2*mostListeners)) // soon used again
	taken := func(_ string, t thing) bool { return t.parent == parent && t.place == port }
	if !ok || len(w.acknowledged.names("listener", taken)) > 0 {
		return step{}, false
	}
	name := w.newName()
	w.freed[parent+" "+port] = true
	t := thing{kind: "listener", parent: parent, up: w.random.IntN(4) > 0, number: -1, place: port}
	further := object{"loadbalancer_id": w.ids[parent], "protocol": "TCP", "protocol_port": port}
	if pool, ok := w.pick(w.acknowledged.names("pool", below(parent))); ok {
		t.link, further["default_pool_id"] = pool, w.ids[pool]
	}
	return w.create(name, t, w.acknowledged, further), true
}

func (w *worker) planPool() (step, bool) {
	parent, ok := w.balancer("pool", mostPools)
	if !ok {
		return step{}, false
	}
	name, after := w.newName(), w.acknowledged
	further := object{"protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}
	free := func(_ string, t thing) bool { return t.parent == parent && t.link == "" }
	if listener, ok := w.pick(after.names("listener", free)); ok {
		further["listener_id"] = w.ids[listener]
		l := after[listener]
		l.link = name
		after = after.with(listener, l)
	} else {
		further["loadbalancer_id"] = w.ids[parent]
	}
	return w.create(name, thing{kind: "pool", parent: parent, up: true}, after, further), true
}

// newMember is a member at a random place, most of them at one where somebody answers.
func (w *worker) newMember(pool string) thing {
	port := labPort
	if w.random.IntN(3) == 0 {
		port = closedPort
	}
	server := w.server.members[w.random.IntN(len(w.server.members))]
	return thing{
		kind: "member", parent: pool, up: w.random.IntN(4) > 0, number: w.random.IntN(4), place: net.JoinHostPort(server.address, strconv.Itoa(port)),
	}
}

func (t thing) placeAttributes() object {
	address, port, _ := net.SplitHostPort(t.place)
	return object{"address": address, "protocol_port": port}
}

func (w *worker) planMember() (step, bool) {
	pool, ok := w.pick(w.acknowledged.names("pool", all))
	if !ok {
		return step{}, false
	}
	t := w.newMember(pool)
	taken := func(_ string, other thing) bool { return other.parent == pool && other.place == t.place }
	if len(w.acknowledged.names("member", taken)) > 0 || len(w.acknowledged.names("member", below(pool))) >= mostMembers {
		return step{}, false
	}
	return w.create(w.newName(), t, w.acknowledged, t.placeAttributes()), true
}

// planMembers replaces all members of a pool at once.
func (w *worker) planMembers() (step, bool) {
	pool, ok := w.pick(w.acknowledged.names("pool", all))
	if !ok {
		return step{}, false
	}
	after, list, taken := w.acknowledged, []object{}, map[string]bool{}
	for _, old := range after.names("member", below(pool)) {
		after = after.without(old)
	}
	for range w.random.IntN(mostMembers) {
		t := w.newMember(pool)
		if taken[t.place] {
			continue
		}
		taken[t.place] = true
		name := w.newName()
		attributes := object{"name": name, "admin_state_up": t.up, "weight": t.number}
		maps.Copy(attributes, t.placeAttributes())
		list, after = append(list, attributes), after.with(name, t)
	}
	return step{"PUT", w.collection("member", pool), object{"members": list}, "", after}, true
}

func (w *worker) planMonitor() (step, bool) {
	pool, ok := w.pick(w.acknowledged.names("pool", all))
	if !ok || len(w.acknowledged.names("healthmonitor", below(pool))) > 0 {
		return step{}, false
	}
	t := thing{kind: "healthmonitor", parent: pool, up: true, number: 1}
	return w.create(w.newName(), t, w.acknowledged, object{"pool_id": w.ids[pool], "type": "TCP", "delay": 1, "timeout": 1}), true
}

func (w *worker) planFloatingIP() (step, bool) {
	if len(w.acknowledged.names("floatingip", all)) >= mostFloatingIPs {
		return step{}, false
	}
	name := w.newName()
	t := thing{kind: "floatingip"}
	body := object{"description": name, "floating_network_id": w.server.external}
	if target, ok := w.pick(w.acknowledged.names("loadbalancer", w.hasNoFloatingIP)); ok {
		t.link, body["port_id"] = target, w.vipPorts[target]
	}
	return step{"POST", w.collection(t.kind, ""), object{t.kind: body}, name, w.acknowledged.with(name, t)}, true
}

func (w *worker) hasNoFloatingIP(balancer string, _ thing) bool {
	linked := func(_ string, t thing) bool { return t.link == balancer }
	return len(w.acknowledged.names("floatingip", linked)) == 0
}

// planChange changes attributes of anything but a floating IP.
func (w *worker) planChange() (step, bool) {
	name, ok := w.pick(slices.Sorted(maps.Keys(w.acknowledged)))
	t := w.acknowledged[name]
	if !ok || t.kind == "floatingip" || w.ids[name] == "" {
		return step{}, false
	}
	t.up = w.random.IntN(5) > 0
	attributes := object{"admin_state_up": t.up}
	switch t.kind {
	case "listener":
		t.number = 1000 + w.random.IntN(1000)
	case "member":
		t.number = w.random.IntN(4)
	case "healthmonitor":
		t.number = 1 + w.random.IntN(3)
	}
	if number := kindOf(t.kind).number; number != "" {
		attributes[number] = t.number
	}
	if t.kind != "member" && t.kind != "healthmonitor" {
		t.text = fmt.Sprintf("text %d", w.random.IntN(1000))
		attributes["description"] = t.text
	}
	return step{"PUT", w.path(name), object{t.kind: attributes}, "", w.acknowledged.with(name, t)}, true
}

// planLink gives a listener another default pool or none, or moves a floating IP.
func (w *worker) planLink() (step, bool) {
	linked := func(_ string, t thing) bool { return t.kind == "listener" || t.kind == "floatingip" }
	name, ok := w.pick(append(w.acknowledged.names("listener", linked), w.acknowledged.names("floatingip", linked)...))
	if !ok {
		return step{}, false
	}
	t := w.acknowledged[name]
	attribute, ids, targets := "default_pool_id", w.ids, w.acknowledged.names("pool", below(t.parent))
	if t.kind == "floatingip" {
		attribute, ids, targets = "port_id", w.vipPorts, w.acknowledged.names("loadbalancer", w.hasNoFloatingIP)
	}
	attributes := object{attribute: nil}
	t.link = ""
	if target, ok := w.pick(targets); ok && w.random.IntN(4) > 0 {
		t.link, attributes[attribute] = target, ids[target]
	}
	return step{"PUT", w.path(name), object{t.kind: attributes}, "", w.acknowledged.with(name, t)}, true
}

// planRemoval removes a thing with all that is below it.
func (w *worker) planRemoval() (step, bool) {
	name, ok := w.pick(slices.Sorted(maps.Keys(w.acknowledged)))
	if !ok || w.ids[name] == "" {
		return step{}, false
	}
	t := w.acknowledged[name]
	path := w.path(name)
	if t.kind == "loadbalancer" {
		if w.random.IntN(2) == 0 { // they shall live for a while
			return step{}, false
		}
		path += "?cascade=true"
	}
	return step{"DELETE", path, nil, "", w.acknowledged.without(name)}, true
}

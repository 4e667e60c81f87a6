package octavia

import (
	"net/http"
	"slices"

	"poise/internal/lb"
	"poise/internal/rest"
)

// loadBalancerStats answers with the sum of a load balancer's listeners' counters.
func loadBalancerStats(c *call) error {
	o, err := loadBalancers.find(c)
	if err != nil {
		return err
	}
	counters, err := c.Control.Counters(c.r.Context(), o.Tree.ID)
	if err != nil {
		return err
	}
	var sum lb.Counters
	for _, of := range counters {
		sum = sum.Plus(of)
	}
	return answerStats(c, sum)
}

// listenerStats answers with a listener's counters.
func listenerStats(c *call) error {
	o, err := listeners.find(c)
	if err != nil {
		return err
	}
	counters, err := c.Control.Counters(c.r.Context(), o.Tree.ID)
	if err != nil {
		return err
	}
	return answerStats(c, counters[o.base.ID])
}

func answerStats(c *call, counters lb.Counters) error {
	rest.WriteJSON(c.w, http.StatusOK, map[string]any{"stats": counters})
	return nil
}

// loadBalancerStatus answers with the statuses of a whole tree: each listener, below it the pools that it uses.
func loadBalancerStatus(c *call) error {
	o, err := loadBalancers.find(c)
	if err != nil {
		return err
	}
	tree := statusOfObject(o)
	below := []any{}
	for l := range listeners.objects(o.Snapshot, "") {
		below = append(below, listenerStatus(l))
	}
	tree["listeners"] = below
	rest.WriteJSON(c.w, http.StatusOK, map[string]any{"statuses": map[string]any{"loadbalancer": tree}})
	return nil
}

func listenerStatus(o object) map[string]any {
	status := statusOfObject(o)
	below := []any{}
	for p := range pools.objects(o.Snapshot, "") {
		if slices.Contains(o.listener.PoolIDs(), p.pool.ID) {
			below = append(below, poolStatus(p))
		}
	}
	status["pools"] = below
	return status
}

func poolStatus(o object) map[string]any {
	status := statusOfObject(o)
	status["health_monitor"] = nil
	if m := o.pool.Monitor; m != nil {
		monitor := statusOfObject(object{Snapshot: o.Snapshot, base: &m.Object, pool: o.pool, monitor: m})
		monitor["type"] = m.Type
		status["health_monitor"] = monitor
	}
	below := []any{}
	for m := range members.objects(o.Snapshot, o.pool.ID) {
		member := statusOfObject(m)
		member["address"], member["protocol_port"] = m.address(), m.member.ProtocolPort
		below = append(below, member)
	}
	status["members"] = below
	return status
}

func statusOfObject(o object) map[string]any {
	return map[string]any{
		"id": o.base.ID, "name": o.base.Name,
		"operating_status": o.operating(), "provisioning_status": o.Provisioning(o.base),
	}
}

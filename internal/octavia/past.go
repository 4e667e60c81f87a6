package octavia

import (
	"net/http"
	"time"

	"poise/internal/lb"
	"poise/internal/rest"
	"poise/internal/telemetry"
)

// Past is what is remembered of load balancers. All of it is poise's own; Octavia has nothing like it.
type Past interface {
	// Events are the last things that happened to a load balancer, the newest first.
	Events(loadBalancerID string) []telemetry.Event
	// Series are the numbers of a load balancer's objects during the last hour.
	Series(tree *lb.LoadBalancer, now time.Time) (from time.Time, all []telemetry.Series)
	// Probes are the last health checks of a member, the newest first.
	Probes(loadBalancerID, poolID, memberID string) []telemetry.Probe
}

// pastRoutes are the routes that tell of the past.
func pastRoutes() []route {
	return []route{
		{"GET", "/loadbalancers/{id}/events", "loadbalancer:get_status", loadBalancerEvents, nil},
		{"GET", "/loadbalancers/{id}/series", "loadbalancer:get_stats", loadBalancerSeries, nil},
		{"GET", "/pools/{pool}/members/{id}/health", "member:get_one", memberHealth, nil},
	}
}

func loadBalancerEvents(c *call) error {
	o, err := loadBalancers.find(c)
	if err != nil {
		return err
	}
	rest.WriteJSON(c.w, http.StatusOK, map[string]any{"events": c.Past.Events(o.Tree.ID)})
	return nil
}

// loadBalancerSeries answers with the last hour in columns, for charts and scripts.
func loadBalancerSeries(c *call) error {
	o, err := loadBalancers.find(c)
	if err != nil {
		return err
	}
	from, all := c.Past.Series(o.Tree, time.Now())
	rest.WriteJSON(c.w, http.StatusOK, map[string]any{"series": map[string]any{
		"from": from, "step": int(telemetry.Step / time.Second), "points": telemetry.Points, "objects": all,
	}})
	return nil
}

// memberHealth answers with a member's status, why, since when, and what its last checks have found.
func memberHealth(c *call) error {
	o, err := members.find(c)
	if err != nil {
		return err
	}
	status := o.Observed.Status[o.base.ID]
	rest.WriteJSON(c.w, http.StatusOK, map[string]any{"health": map[string]any{
		"operating_status": o.operating(), "status_reason": o.Reason(o.base), "since": status.Since,
		"probes": c.Past.Probes(o.Tree.ID, o.pool.ID, o.base.ID),
	}})
	return nil
}

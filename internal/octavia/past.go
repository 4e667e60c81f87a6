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

// The answers of these routes; their schemas are made of these types.
type (
	event struct {
		telemetry.Event
		Time instant `json:"time"`
	}
	series struct {
		From    instant            `json:"from"`   // of the first point
		Step    int                `json:"step"`   // seconds between two points
		Points  int                `json:"points"` // of each column
		Objects []telemetry.Series `json:"objects"`
	}
	health struct {
		OperatingStatus lb.OperatingStatus `json:"operating_status"`
		StatusReason    string             `json:"status_reason"`
		Since           instant            `json:"since"`
		Probes          []probe            `json:"probes"`
	}
	probe struct {
		telemetry.Probe
		Time instant `json:"time"`
	}
)

func loadBalancerEvents(c *call) error {
	o, err := loadBalancers.find(c)
	if err != nil {
		return err
	}
	all := []event{}
	for _, e := range c.Past.Events(o.Tree.ID) {
		all = append(all, event{e, instant{e.Time}})
	}
	rest.WriteJSON(c.w, http.StatusOK, map[string]any{"events": all})
	return nil
}

// loadBalancerSeries answers with the last hour in columns, for charts and scripts.
func loadBalancerSeries(c *call) error {
	o, err := loadBalancers.find(c)
	if err != nil {
		return err
	}
	from, all := c.Past.Series(o.Tree, time.Now())
	rest.WriteJSON(c.w, http.StatusOK, map[string]any{
		"series": series{instant{from}, int(telemetry.Step / time.Second), telemetry.Points, all},
	})
	return nil
}

// memberHealth answers with a member's status, why, since when, and what its last checks have found.
func memberHealth(c *call) error {
	o, err := members.find(c)
	if err != nil {
		return err
	}
	shown := health{o.operating(), o.Reason(o.base), instant{o.Observed.Status[o.base.ID].Since}, []probe{}}
	for _, p := range c.Past.Probes(o.Tree.ID, o.pool.ID, o.base.ID) {
		shown.Probes = append(shown.Probes, probe{p, instant{p.Time}})
	}
	rest.WriteJSON(c.w, http.StatusOK, map[string]any{"health": shown})
	return nil
}

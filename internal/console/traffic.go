package console

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

var trafficPages = []page{
	{method: "GET", pattern: "/load-balancers/{region}/{id}/series", handle: (*view).showSeries, live: true},
}

// traffic is how much goes through a load balancer and its parts.
type traffic struct {
	*series
	picture picture
	lines   []trafficLine
}

// series is the last hour as poise's API tells it; a cloud that cannot has none.
type series struct {
	From    time.Time `json:"from"`
	Step    int       `json:"step"` // seconds
	Objects []numbers `json:"objects"`
}

// numbers are those of one object: one for each step, the oldest first.
type numbers struct {
	Type        string    `json:"object_type"`
	ID          string    `json:"object_id"`
	Name        string    `json:"object_name"`
	Active      []float64 `json:"active"`
	Connections []float64 `json:"connections"`
	Requests    []float64 `json:"requests"`
	Errors      []float64 `json:"errors"`
	BytesIn     []float64 `json:"bytes_in"`
	BytesOut    []float64 `json:"bytes_out"`
}

// recent is how many steps stand for "now": a minute.
const recent = 6

// settled is a column without its last step, which is still being counted.
func settled(column []float64) []float64 { return column[:max(0, len(column)-1)] }

// rate is what a column has been during the last minute, for each second.
func (s *series) rate(column []float64) float64 {
	if column = settled(column); s == nil || s.Step == 0 || len(column) == 0 {
		return 0
	}
	last := column[max(0, len(column)-recent):]
	sum := 0.0
	for _, n := range last {
		sum += n
	}
	return sum / float64(len(last)*s.Step)
}

// of are the numbers of an object, none when it had no traffic.
func (s *series) of(id string) numbers {
	if s == nil {
		return numbers{}
	}
	for _, o := range s.Objects {
		if o.ID == id {
			return o
		}
	}
	return numbers{}
}

// trafficLine is one object in the table below the picture.
type trafficLine struct {
	object
	kind, below string // what it is, and where
	depth       int
	numbers
}

// open is how many connections, or requests, there are now.
func (n numbers) open() float64 {
	if len(n.Active) < 2 {
		return 0
	}
	return n.Active[len(n.Active)-2]
}

// curve is the column that says most: requests where there are some, else connections.
func (n numbers) curve() []float64 {
	if slices.ContainsFunc(n.Requests, func(requests float64) bool { return requests > 0 }) {
		return settled(n.Requests)
	}
	return settled(n.Connections)
}

// series reads the last hour of a load balancer; nil when the cloud does not know it.
func (c *cloud) series(ctx context.Context, id string) (*series, error) {
	var out struct {
		Series *series `json:"series"`
	}
	err := c.call(ctx, loadBalancing, http.MethodGet, "loadbalancers/"+id+"/series", nil, &out)
	if isUnknownRoute(err) {
		return nil, nil
	}
	return out.Series, err
}

// showSeries is what the charts draw: the numbers of one object.
func (v *view) showSeries() error {
	region := v.r.PathValue("region")
	b, err := v.balancer(region, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	c, err := v.open(region)
	if err != nil {
		return err
	}
	s, err := c.series(v.r.Context(), b.ID)
	if err != nil {
		return err
	}
	drawn := series{Objects: []numbers{}}
	if s != nil {
		drawn.From, drawn.Step = s.From, s.Step
	}
	if n := s.of(v.r.FormValue("object")); n.ID != "" {
		drawn.Objects = append(drawn.Objects, n)
	}
	text, err := json.Marshal(drawn)
	if err != nil {
		return fmt.Errorf("series: %w", err)
	}
	v.w.Header().Set("Content-Type", "application/json")
	var zipped []byte
	if takesGzip(v.r) {
		zipped, _ = zip(text, gzip.BestSpeed) // the plain form does as well
	}
	send(v.w, v.r, http.StatusOK, text, zipped)
	return nil
}

// traffic puts picture and table of a load balancer together.
func (v *view) traffic(c *cloud, b *balancer, w *watch) (*traffic, error) {
	ctx := v.r.Context()
	s, err := c.series(ctx, b.ID)
	if err != nil {
		return nil, err
	}
	plan := plan{balancer: b, series: s, members: map[string][]member{}}
	for _, p := range b.pools {
		if plan.members[p.ID], err = w.poolMembers(ctx, p.ID); err != nil {
			return nil, err
		}
	}
	for _, l := range b.listeners {
		if len(l.L7Policies) == 0 {
			continue
		}
		policies, err := c.policies(ctx, l.ID)
		if err != nil {
			return nil, err
		}
		plan.policies = append(plan.policies, policies...)
	}
	return &traffic{series: s, picture: plan.draw(), lines: plan.lines()}, nil
}

// lines are the objects with their numbers, members below their pools.
func (p plan) lines() []trafficLine {
	all := []trafficLine{{p.balancer.object, "Load balancer", p.balancer.VIPAddress, 0, p.series.of(p.balancer.ID)}}
	for _, l := range p.balancer.listeners {
		all = append(all, trafficLine{l.object, "Listener", fmt.Sprintf("%s :%d", l.Protocol, l.Port), 1, p.series.of(l.ID)})
	}
	for _, of := range p.balancer.pools {
		all = append(all, trafficLine{of.object, "Pool", of.Algorithm, 1, p.series.of(of.ID)})
		for _, m := range p.members[of.ID] {
			all = append(all, trafficLine{m.object, "Member", m.at(), 2, p.series.of(m.ID)})
		}
	}
	return all
}

// perSecond is a rate for people: three digits at most, and a prefix of thousands.
func perSecond(rate float64) string { return strings.TrimSpace(scaled(rate)) }

// bits writes a number of bytes each second as bits, as networks are measured.
func bits(rate float64) string { return scaled(rate*8) + "bit/s" }

// scaled is a number, a space, and the prefix of the unit that comes next.
func scaled(n float64) string {
	prefix := ""
	for _, larger := range []string{"k", "M", "G", "T"} {
		if n < 999.5 {
			break
		}
		n, prefix = n/1000, larger
	}
	if n == 0 || n >= 9.95 {
		return fmt.Sprintf("%.0f %s", n, prefix)
	}
	return fmt.Sprintf("%.1f %s", n, prefix)
}

// sparkline is the path of a small curve over the last hour in a box of 120 by 24; "" when there is nothing to draw.
func sparkline(column []float64) string {
	const width, height, points = 120.0, 24.0, 60
	highest, sums := 0.0, make([]float64, points)
	for i, n := range column {
		at := i * points / len(column)
		sums[at] += n
		highest = max(highest, sums[at])
	}
	if highest == 0 {
		return ""
	}
	var path strings.Builder
	for i, n := range sums {
		command := "L"
		if i == 0 {
			command = "M"
		}
		fmt.Fprintf(&path, "%s%.1f %.1f", command, float64(i)*width/(points-1), 1+(height-2)*(1-n/highest))
	}
	return path.String()
}

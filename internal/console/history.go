package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

var historyPages = []page{
	{method: "GET", pattern: "/load-balancers/{region}/{id}/pools/{pool}/members/{member}/health", handle: (*view).showHealth},
}

// maxTimelines members of a pool are shown with their last checks, each of which is asked for on its own.
const maxTimelines = 64

// happening is something that happened to a load balancer or to an object of it, as poise's API remembers it.
type happening struct {
	Time       time.Time `json:"time"`
	Type       string    `json:"type"` // status, applied, failed
	ObjectType string    `json:"object_type"`
	ObjectID   string    `json:"object_id"`
	ObjectName string    `json:"object_name"`
	From       string    `json:"from"`
	To         string    `json:"to"`
	Reason     string    `json:"reason"`
}

// objectWords are the API's kinds of objects for people.
var objectWords = map[string]string{
	"loadbalancer": "Load balancer", "listener": "Listener", "pool": "Pool", "member": "Member", "healthmonitor": "Health monitor",
	"l7policy": "L7 policy", "l7rule": "L7 rule",
}

// history is the past of a load balancer, the newest first.
type history struct {
	known bool // the cloud remembers
	all   []happening
}

// history reads what the cloud remembers of a load balancer. One that remembers nothing has no such route.
func (c *cloud) history(ctx context.Context, id string) (*history, error) {
	var out struct {
		Events []happening `json:"events"`
	}
	err := c.call(ctx, loadBalancing, http.MethodGet, "loadbalancers/"+url.PathEscape(id)+"/events", nil, &out)
	if isUnknownRoute(err) {
		return &history{}, nil
	}
	return &history{known: true, all: out.Events}, err
}

// isUnknownRoute tells whether an API has no such route, which is no reason to complain.
func isUnknownRoute(err error) bool {
	status := statusOf(err)
	return status == http.StatusNotFound || status == http.StatusMethodNotAllowed || status == http.StatusNotImplemented
}

// health is how a member is, why, and what its last checks have found.
type health struct {
	Operating string    `json:"operating_status"`
	Reason    string    `json:"status_reason"`
	Since     time.Time `json:"since"`
	Probes    []checks  `json:"probes"` // the newest first
}

// checks are one or more, one after the other, that have found the same.
type checks struct {
	Time       time.Time `json:"time"` // of the first
	Count      int       `json:"count"`
	OK         bool      `json:"ok"`
	Reason     string    `json:"reason"`
	DurationMs float64   `json:"duration_ms"` // of the last
	Changed    bool      `json:"changed"`     // the first has changed the member's status
}

// health reads how a member is; nil when the cloud does not say.
func (c *cloud) health(ctx context.Context, poolID, memberID string) (*health, error) {
	var out struct {
		Health health `json:"health"`
	}
	path := "pools/" + url.PathEscape(poolID) + "/members/" + url.PathEscape(memberID) + "/health"
	err := c.call(ctx, loadBalancing, http.MethodGet, path, nil, &out)
	if isUnknownRoute(err) {
		return nil, nil
	}
	return &out.Health, err
}

// healths are those of a pool's members by id, as far as the cloud tells.
func (c *cloud) healths(ctx context.Context, poolID string, of []member) (map[string]*health, error) {
	all := map[string]*health{}
	for _, m := range of[:min(len(of), maxTimelines)] {
		h, err := c.health(ctx, poolID, m.ID)
		if err != nil {
			return nil, err
		}
		if h != nil {
			all[m.ID] = h
		} else if len(all) == 0 {
			return nil, nil // nor will it tell of the others
		}
	}
	return all, nil
}

// sentence is what there is to say: the status, since when, and what the last check saw.
func (h *health) sentence(now time.Time) string {
	text := h.Operating
	if !h.Since.IsZero() {
		text += " for " + inWords(now.Sub(h.Since))
	}
	reason := h.Reason
	if len(h.Probes) > 0 && !h.Probes[0].OK {
		reason = h.Probes[0].Reason
	}
	if reason != "" {
		return text + ": " + reason
	}
	if len(h.Probes) > 0 {
		return text + fmt.Sprintf("; the last check took %s ms", milliseconds(h.Probes[0].DurationMs))
	}
	return text
}

// milliseconds has two digits that count.
func milliseconds(d float64) string { return strings.TrimSuffix(fmt.Sprintf("%.2g", d), ".0") }

// inWords is a duration as people say it, in its largest unit.
func inWords(d time.Duration) string {
	switch {
	case d < time.Second:
		return "a moment"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

// stripe is a part of a timeline during which all checks found the same.
type stripe struct {
	x, width float64
	ok       bool
	says     string
}

// The measures of a timeline, and how far it goes back at most.
const (
	timelineWidth, timelineHeight = 160, 16
	thinnest                      = 2.0 // a single check is to be seen
	timelineSpan                  = time.Hour
)

// timeline draws the last checks, the newest at the right.
func (h *health) timeline(now time.Time) []stripe {
	if len(h.Probes) == 0 {
		return nil
	}
	begin := h.Probes[len(h.Probes)-1].Time
	if begin.Before(now.Add(-timelineSpan)) {
		begin = now.Add(-timelineSpan)
	}
	span := max(now.Sub(begin), time.Second)
	at := func(t time.Time) float64 { return timelineWidth * float64(t.Sub(begin)) / float64(span) }
	var all []stripe
	right := float64(timelineWidth)
	for _, c := range h.Probes {
		left := max(0, min(at(c.Time), right-thinnest))
		if right-left < thinnest {
			break
		}
		all = append(all, stripe{x: left, width: right - left, ok: c.OK, says: c.sentence()})
		right = left
	}
	return all
}

// sentence is what the checks found.
func (c checks) sentence() string {
	text := readableMoment(c.Time) + ": " + countedWord(c.Count, "check")
	if c.OK {
		return text + " passed"
	}
	return text + " failed: " + c.Reason
}

// says is the timeline for those who cannot see it.
func (h *health) says(of member) string {
	failed, total := 0, 0
	for _, c := range h.Probes {
		total += c.Count
		if !c.OK {
			failed += c.Count
		}
	}
	return fmt.Sprintf("Last checks of %s: %d of %d failed", of.label(), failed, total)
}

// showHealth is the pane with everything that is known of a member's checks.
func (v *view) showHealth() error {
	p, of, err := v.placePool()
	if err != nil {
		return err
	}
	all, err := p.members(v.r.Context(), of.ID)
	if err != nil {
		return err
	}
	id := v.r.PathValue("member")
	for _, m := range all {
		if m.ID != id {
			continue
		}
		h, err := p.health(v.r.Context(), of.ID, m.ID)
		if err != nil {
			return err
		}
		if h == nil {
			return &fault{status: http.StatusNotFound, message: "This cloud does not remember health checks."}
		}
		return v.render(v.healthPane(m, h))
	}
	return &fault{status: http.StatusNotFound, message: "Member " + id + " not found."}
}

// readableMoment is a time for people.
func readableMoment(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04:05") + " UTC" }

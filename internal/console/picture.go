package console

import (
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
)

// plan is what a picture of a load balancer shows: where traffic goes from its address to its members.
type plan struct {
	balancer *balancer
	policies []policy
	members  map[string][]member // by pool
	series   *series             // nil: how much is not known
}

// picture is a drawing of boxes in columns with lines between them, in units of the drawing.
type picture struct {
	width, height int
	boxes         []box
	edges         []edge
}

// The measures of a picture.
const (
	boxWidth, boxHeight = 190, 44
	boxGap, columnGap   = 14, 70
	margin              = 6
	// maxDrawn members of a pool have boxes of their own; what is beyond is one box.
	maxDrawn = 12
)

// box is one object.
type box struct {
	x, y         int
	id           string
	title, below string
	status       string // "" without one
	off          bool   // disabled: nothing goes there
}

// edge leads from the right side of a box to the left side of another.
type edge struct {
	path  string
	width float64
	idle  bool // nothing goes this way
	says  string
}

// column collects the boxes of one column from top to bottom.
type column []box

func (p plan) draw() picture {
	listeners, policies, pools, members := p.columns()
	columns := []column{{{id: p.balancer.ID, title: p.balancer.VIPAddress, below: p.balancer.label(), status: p.balancer.Operating}}}
	for _, c := range []column{listeners, policies, pools, members} {
		if len(c) > 0 {
			columns = append(columns, c)
		}
	}
	d := picture{width: 2*margin + len(columns)*boxWidth + (len(columns)-1)*columnGap}
	for _, c := range columns {
		d.height = max(d.height, 2*margin+len(c)*boxHeight+(len(c)-1)*boxGap)
	}
	for i, c := range columns {
		top := (d.height - len(c)*boxHeight - (len(c)-1)*boxGap) / 2
		for j, b := range c {
			b.x, b.y = margin+i*(boxWidth+columnGap), top+j*(boxHeight+boxGap)
			d.boxes = append(d.boxes, b)
		}
	}
	p.connect(&d)
	return d
}

// otherwise is the box for what a listener's policies are not about, among the policies.
func otherwise(l listener) string { return "otherwise-" + l.ID }

func (p plan) columns() (listeners, policies, pools, members column) {
	for _, l := range p.balancer.listeners {
		listeners = append(listeners, box{
			id: l.ID, title: l.label(), below: l.Protocol + " :" + strconv.Itoa(l.Port), status: l.Operating, off: !l.AdminStateUp,
		})
	}
	for _, l := range p.balancer.listeners {
		for _, y := range p.policies {
			if y.ListenerID == l.ID {
				policies = append(policies, box{id: y.ID, title: y.label(), below: y.does(), status: y.Operating, off: !y.AdminStateUp})
			}
		}
		if len(p.policies) > 0 && l.DefaultPoolID != "" {
			policies = append(policies, box{id: otherwise(l), title: "Otherwise", below: "to the default pool"})
		}
	}
	for _, o := range p.balancer.pools {
		pools = append(pools, box{id: o.ID, title: o.label(), below: o.Algorithm, status: o.Operating, off: !o.AdminStateUp})
		all := p.members[o.ID]
		for i, m := range all {
			if i == maxDrawn-1 && len(all) > maxDrawn {
				members = append(members, box{id: "more-" + o.ID, title: fmt.Sprintf("%d more", len(all)-i), below: o.label()})
				break
			}
			members = append(members, box{id: m.ID, title: m.label(), below: m.at(), status: m.Operating, off: !m.AdminStateUp})
		}
	}
	return listeners, policies, pools, members
}

// connect draws the lines. What they carry is what their end has counted; where that is the sum of several lines, it is not
// known how much each carries.
func (p plan) connect(d *picture) {
	for _, l := range p.balancer.listeners {
		d.connect(p, p.balancer.ID, l.ID, l.ID)
		if len(p.policies) == 0 {
			d.connect(p, l.ID, l.DefaultPoolID, p.byDefault(l))
			continue
		}
		d.connect(p, l.ID, otherwise(l), p.byDefault(l))
		d.connect(p, otherwise(l), l.DefaultPoolID, p.byDefault(l))
	}
	for _, y := range p.policies {
		d.connect(p, y.ListenerID, y.ID, p.byPolicy(y))
		d.connect(p, y.ID, y.RedirectPoolID, p.byPolicy(y))
	}
	for _, o := range p.balancer.pools {
		for i, m := range p.members[o.ID] {
			if i == maxDrawn-1 && len(p.members[o.ID]) > maxDrawn {
				d.connect(p, o.ID, "more-"+o.ID, "")
				break
			}
			d.connect(p, o.ID, m.ID, m.ID)
		}
	}
}

// byDefault is what has counted the traffic from a listener to its default pool: the listener, when it has no policies, or
// the pool, when nothing else leads there; "" when nobody has counted it alone.
func (p plan) byDefault(l listener) string {
	switch {
	case len(l.L7Policies) == 0:
		return l.ID
	case p.waysTo(l.DefaultPoolID) == 1:
		return l.DefaultPoolID
	}
	return ""
}

// byPolicy is the pool of a policy when nothing else leads there, so that the pool's numbers are the policy's; "" otherwise.
func (p plan) byPolicy(y policy) string {
	if p.waysTo(y.RedirectPoolID) == 1 {
		return y.RedirectPoolID
	}
	return ""
}

// waysTo counts what leads to a pool.
func (p plan) waysTo(poolID string) int {
	ways := 0
	for _, l := range p.balancer.listeners {
		if l.DefaultPoolID == poolID {
			ways++
		}
	}
	for _, y := range p.policies {
		if y.RedirectPoolID == poolID {
			ways++
		}
	}
	return ways
}

// connect draws a line between two boxes, if both are there; measured is the object whose numbers it shows.
func (d *picture) connect(p plan, from, to, measured string) {
	a, b := d.box(from), d.box(to)
	if a == nil || b == nil {
		return
	}
	n := p.series.of(measured)
	rate := p.series.rate(n.BytesIn) + p.series.rate(n.BytesOut)
	x1, y1, x2, y2 := a.x+boxWidth, a.y+boxHeight/2, b.x, b.y+boxHeight/2
	bend := (x2 - x1) / 2
	d.edges = append(d.edges, edge{
		path:  fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x1, y1, x1+bend, y1, x2-bend, y2, x2, y2),
		width: thickness(rate), idle: rate == 0, says: fmt.Sprintf("%s to %s: %s", a.title, b.title, bits(rate)),
	})
}

func (d *picture) box(id string) *box {
	i := slices.IndexFunc(d.boxes, func(b box) bool { return b.id == id })
	if i < 0 || id == "" {
		return nil
	}
	return &d.boxes[i]
}

// thickness is that of a line for so many bytes each second: every tenfold is a bit more, from 1 for nothing to 10.
func thickness(rate float64) float64 {
	if rate <= 0 {
		return 1
	}
	return math.Min(10, 1.5+math.Max(0, math.Log10(rate)-1))
}

// at is where a member is: address and port.
func (m member) at() string { return net.JoinHostPort(m.Address, strconv.Itoa(m.Port)) }

// says is the picture for those who cannot see it.
func (d picture) says(of *balancer) string {
	return fmt.Sprintf("Traffic of %s: %d objects. The table below has the same.", of.label(), len(d.boxes))
}

// clipped is a text that fits into a box.
func clipped(text string) string {
	const most = 24
	letters := []rune(text)
	if len(letters) <= most {
		return text
	}
	return string(letters[:most-1]) + "…"
}

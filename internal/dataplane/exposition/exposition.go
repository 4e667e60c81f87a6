// Package exposition writes the metrics of one load balancer as Prometheus reads them (text format 0.0.4,
// https://prometheus.io/docs/instrumenting/exposition_formats/), in the families that Octavia's PROMETHEUS listeners have
// (octavia-dataplane.md §7). What the data plane does not know is left out: no family says something that was not counted.
package exposition

import (
	"bufio"
	"io"
	"slices"
	"strconv"
	"strings"

	"poise/internal/dataplane"
)

// ContentType is that of what [Write] writes.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Snapshot is what a load balancer's data plane knows of itself at one moment.
type Snapshot struct {
	Config   *dataplane.Config
	States   map[string]dataplane.ListenerState // by listener
	Counters map[string]dataplane.Counters      // by listener
	Members  map[dataplane.MemberKey]dataplane.MemberCounters
	// IsDown says whether the health checks have taken a member down.
	IsDown func(poolID, memberID string) bool
}

// Write writes all families with all samples. UDP listeners, and what belongs to them, are not among them.
func Write(w io.Writer, s Snapshot) error {
	v := newView(s)
	p := &page{Writer: bufio.NewWriter(w)}
	writeAll(p, "octavia_loadbalancer_", balancerFamilies, []balancer{v.balancer})
	writeAll(p, "octavia_listener_", listenerFamilies, v.listeners)
	writeAll(p, "octavia_pool_", poolFamilies, v.pools)
	writeAll(p, "octavia_member_", memberFamilies, v.members)
	return p.Flush()
}

// family is one metric of all things of a kind.
type family[T any] struct {
	name, kind, help string
	// value is the sample of a thing; ok is false when the thing has none.
	value func(T) (value float64, ok bool)
	// classes are the samples by classes of HTTP status, in place of value.
	classes func(T) (counts [6]uint64, ok bool)
}

// The kinds of families.
const (
	counter = "counter"
	gauge   = "gauge"
)

// labelled is a thing with the labels of its samples.
type labelled interface{ labels() []label }

type label struct{ name, value string }

func writeAll[T labelled](p *page, prefix string, families []family[T], things []T) {
	for _, f := range families {
		isFirst := true
		sample := func(labels []label, value float64) {
			if isFirst {
				p.head(prefix+f.name, f.kind, f.help)
				isFirst = false
			}
			p.sample(prefix+f.name, labels, value)
		}
		for _, t := range things {
			if f.classes != nil {
				counts, ok := f.classes(t)
				for class := 1; ok && class <= len(counts); class++ { // those of no known class are the last
					of := label{"code", classNames[class%len(counts)]}
					sample(append(slices.Clone(t.labels()), of), float64(counts[class%len(counts)]))
				}
				continue
			}
			if value, ok := f.value(t); ok {
				sample(t.labels(), value)
			}
		}
	}
}

// classNames are the values of the label code, by the first digit of a status.
var classNames = [6]string{"other", "1xx", "2xx", "3xx", "4xx", "5xx"}

// page writes lines. What goes wrong shows at the end, in Flush.
type page struct{ *bufio.Writer }

func (p *page) head(name, kind, help string) {
	_, _ = p.WriteString("# HELP " + name + " " + help + "\n# TYPE " + name + " " + kind + "\n")
}

var escaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func (p *page) sample(name string, labels []label, value float64) {
	_, _ = p.WriteString(name)
	for i, l := range labels {
		_, _ = p.WriteString(map[bool]string{true: "{", false: ","}[i == 0] + l.name + `="` + escaper.Replace(l.value) + `"`)
	}
	if len(labels) > 0 {
		_ = p.WriteByte('}')
	}
	_, _ = p.WriteString(" " + strconv.FormatFloat(value, 'f', -1, 64) + "\n")
}

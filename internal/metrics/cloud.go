package metrics

import (
	"context"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"poise/internal/dataplane"
	"poise/internal/lb"
)

var (
	objectsDesc = prometheus.NewDesc("poise_objects", "Objects of load balancers by kind and status.",
		[]string{"kind", "provisioning_status", "operating_status"}, nil)
	activeDesc      = total("connections", "Connections of clients that are open.")
	connectionsDesc = total("connections_total", "Connections of clients.")
	bytesInDesc     = total("bytes_in_total", "Bytes from clients.")
	bytesOutDesc    = total("bytes_out_total", "Bytes to clients.")
	errorsDesc      = total("errors_total", "Connections or requests that failed on the client's side, or for want of a member.")
	requestsDesc    = total("http_requests_total", "HTTP requests.")
	handshakesDesc  = total("tls_handshakes_total", "TLS handshakes with clients that were completed.")
)

func total(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("poise_dataplane_"+name, help, nil, nil)
}

// cloud collects what is known of all load balancers together.
type cloud struct {
	Config

	mu   sync.Mutex                    // guards what follows
	last map[string]dataplane.Counters // by listener, as of the last look
	sum  dataplane.Counters            // of everything that was ever counted, listeners that are gone included
}

func newCloud(c Config) *cloud { return &cloud{Config: c, last: map[string]dataplane.Counters{}} }

// Describe names the families (prometheus.Collector).
func (c *cloud) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		objectsDesc, activeDesc, connectionsDesc, bytesInDesc, bytesOutDesc, errorsDesc, requestsDesc, handshakesDesc,
	} {
		to <- d
	}
}

// Collect reads all load balancers (prometheus.Collector).
func (c *cloud) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	all, err := c.Balancers(ctx)
	if err != nil {
		to <- prometheus.NewInvalidMetric(objectsDesc, err)
		return
	}
	for status, n := range statuses(all) {
		to <- prometheus.MustNewConstMetric(objectsDesc, prometheus.GaugeValue, float64(n), status.kind, status.provisioning, status.operating)
	}
	sum := c.count(all)
	to <- prometheus.MustNewConstMetric(activeDesc, prometheus.GaugeValue, float64(sum.Active))
	for desc, n := range map[*prometheus.Desc]uint64{
		connectionsDesc: sum.Total, bytesInDesc: sum.BytesIn, bytesOutDesc: sum.BytesOut, errorsDesc: sum.Errors,
		requestsDesc: sum.Requests, handshakesDesc: sum.Handshakes,
	} {
		to <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n))
	}
}

type status struct{ kind, provisioning, operating string }

// statuses counts objects.
func statuses(all []lb.Snapshot) map[status]int {
	counts := map[status]int{}
	for _, s := range all {
		var pool *lb.Pool // the last one: members follow theirs
		s.Tree.Walk(func(kind lb.Kind, _ string, o *lb.Object, whole any) {
			operating := s.Operating(o)
			switch it := whole.(type) {
			case *lb.Pool:
				pool = it
			case *lb.Member:
				operating = s.OperatingMember(pool, it)
			}
			name := strings.ToLower(strings.ReplaceAll(string(kind), " ", ""))
			counts[status{name, string(s.Provisioning(o)), string(operating)}]++
		})
	}
	return counts
}

// count adds what was counted since the last look. A counter that has become less belongs to a data plane that has begun
// anew.
func (c *cloud) count(all []lb.Snapshot) dataplane.Counters {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := map[string]dataplane.Counters{}
	c.sum.Active = 0
	for _, s := range all {
		for id, now := range c.Counters(s.Tree.ID) {
			before := c.last[id]
			if now.Total < before.Total {
				before = dataplane.Counters{}
			}
			seen[id] = now
			c.sum.Active += now.Active
			c.sum.Total += now.Total - before.Total
			c.sum.BytesIn += since(now.BytesIn, before.BytesIn)
			c.sum.BytesOut += since(now.BytesOut, before.BytesOut)
			c.sum.Errors += since(now.Errors, before.Errors)
			c.sum.Requests += since(now.Requests, before.Requests)
			c.sum.Handshakes += since(now.Handshakes, before.Handshakes)
		}
	}
	c.last = seen
	return c.sum
}

// since is how much was added: nothing when two looks at the same moment have come in the wrong order.
func since(now, before uint64) uint64 { return now - min(now, before) }

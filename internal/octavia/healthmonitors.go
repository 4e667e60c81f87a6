package octavia

import (
	"encoding/json"
	"iter"

	"poise/internal/lb"
)

var healthMonitors = &resource{
	kind: lb.KindHealthMonitor, policy: "healthmonitor", path: "/healthmonitors",
	envelope: "healthmonitor", plural: "healthmonitors", argument: "health_monitor_",

	attributes: append(projectAttributes(), attributes{
		idAttribute, nameAttribute, provisioningAttribute, operatingAttribute, adminAttribute, createdAttribute, updatedAttribute,
		{name: "type", use: mandatory, kind: oneOf(lb.MonitorTypes...), read: func(o object) any { return o.monitor.Type }},
		{
			name: "delay", use: mandatory | onUpdate, kind: integer(0, unlimited),
			read: func(o object) any { return o.monitor.DelaySec },
		},
		{
			name: "timeout", use: mandatory | onUpdate, kind: integer(0, unlimited),
			read: func(o object) any { return o.monitor.TimeoutSec },
		},
		{
			name: "max_retries", aliases: []string{"rise_threshold"}, use: mandatory | onUpdate, kind: integer(1, lb.MaxMonitorTries),
			read: func(o object) any { return o.monitor.MaxRetries },
		},
		{
			name: "max_retries_down", aliases: []string{"fall_threshold"}, use: changeable, kind: integer(1, lb.MaxMonitorTries),
			read: func(o object) any { return o.monitor.MaxRetriesDown },
		},
		{name: "pool_id", use: mandatory | hidden, kind: identity, read: func(o object) any { return o.pool.ID }},
		{
			name: "pools", use: composed,
			read: func(o object) any { return []reference{{o.pool.ID}} },
		},
		httpOption("http_method", oneOf(lb.HTTPMethods...), func(m *lb.HealthMonitor) string { return m.HTTPMethod }),
		httpOption("url_path", urlPath, func(m *lb.HealthMonitor) string { return m.URLPath }),
		httpOption("expected_codes", matching(`^(\d{3}(\s*,\s*\d{3})*)$|^(\d{3}-\d{3})$`),
			func(m *lb.HealthMonitor) string { return m.ExpectedCodes }),
		{name: "http_version", use: changeable, kind: oneVersion(lb.HTTPVersions...), read: readHTTPVersion},
		httpOption("domain_name", matching(domainName), func(m *lb.HealthMonitor) string { return m.DomainName }),
		tagsAttribute,
	}...),

	objects: func(s lb.Snapshot, _ string) iter.Seq[object] {
		return func(yield func(object) bool) {
			for _, p := range s.Tree.Pools {
				if p.Monitor != nil && !yield(object{Snapshot: s, base: &p.Monitor.Object, pool: p, monitor: p.Monitor}) {
					return
				}
			}
		}
	},
	parent: func(c *call, in request) (lb.Snapshot, error) { return c.referredTo(lb.KindPool, "pool_id", in) },
	create: func(t *lb.LoadBalancer, id string, in values) error {
		_, err := t.CreateHealthMonitor(get[string](in, "pool_id"), monitorCreate(id, in))
		return err
	},
	update: func(t *lb.LoadBalancer, o object, in values) error {
		_, err := t.UpdateHealthMonitor(o.base.ID, monitorAttrs(in))
		return err
	},
	remove: func(t *lb.LoadBalancer, o object) error { return t.DeleteHealthMonitor(o.base.ID) },
}

// domainName is a DNS name; underscores are allowed, as they are in use.
const domainName = `^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?$`

// httpOption is an attribute that only HTTP health monitors have.
func httpOption(name string, kind kind, read func(*lb.HealthMonitor) string) attribute {
	return attribute{name: name, use: changeable, kind: kind, read: func(o object) any { return orNull(read(o.monitor)) }}
}

// readHTTPVersion shows a version as a number, 1.0 included.
func readHTTPVersion(o object) any {
	if o.monitor.HTTPVersion == "" {
		return nil
	}
	return json.Number(o.monitor.HTTPVersion)
}

func monitorCreate(id string, in values) lb.HealthMonitorCreate {
	return lb.HealthMonitorCreate{HealthMonitorAttrs: monitorAttrs(in), ID: id, Type: get[string](in, "type")}
}

func monitorAttrs(in values) lb.HealthMonitorAttrs {
	return lb.HealthMonitorAttrs{
		Common:         common(in),
		DelaySec:       opt[int](in, "delay"),
		TimeoutSec:     opt[int](in, "timeout"),
		MaxRetries:     opt[int](in, "max_retries"),
		MaxRetriesDown: opt[int](in, "max_retries_down"),
		HTTPMethod:     opt[string](in, "http_method"),
		URLPath:        opt[string](in, "url_path"),
		ExpectedCodes:  opt[string](in, "expected_codes"),
		HTTPVersion:    opt[string](in, "http_version"),
		DomainName:     opt[string](in, "domain_name"),
	}
}

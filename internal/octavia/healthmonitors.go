package octavia

import (
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
			name: "max_retries", alias: "rise_threshold", use: mandatory | onUpdate, kind: integer(1, lb.MaxMonitorTries),
			read: func(o object) any { return o.monitor.MaxRetries },
		},
		{
			name: "max_retries_down", alias: "fall_threshold", use: changeable, kind: integer(1, lb.MaxMonitorTries),
			read: func(o object) any { return o.monitor.MaxRetriesDown },
		},
		{name: "pool_id", use: mandatory | hidden, kind: identity, read: func(o object) any { return o.pool.ID }},
		{
			name: "pools", use: composed,
			read: func(o object) any { return []reference{{o.pool.ID}} },
		},
		httpOption("http_method", oneOf("GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "OPTIONS", "CONNECT", "PATCH")),
		httpOption("url_path", urlPath),
		httpOption("expected_codes", matching(`^(\d{3}(\s*,\s*\d{3})*)$|^(\d{3}-\d{3})$`)),
		fixed("http_version", changeable, oneVersion("1.0", "1.1"), nil),
		fixed("domain_name", changeable, text(lb.MaxName), nil),
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
		attrs := monitorAttrs(in)
		for _, name := range httpOptions {
			if in[name] != nil { // null asks for nothing on create
				attrs.HTTPOptions = append(attrs.HTTPOptions, name)
			}
		}
		_, err := t.CreateHealthMonitor(get[string](in, "pool_id"), lb.HealthMonitorCreate{
			HealthMonitorAttrs: attrs, ID: id, Type: get[string](in, "type"),
		})
		return err
	},
	update: func(t *lb.LoadBalancer, o object, in values) error {
		attrs := monitorAttrs(in)
		for _, name := range httpOptions {
			if _, given := in[name]; given {
				attrs.HTTPOptions = append(attrs.HTTPOptions, name)
			}
		}
		_, err := t.UpdateHealthMonitor(o.base.ID, attrs)
		return err
	},
	remove: func(t *lb.LoadBalancer, o object) error { return t.DeleteHealthMonitor(o.base.ID) },
}

// httpOptions are the attributes that only HTTP health monitors have.
var httpOptions = []string{"http_method", "url_path", "expected_codes"}

func httpOption(name string, kind kind) attribute {
	return attribute{name: name, use: changeable, kind: kind, read: func(object) any { return nil }}
}

func monitorAttrs(in values) lb.HealthMonitorAttrs {
	return lb.HealthMonitorAttrs{
		Common:         common(in),
		DelaySec:       opt[int](in, "delay"),
		TimeoutSec:     opt[int](in, "timeout"),
		MaxRetries:     opt[int](in, "max_retries"),
		MaxRetriesDown: opt[int](in, "max_retries_down"),
	}
}

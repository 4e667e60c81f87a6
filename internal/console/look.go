package console

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/a-h/templ"
)

// navEntry is a line of the navigation; its address is below [Base].
type navEntry struct{ title, address, icon string }

type navGroup struct {
	title   string // "" for what stands alone
	entries []navEntry
}

var navigation = []navGroup{
	{"", []navEntry{{"Dashboard", "/", "dashboard"}}},
	{"Networking", []navEntry{
		{"Load Balancers", "/load-balancers", "balancer"},
		{"Floating IPs", "/floating-ips", "address"},
		{"Networks", "/networks", "network"},
		{"Ports", "/ports", "port"},
	}},
	{"Compute", []navEntry{{"Servers", "/servers", "server"}}},
	{"", []navEntry{
		{"Certificates", "/certificates", "certificate"}, {"Flavors", "/flavors", "flavor"}, {"Quotas", "/quotas", "quota"},
	}},
}

// toneOf is how good a status is; it is also the name of its icon.
func toneOf(word string) string {
	switch word {
	case "ONLINE", "ACTIVE", "UP":
		return "ok"
	case "ERROR", "SHUTOFF":
		return "bad"
	case "DEGRADED", "DRAINING":
		return "warn"
	}
	if strings.HasPrefix(word, "PENDING_") || word == "BUILD" {
		return "busy"
	}
	return "off"
}

// isUnwell tells whether an object's status needs an explanation.
func isUnwell(o object) bool {
	return toneOf(o.Operating) == "bad" || toneOf(o.Operating) == "warn" || toneOf(o.Provisioning) == "bad"
}

// invalid are the attributes that tell screen readers what is said about a field.
func invalid(f *form, name string) templ.Attributes {
	if f.errors[name] == "" {
		return nil
	}
	return templ.Attributes{"aria-invalid": "true", "aria-describedby": "error-" + name}
}

// short is the beginning of an id.
func short(id string) string {
	if len(id) <= 13 {
		return id
	}
	return id[:8] + "…"
}

func statusText(status int) string {
	if status == http.StatusNotFound {
		return "Not found"
	}
	return http.StatusText(status)
}

// icons are drawn with lines of 1.5 in a square of 16 (console.css).
var icons = map[string]string{
	"ok":          "M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 0 0 0-13zM5 8.2l2.2 2.2L11.2 6",
	"bad":         "M5.3 1.5h5.4l3.8 3.8v5.4l-3.8 3.8H5.3L1.5 10.7V5.3zM5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4",
	"warn":        "M8 2L14.5 13.5H1.5zM8 6.5v3.2M8 11.6v.1",
	"busy":        "M8 1.5a6.5 6.5 0 1 1-6.5 6.5M8 4.5V8l2.5 1.5",
	"off":         "M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 0 0 0-13zM5 8h6",
	"plus":        "M8 3v10M3 8h10",
	"close":       "M4 4l8 8M12 4l-8 8",
	"copy":        "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z",
	"dots":        "M8 3.4v.1M8 8v.1M8 12.5v.1",
	"pen":         "M8 2.5H2.5v11h11V8M7 9l.4-2.2L12.8 1.5l1.7 1.7L9.2 8.6z",
	"list":        "M6 4h8M6 8h8M6 12h8M2.5 4v.1M2.5 8v.1M2.5 12v.1",
	"bin":         "M2.5 4.5h11M6 4.5v-2h4v2M4 4.5l.6 9h6.8l.6-9M6.8 7v4M9.2 7v4",
	"person":      "M8 8a3 3 0 1 0 0-6a3 3 0 0 0 0 6zM2.5 14c.5-3 2.7-4 5.5-4s5 1 5.5 4",
	"down":        "M4 6l4 4l4-4",
	"up":          "M4 10l4-4l4 4",
	"dashboard":   "M2 2h5v6H2zM9 2h5v3.5H9zM9 8h5v6H9zM2 10.5h5V14H2z",
	"balancer":    "M8 2v3M3 11V8h10v3M8 5v3M1.5 11h3v3h-3zM6.5 11h3v3h-3zM11.5 11h3v3h-3zM8 8v3",
	"address":     "M8 14.5c3-3.5 4.5-5.8 4.5-8a4.5 4.5 0 0 0-9 0c0 2.2 1.5 4.5 4.5 8zM8 8a1.5 1.5 0 1 0 0-3a1.5 1.5 0 0 0 0 3z",
	"network":     "M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 0 0 0-13zM1.5 8h13M8 1.5c-4 4-4 9 0 13M8 1.5c4 4 4 9 0 13",
	"port":        "M2 4h12v8h-3v2H5v-2H2zM5 4v3M8 4v3M11 4v3",
	"server":      "M2 2.5h12v4.5H2zM2 9h12v4.5H2zM4.5 4.7v.1M4.5 11.2v.1",
	"certificate": "M2 3h12v7.5H2zM4.5 5.7h7M4.5 7.8h3.5M10.8 8.2a1.8 1.8 0 1 0 0 3.6a1.8 1.8 0 0 0 0-3.6zM9.8 11.6v3l1-.7l1 .7v-3",
	"flavor":      "M8 1.5l6 3.2v6.6l-6 3.2l-6-3.2V4.7zM2 4.7l6 3.2l6-3.2M8 7.9v6.6",
	"quota":       "M2 13a6 6 0 1 1 12 0M8 13l3-4.5M3.5 13h9",
	"search":      "M7 2.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 0 0 0-9zM10.3 10.3L14 14",
}

// readableTime is a time of the APIs, which is in UTC and does not say so.
func readableTime(at string) string {
	t, err := time.Parse("2006-01-02T15:04:05", strings.TrimSuffix(at, "Z"))
	if err != nil {
		return at
	}
	return t.Format("2 Jan 2006, 15:04:05") + " UTC"
}

// query is a query of one parameter.
func query(name, value string) string { return url.Values{name: {value}}.Encode() }

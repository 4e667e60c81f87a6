package gateway

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"

	"poise/internal/dataplane/accesslog"
	"poise/internal/dataplane/l7"
)

// serveMetrics serves a PROMETHEUS listener: GET or HEAD of /metrics; all else is refused (octavia-dataplane.md §7).
func (x *exchange) serveMetrics() {
	path, _, _ := strings.Cut(x.request.Path, "?")
	method := x.request.Method
	if path != "/metrics" || method != http.MethodGet && method != http.MethodHead || x.session.metrics == nil {
		x.answer(&l7.Answer{Status: http.StatusForbidden, End: accesslog.Denied})
		return
	}
	var page bytes.Buffer
	x.session.metrics(&page)
	header := x.w.Header()
	header.Set("Content-Type", "text/plain; version=0.0.4")
	header.Set("Cache-Control", "no-cache")
	header.Set("Content-Length", strconv.Itoa(page.Len()))
	x.begin(http.StatusOK)
	if x.write(page.Bytes()) {
		x.end = accesslog.Complete
	}
}

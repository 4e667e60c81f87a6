package lb

// MonitorTypes are Octavia's kinds of health check, in the order of its messages.
var MonitorTypes = []string{
	MonitorPing, MonitorTCP, MonitorHTTP, MonitorTLSHello, MonitorUDPConnect, MonitorHTTPS, MonitorSCTP,
}

// The kinds of health check. SCTP is known and not served.
const (
	MonitorPing       = "PING"
	MonitorTCP        = "TCP"
	MonitorHTTP       = "HTTP"
	MonitorTLSHello   = "TLS-HELLO"
	MonitorUDPConnect = "UDP-CONNECT"
	MonitorHTTPS      = "HTTPS"
	MonitorSCTP       = "SCTP"
)

// HTTPMethods are the methods of an HTTP check.
var HTTPMethods = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "OPTIONS", "CONNECT", "PATCH"}

// HTTPVersions are the versions of an HTTP check.
var HTTPVersions = []string{"1.0", "1.1"}

const (
	defaultMaxRetriesDown = 3
	defaultHTTPMethod     = "GET"
	defaultURLPath        = "/"
	defaultExpectedCodes  = "200"
	// minUDPConnectDelaySec is the shortest delay of UDP-CONNECT checks.
	minUDPConnectDelaySec = 3
)

// HealthMonitor says how the members of a pool are checked.
type HealthMonitor struct {
	Object
	Type           string `json:"type"`
	DelaySec       int    `json:"delay"`
	TimeoutSec     int    `json:"timeout"`
	MaxRetries     int    `json:"max_retries"`      // successes that bring a member up
	MaxRetriesDown int    `json:"max_retries_down"` // failures that take a member down

	// Of HTTP and HTTPS checks.
	HTTPMethod    string `json:"http_method,omitempty"`
	URLPath       string `json:"url_path,omitempty"`
	ExpectedCodes string `json:"expected_codes,omitempty"` // "200", "200, 202" or "200-204"
	HTTPVersion   string `json:"http_version,omitempty"`   // "": 1.0 without Host
	DomainName    string `json:"domain_name,omitempty"`    // the Host, with version 1.1
}

// HealthMonitorAttrs are the attributes of a health monitor that can be changed.
type HealthMonitorAttrs struct {
	Common
	DelaySec       Opt[int]
	TimeoutSec     Opt[int]
	MaxRetries     Opt[int]
	MaxRetriesDown Opt[int]
	HTTPMethod     Opt[string]
	URLPath        Opt[string]
	ExpectedCodes  Opt[string]
	HTTPVersion    Opt[string]
	DomainName     Opt[string]
}

// HealthMonitorCreate makes a health monitor.
type HealthMonitorCreate struct {
	HealthMonitorAttrs
	ID   string
	Type string
}

// CreateHealthMonitor gives a pool its health monitor (octavia-rules.md §5).
func (t *LoadBalancer) CreateHealthMonitor(poolID string, in HealthMonitorCreate) (*HealthMonitor, error) {
	p, err := t.mutablePool(poolID)
	if err != nil {
		return nil, err
	}
	m := &HealthMonitor{Object: t.newObject(in.ID, in.Common), Type: in.Type, MaxRetriesDown: defaultMaxRetriesDown}
	if m.speaksHTTP() {
		m.HTTPMethod, m.URLPath, m.ExpectedCodes = defaultHTTPMethod, defaultURLPath, defaultExpectedCodes
	}
	if err := checkMonitorType(p, m.Type); err != nil {
		return nil, err
	}
	if err := m.change(in.HealthMonitorAttrs.withoutNulls()); err != nil {
		return nil, err
	}
	if p.Monitor != nil && !p.Monitor.Deleted { // one that is on its way out may be replaced
		return nil, errConflict("pool_id", "This pool already has a health monitor")
	}
	if m.Type == MonitorSCTP {
		return nil, ErrUnsupported("type", "health monitors of type SCTP are not supported.")
	}
	p.Monitor = m
	t.touchUsers(p)
	return m, nil
}

// withoutNulls are the attributes of a new health monitor, in which an HTTP attribute that is null is as good as missing.
func (in HealthMonitorAttrs) withoutNulls() HealthMonitorAttrs {
	for _, o := range []*Opt[string]{&in.HTTPMethod, &in.URLPath, &in.ExpectedCodes} {
		if o.Null {
			*o = Opt[string]{}
		}
	}
	return in
}

// checkMonitorType refuses a check that cannot be made of such a pool's members.
func checkMonitorType(p *Pool, kind string) error {
	overUDP := kind == MonitorUDPConnect || kind == MonitorSCTP
	switch {
	case p.Protocol.datagrams() && !overUDP && kind != MonitorTCP && kind != MonitorHTTP:
		return ErrValidation("type", "The associated pool protocol is %s, so only a UDP-CONNECT/SCTP/TCP/HTTP health monitor is supported.", p.Protocol)
	case !p.Protocol.datagrams() && overUDP:
		return ErrValidation("type", "The %s type is only supported for pools of type UDP/SCTP.", kind)
	}
	return nil
}

func (m *HealthMonitor) speaksHTTP() bool { return m.Type == MonitorHTTP || m.Type == MonitorHTTPS }

// UpdateHealthMonitor changes a health monitor.
func (t *LoadBalancer) UpdateHealthMonitor(id string, in HealthMonitorAttrs) (*HealthMonitor, error) {
	p, err := t.mutableMonitor(id)
	if err != nil {
		return nil, err
	}
	if err := p.Monitor.change(in); err != nil {
		return nil, err
	}
	in.apply(&p.Monitor.Object)
	t.touch(&p.Monitor.Object)
	t.touchUsers(p)
	return p.Monitor, nil
}

// DeleteHealthMonitor removes a health monitor; the members then count as usable, unchecked.
func (t *LoadBalancer) DeleteHealthMonitor(id string) error {
	p, err := t.mutableMonitor(id)
	if err != nil {
		return err
	}
	t.remove(&p.Monitor.Object)
	t.touchUsers(p)
	return nil
}

// mutableMonitor finds the pool of a health monitor that may be changed.
func (t *LoadBalancer) mutableMonitor(id string) (*Pool, error) {
	p, err := t.PoolOfMonitor(id)
	if err != nil {
		return nil, err
	}
	if err := t.mutable(KindPool, &p.Object); err != nil {
		return nil, err
	}
	return p, t.mutable(KindHealthMonitor, &p.Monitor.Object)
}

// change checks and writes the attributes beyond the common ones.
func (m *HealthMonitor) change(in HealthMonitorAttrs) error {
	if err := in.check(m); err != nil {
		return err
	}
	in.DelaySec.Into(&m.DelaySec, 0)
	in.TimeoutSec.Into(&m.TimeoutSec, 0)
	in.MaxRetries.Into(&m.MaxRetries, 0)
	in.MaxRetriesDown.Into(&m.MaxRetriesDown, defaultMaxRetriesDown)
	in.HTTPMethod.Into(&m.HTTPMethod, defaultHTTPMethod)
	in.URLPath.Into(&m.URLPath, defaultURLPath)
	in.ExpectedCodes.Into(&m.ExpectedCodes, defaultExpectedCodes)
	in.HTTPVersion.Into(&m.HTTPVersion, "")
	in.DomainName.Into(&m.DomainName, "")
	switch {
	case m.Type == MonitorUDPConnect && m.DelaySec < minUDPConnectDelaySec:
		return ErrValidation("delay", "The request delay value %d should be larger than %d for UDP-CONNECT health monitor type.",
			m.DelaySec, minUDPConnectDelaySec)
	case m.DomainName != "" && m.HTTPVersion == "":
		return ErrValidation("http_version", "'http_version' must be specified when 'domain_name' is provided.")
	case m.DomainName != "" && m.HTTPVersion != "1.1":
		return ErrOption("http_version", "http_version "+m.HTTPVersion, "health monitors HTTP 1.1 domain name health check")
	}
	return nil
}

// check refuses nulls where there must be a value, and attributes of HTTP for other checks.
func (in HealthMonitorAttrs) check(m *HealthMonitor) error {
	for _, required := range []struct {
		name string
		null bool
	}{{"delay", in.DelaySec.Null}, {"timeout", in.TimeoutSec.Null}, {"max_retries", in.MaxRetries.Null}} {
		if required.null {
			return ErrOption(required.name, "None", required.name)
		}
	}
	if m.speaksHTTP() {
		return nil
	}
	for _, http := range []struct {
		name string
		set  bool
	}{{"http_method", in.HTTPMethod.Set}, {"url_path", in.URLPath.Set}, {"expected_codes", in.ExpectedCodes.Set}} {
		if http.set {
			return ErrOption(http.name, http.name, "health monitors of type "+m.Type)
		}
	}
	return nil
}

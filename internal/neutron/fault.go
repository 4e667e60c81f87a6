package neutron

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"poise/internal/rest"
)

// refusal is an answer in Neutron's form: its type is an exception's name there and part of the wire.
type refusal struct {
	status  int
	kind    string
	message string
}

// The types that this room itself tells apart.
const (
	kindFull    = "IpAddressGenerationFailure"
	kindInUse   = "IpAddressInUse"
	kindOutside = "InvalidIpForSubnet"

	kindOverQuota = "OverQuota"
)

func (r *refusal) Error() string { return r.message }

// Status is the HTTP status that the refusal is answered with; the compute service passes it on.
func (r *refusal) Status() int { return r.status }

func badRequest(kind, format string, args ...any) error {
	return &refusal{http.StatusBadRequest, kind, fmt.Sprintf(format, args...)}
}

func invalid(name, format string, args ...any) error {
	return badRequest("HTTPBadRequest", "Invalid input for %s. Reason: %s.", name, fmt.Sprintf(format, args...))
}

func conflict(kind, format string, args ...any) error {
	return &refusal{http.StatusConflict, kind, fmt.Sprintf(format, args...)}
}

func notFound(kind, format string, args ...any) error {
	return &refusal{http.StatusNotFound, kind, fmt.Sprintf(format, args...)}
}

// forbidden says that the policy keeps the caller from what rule names ("create_network:shared").
func forbidden(rule string) error {
	return &refusal{http.StatusForbidden, "PolicyNotAuthorized", fmt.Sprintf("rule:%s is disallowed by policy", rule)}
}

func unsupported(what string) error {
	return &refusal{http.StatusNotImplemented, "NotImplementedError", what + " are not supported."}
}

// kinds are the types of what every API refuses, by status.
var kinds = map[int]string{
	http.StatusBadRequest: "HTTPBadRequest", http.StatusRequestTimeout: "HTTPRequestTimeout",
	http.StatusRequestEntityTooLarge: "HTTPRequestEntityTooLarge", http.StatusServiceUnavailable: "HTTPServiceUnavailable",
}

// notOffered are the parts of Neutron that clients look for most and that there are not, by the first segment of their paths.
var notOffered = map[string]string{
	"trunks": "Trunks", "rbac-policies": "RBAC policies", "address-groups": "Address groups", "address-scopes": "Address scopes",
	"segments": "Segments", "network-ip-availabilities": "Network IP availabilities", "metering": "Metering", "flavors": "Flavors",
	"service-profiles": "Service profiles", "auto-allocated-topology": "Auto-allocated topologies", "log": "Logs of packets",
	"local-ips": "Local IPs", "ndp-proxies": "NDP proxies", "conntrack-helpers": "Helpers of connection tracking",
}

// missingRoute says what is not offered, where that is known.
func missingRoute(path string) string {
	segment, _, _ := strings.Cut(strings.TrimPrefix(path, "/v2.0/"), "/")
	if what, known := notOffered[strings.ReplaceAll(segment, "_", "-")]; known {
		return what + " are not offered here. /v2.0/extensions lists what is."
	}
	return "The resource could not be found."
}

// fault writes err as Neutron's JSON. What is not a refusal is logged, and its detail stays in the log.
func (s *Service) fault(w http.ResponseWriter, r *http.Request, err error) {
	var refused *refusal
	common, isCommon := rest.Status(err)
	switch {
	case errors.As(err, &refused):
	case errors.Is(err, rest.ErrNoRoute):
		refused = &refusal{http.StatusNotFound, "HTTPNotFound", missingRoute(r.URL.Path)}
	case errors.Is(err, rest.ErrMethod):
		refused = &refusal{http.StatusMethodNotAllowed, "HTTPMethodNotAllowed", "The method is not allowed for this resource."}
	case isCommon:
		refused = &refusal{common, kinds[common], err.Error()}
	default:
		s.log.ErrorContext(r.Context(), "request failed", "request", rest.RequestID(r.Context()), "err", err)
		refused = &refusal{
			http.StatusInternalServerError, "HTTPInternalServerError",
			"Request failed: internal server error while processing your request.",
		}
	}
	rest.WriteJSON(w, refused.status, map[string]any{
		"NeutronError": map[string]any{"type": refused.kind, "message": refused.message, "detail": ""},
	})
}

package keystone

import (
	"context"
	"net/http"
	"net/url"
)

// catalogService and catalogEndpoint are the catalogue as tokens carry it. It is configured, not stored.
type catalogService struct {
	Endpoints []catalogEndpoint `json:"endpoints"`
	ID        string            `json:"id"`
	Type      string            `json:"type"`
	Name      string            `json:"name"`
}

type catalogEndpoint struct {
	ID        string `json:"id"`
	Interface string `json:"interface"`
	RegionID  string `json:"region_id"`
	URL       string `json:"url"`
	Region    string `json:"region"`
}

// makeCatalog offers each service, and the identity service itself, under the same address on all three interfaces.
func makeCatalog(publicURL, region string, others []Endpoint) []catalogService {
	var catalog []catalogService
	for _, e := range append([]Endpoint{{Type: "identity", Name: "keystone", Path: Path}}, others...) {
		service := catalogService{ID: namedID("service", e.Type), Type: e.Type, Name: e.Name}
		for _, side := range []string{"public", "internal", "admin"} {
			service.Endpoints = append(service.Endpoints, catalogEndpoint{
				ID: namedID("endpoint", e.Type, side), Interface: side, RegionID: region, Region: region, URL: publicURL + e.Path,
			})
		}
		catalog = append(catalog, service)
	}
	return catalog
}

func (s *Service) showCatalog(_ context.Context, r *request) (answer, error) {
	if len(r.caller.roles) == 0 {
		return answer{}, errForbidden(r.action)
	}
	return ok(map[string]any{"catalog": s.catalog, "links": s.selfLink("auth/catalog")})
}

func (s *Service) listRegions(_ context.Context, r *request) (answer, error) {
	return s.list(r, "regions", []any{s.regionJSON()})
}

func (s *Service) showRegion(_ context.Context, r *request) (answer, error) {
	if id := r.PathValue("id"); id != s.region {
		return answer{}, errNotFound("region", id)
	}
	return ok(map[string]any{"region": s.regionJSON()})
}

func (s *Service) regionJSON() map[string]any {
	return map[string]any{
		"id": s.region, "description": "", "parent_region_id": nil, "links": s.selfLink("regions/" + url.PathEscape(s.region)),
	}
}

func (s *Service) listServices(_ context.Context, r *request) (answer, error) {
	query := r.URL.Query()
	services := []any{}
	for _, service := range s.catalog {
		if asked(query, "type", service.Type) && asked(query, "name", service.Name) {
			services = append(services, s.serviceJSON(service))
		}
	}
	return s.list(r, "services", services)
}

func (s *Service) showService(_ context.Context, r *request) (answer, error) {
	for _, service := range s.catalog {
		if service.ID == r.PathValue("id") {
			return ok(map[string]any{"service": s.serviceJSON(service)})
		}
	}
	return answer{}, errNotFound("service", r.PathValue("id"))
}

func (s *Service) serviceJSON(service catalogService) map[string]any {
	return map[string]any{
		"id": service.ID, "type": service.Type, "name": service.Name, "enabled": true, "description": "",
		"links": s.selfLink("services/" + service.ID),
	}
}

func (s *Service) listEndpoints(_ context.Context, r *request) (answer, error) {
	query := r.URL.Query()
	endpoints := []any{}
	for _, service := range s.catalog {
		for _, e := range service.Endpoints {
			if asked(query, "service_id", service.ID) && asked(query, "interface", e.Interface) &&
				asked(query, "region_id", e.RegionID) && asked(query, "region", e.Region) {
				endpoints = append(endpoints, s.endpointJSON(service, e))
			}
		}
	}
	return s.list(r, "endpoints", endpoints)
}

func (s *Service) showEndpoint(_ context.Context, r *request) (answer, error) {
	for _, service := range s.catalog {
		for _, e := range service.Endpoints {
			if e.ID == r.PathValue("id") {
				return ok(map[string]any{"endpoint": s.endpointJSON(service, e)})
			}
		}
	}
	return answer{}, errNotFound("endpoint", r.PathValue("id"))
}

func (s *Service) endpointJSON(service catalogService, e catalogEndpoint) map[string]any {
	return map[string]any{
		"id": e.ID, "interface": e.Interface, "region": e.Region, "region_id": e.RegionID, "service_id": service.ID,
		"url": e.URL, "enabled": true, "links": s.selfLink("endpoints/" + e.ID),
	}
}

// asked tells whether the value passes the filter; a filter that is not there passes all.
func asked(query url.Values, filter, value string) bool {
	return !query.Has(filter) || query.Get(filter) == value
}

// The version documents, by which clients find out that this is Identity v3. 3.14 is that of Keystone's Ussuri to 2024.
func (s *Service) versionJSON() map[string]any {
	return map[string]any{
		"id": "v3.14", "status": "stable", "updated": "2020-04-07T00:00:00Z",
		"links":       []map[string]string{{"rel": "self", "href": s.publicURL + "/v3/"}},
		"media-types": []map[string]string{{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}},
	}
}

func (s *Service) listVersions(context.Context, *request) (answer, error) {
	return answer{
		status: http.StatusMultipleChoices,
		body:   map[string]any{"versions": map[string]any{"values": []any{s.versionJSON()}}},
	}, nil
}

func (s *Service) showVersion(context.Context, *request) (answer, error) {
	return ok(map[string]any{"version": s.versionJSON()})
}

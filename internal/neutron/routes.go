package neutron

import (
	"context"
	"net/http"
	"strings"

	"poise/internal/rest"
)

func (s *Service) routes() []rest.Route {
	table := []rest.Route{
		{Method: http.MethodGet, Pattern: "/", Handler: s.serveVersions},
		{Method: http.MethodGet, Pattern: "/v2.0", Handler: s.serveResources},
		{Method: http.MethodPut, Pattern: "/v2.0/routers/{id}/add_router_interface", Handler: s.serveAddInterface},
		{Method: http.MethodPut, Pattern: "/v2.0/routers/{id}/remove_router_interface", Handler: s.serveRemoveInterface},
		{Method: http.MethodPut, Pattern: "/v2.0/routers/{id}/add_extraroutes", Handler: s.serveAddRoutes},
		{Method: http.MethodPut, Pattern: "/v2.0/routers/{id}/remove_extraroutes", Handler: s.serveRemoveRoutes},
		{Method: http.MethodGet, Pattern: "/v2.0/extensions", Handler: s.serveExtensions},
		{Method: http.MethodGet, Pattern: "/v2.0/extensions/{alias}", Handler: s.serveExtension},
	}
	table = append(table, s.quotaRoutes()...)
	table = append(table, s.subnetPoolRoutes()...)
	table = append(table, s.qosRuleRoutes()...)
	for path, name := range emptyCollections {
		table = append(table, rest.Route{Method: http.MethodGet, Pattern: "/v2.0/" + path, Handler: serveEmpty(name)})
	}
	for _, k := range s.kinds() {
		table = append(table, s.routesOf(k)...)
		table = append(table, s.tagRoutesOf(k)...)
	}
	for _, route := range table {
		if other := otherSpelling(route.Pattern); other != route.Pattern {
			table = append(table, rest.Route{Method: route.Method, Pattern: other, Handler: route.Handler})
		}
	}
	return table
}

// otherSpelling is the pattern with "_" for "-" in the name of its collection, or the other way round: clients use both, and
// Neutron takes both.
func otherSpelling(pattern string) string {
	const version = "/v2.0/"
	path, ok := strings.CutPrefix(pattern, version)
	if !ok {
		return pattern
	}
	collection, rest, deeper := strings.Cut(path, "/")
	if strings.Contains(collection, "-") {
		collection = strings.ReplaceAll(collection, "-", "_")
	} else {
		collection = strings.ReplaceAll(collection, "_", "-")
	}
	if deeper {
		collection += "/"
	}
	return version + collection + rest
}

// emptyCollections are those that clients look into in passing, by path, with their name in the answer.
var emptyCollections = map[string]string{
	"agents":             "agents",
	"availability_zones": "availability_zones",
}

func serveEmpty(name string) func(w http.ResponseWriter, r *http.Request) error {
	return func(w http.ResponseWriter, _ *http.Request) error {
		rest.WriteJSON(w, http.StatusOK, object{name: []object{}})
		return nil
	}
}

func (s *Service) serveVersions(w http.ResponseWriter, _ *http.Request) error {
	rest.WriteJSON(w, http.StatusOK, object{"versions": []object{{
		"id": "v2.0", "status": "CURRENT", "links": []object{{"rel": "self", "href": s.publicURL + "/v2.0/"}},
	}}})
	return nil
}

func (s *Service) serveResources(w http.ResponseWriter, _ *http.Request) error {
	resources := []object{}
	for _, k := range s.kinds() {
		resources = append(resources, object{
			"name": k.name, "collection": k.plural,
			"links": []object{{"rel": "self", "href": s.publicURL + k.collection()}},
		})
	}
	rest.WriteJSON(w, http.StatusOK, object{"resources": resources})
	return nil
}

func (s *Service) serveAddInterface(w http.ResponseWriter, r *http.Request) error {
	return s.serveInterface(w, r, "add_router_interface", (*change).addInterface)
}

func (s *Service) serveRemoveInterface(w http.ResponseWriter, r *http.Request) error {
	return s.serveInterface(w, r, "remove_router_interface", (*change).removeInterface)
}

func (s *Service) serveInterface(w http.ResponseWriter, r *http.Request, rule string,
	do func(*change, context.Context, *router, wantedInterface) (*port, error),
) error {
	raw, err := rest.ReadText(w, r, rest.MaxBody)
	if err != nil {
		return err
	}
	wanted, err := readInterface(raw)
	if err != nil {
		return err
	}
	var answer object
	err = s.change(r.Context(), rest.CallerFrom(r.Context()), func(ctx context.Context, c *change) error {
		if err := c.heedIfMatch(ctx, s.routers(), r.PathValue("id"), r.Header); err != nil {
			return err
		}
		of, err := c.ownRouter(ctx, r.PathValue("id"), rule)
		if err != nil {
			return err
		}
		leg, err := do(c, ctx, of, wanted)
		if err != nil {
			return err
		}
		answer = interfaceView(of, leg)
		c.topology = true
		return c.save(ctx, of)
	})
	if err != nil {
		return err
	}
	rest.WriteJSON(w, http.StatusOK, answer)
	return nil
}

func interfaceView(r *router, leg *port) object {
	subnets := []string{}
	for _, a := range leg.Addresses {
		subnets = append(subnets, a.SubnetID)
	}
	return object{
		"id": r.ID, "tenant_id": r.ProjectID, "project_id": r.ProjectID, "port_id": leg.ID, "network_id": leg.NetworkID,
		"subnet_id": subnets[0], "subnet_ids": subnets, "tags": r.Tags,
	}
}

package nova

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"poise/internal/rest"
)

// object is JSON on the wire.
type object map[string]any

func (s *Service) routes() []rest.Route {
	return []rest.Route{
		{Method: http.MethodGet, Pattern: "/", Handler: s.serveVersions},
		{Method: http.MethodGet, Pattern: "/v2.1", Handler: s.serveVersion},
		{Method: http.MethodGet, Pattern: "/v2.1/servers", Handler: s.serveBrief},
		{Method: http.MethodGet, Pattern: "/v2.1/servers/detail", Handler: s.serveDetail},
		{Method: http.MethodGet, Pattern: "/v2.1/servers/{id}", Handler: s.serveShow},
		{Method: http.MethodPost, Pattern: "/v2.1/servers", Handler: adminOnly(s.serveCreate)},
		{Method: http.MethodDelete, Pattern: "/v2.1/servers/{id}", Handler: adminOnly(s.serveDelete)},
		{Method: http.MethodPost, Pattern: "/v2.1/servers/{id}/action", Handler: adminOnly(s.serveAction)},
		{Method: http.MethodGet, Pattern: "/v2.1/servers/{id}/metadata", Handler: s.serveMetadata},
		{Method: http.MethodPost, Pattern: "/v2.1/servers/{id}/metadata", Handler: adminOnly(s.serveMetadataChange)},
		{Method: http.MethodPut, Pattern: "/v2.1/servers/{id}/metadata", Handler: adminOnly(s.serveMetadataChange)},
		{Method: http.MethodGet, Pattern: "/v2.1/servers/{id}/metadata/{key}", Handler: s.serveMetadataItem},
		{Method: http.MethodPut, Pattern: "/v2.1/servers/{id}/metadata/{key}", Handler: adminOnly(s.serveMetadataItemChange)},
		{Method: http.MethodDelete, Pattern: "/v2.1/servers/{id}/metadata/{key}", Handler: adminOnly(s.serveMetadataItemDelete)},
		{Method: http.MethodGet, Pattern: "/v2.1/os-quota-sets/{project}", Handler: s.serveQuota},
		{Method: http.MethodGet, Pattern: "/v2.1/os-quota-sets/{project}/defaults", Handler: s.serveQuota},
		{Method: http.MethodGet, Pattern: "/v2.1/flavors", Handler: s.serveFlavors},
		{Method: http.MethodGet, Pattern: "/v2.1/flavors/detail", Handler: s.serveFlavors},
		{Method: http.MethodGet, Pattern: "/v2.1/flavors/{id}", Handler: s.serveFlavor},
		{Method: http.MethodGet, Pattern: "/v2.1/flavors/{id}/os-extra_specs", Handler: s.serveExtraSpecs},
	}
}

// adminOnly keeps changes to administrators: the servers belong to the playground.
func adminOnly(next func(w http.ResponseWriter, r *http.Request) error) func(w http.ResponseWriter, r *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		if !isAdmin(rest.CallerFrom(r.Context())) {
			return &refusal{http.StatusForbidden, "Policy doesn't allow this to be performed: servers are changed by administrators."}
		}
		return next(w, r)
	}
}

func readJSON(w http.ResponseWriter, r *http.Request, into any) error {
	raw, err := rest.ReadText(w, r, rest.MaxBody)
	if err != nil {
		return err
	}
	return decode(raw, into)
}

// decode says what is wrong in the words of the request: which attribute, and what it is that it should not be.
func decode(raw []byte, into any) error {
	err := json.Unmarshal(raw, into)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &wrong):
		return badRequest("The request body is not JSON.")
	case wrong.Field == "":
		return badRequest("The request body must be an object, not a %s.", wrong.Value)
	}
	return badRequest("Invalid input for field/attribute %s. It must not be a %s.", wrong.Field, wrong.Value)
}

func (s *Service) serveBrief(w http.ResponseWriter, r *http.Request) error {
	rows, err := s.wanted(r)
	if err != nil {
		return err
	}
	views := []object{}
	for _, row := range rows {
		views = append(views, object{"id": row.ID, "name": row.Name, "links": s.links("servers", row.ID)})
	}
	rest.WriteJSON(w, http.StatusOK, object{"servers": views})
	return nil
}

func (s *Service) serveDetail(w http.ResponseWriter, r *http.Request) error {
	rows, err := s.wanted(r)
	if err != nil {
		return err
	}
	views := []object{}
	for _, row := range rows {
		view, err := s.view(r.Context(), rest.CallerFrom(r.Context()), row)
		if err != nil {
			return err
		}
		views = append(views, view)
	}
	rest.WriteJSON(w, http.StatusOK, object{"servers": views})
	return nil
}

// wanted lists the servers that the query asks for: name (a part of it), status, marker and limit, and for
// administrators all_tenants with tenant_id or project_id.
func (s *Service) wanted(r *http.Request) ([]*server, error) {
	if err := rest.CheckQuery(r.URL); err != nil {
		return nil, err
	}
	q, caller := r.URL.Query(), rest.CallerFrom(r.Context())
	everywhere, _ := strconv.ParseBool(q.Get("all_tenants"))
	if everywhere && !isAdmin(caller) {
		return nil, &refusal{http.StatusForbidden, "Policy doesn't allow os_compute_api:servers:detail:get_all_tenants to be performed."}
	}
	rows, err := s.list(r.Context(), visible(caller, everywhere))
	if err != nil {
		return nil, err
	}
	project := q.Get("project_id") + q.Get("tenant_id")
	rows = slices.DeleteFunc(rows, func(row *server) bool {
		return !strings.Contains(row.Name, strings.Trim(q.Get("name"), "^$")) || (everywhere && project != "" && row.ProjectID != project) ||
			(q.Get("status") != "" && !strings.EqualFold(q.Get("status"), s.status(row)))
	})
	if marker := q.Get("marker"); marker != "" {
		at := slices.IndexFunc(rows, func(row *server) bool { return row.ID == marker })
		if at < 0 {
			return nil, badRequest("marker [%s] not found", marker)
		}
		rows = rows[at+1:]
	}
	if limit, err := strconv.Atoi(q.Get("limit")); err == nil && limit >= 0 {
		rows = rows[:min(limit, len(rows))]
	}
	return rows, nil
}

func (s *Service) serveShow(w http.ResponseWriter, r *http.Request) error {
	caller := rest.CallerFrom(r.Context())
	row, err := s.find(r.Context(), s.db, caller, r.PathValue("id"))
	if err != nil {
		return err
	}
	view, err := s.view(r.Context(), caller, row)
	if err != nil {
		return err
	}
	rest.WriteJSON(w, http.StatusOK, object{"server": view})
	return nil
}

// newServer is the body of a create request, as far as it means something here.
type newServer struct {
	Name     string            `json:"name"`
	Metadata map[string]string `json:"metadata"`
	Image    string            `json:"imageRef"`
	Flavor   string            `json:"flavorRef"`
	Networks []struct {
		Port    string `json:"port"`
		Network string `json:"uuid"`
		FixedIP string `json:"fixed_ip"`
	} `json:"networks"`
}

// check refuses an image or a flavor that is not there; both may be left out, as there is one of each.
func (n newServer) check() error {
	switch {
	case !nameForm.MatchString(n.Name):
		return badRequest("name must consist of a-z, 0-9 and -, at most 63 characters, not '%s'", n.Name)
	case n.Image != "" && n.Image != imageID:
		return badRequest("Image %s could not be found.", n.Image)
	case n.Flavor != "" && n.Flavor != flavorID && !strings.HasSuffix(n.Flavor, "/flavors/"+flavorID):
		return badRequest("Flavor %s could not be found.", n.Flavor)
	case len(n.Networks) == 0:
		return badRequest("networks must name at least one port or network")
	}
	for i, one := range n.Networks {
		if _, err := netip.ParseAddr(one.FixedIP); err != nil && one.FixedIP != "" {
			return badRequest("Invalid input for field/attribute networks[%d].fixed_ip. '%s' is not an IP address.", i, one.FixedIP)
		}
	}
	return checkMetadata(n.Metadata)
}

func (s *Service) serveCreate(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Server newServer `json:"server"`
	}
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	id, err := s.create(r.Context(), rest.CallerFrom(r.Context()), body.Server)
	if err != nil {
		return err
	}
	rest.WriteJSON(w, http.StatusAccepted, object{"server": object{
		"id": id, "links": s.links("servers", id), "OS-DCF:diskConfig": "MANUAL", "security_groups": []object{},
	}})
	return nil
}

// create writes the server down before it takes ports, so that after a crash they can be found and given back; until
// it has them it counts as stopped.
func (s *Service) create(ctx context.Context, caller rest.Caller, wanted newServer) (id string, err error) {
	if err := wanted.check(); err != nil {
		return "", err
	}
	row := &server{
		ID: uuid.NewString(), ProjectID: caller.ProjectID, UserID: caller.UserID, Name: wanted.Name, Stopped: true,
		Metadata: map[string]string{}, Ports: []string{}, CreatedAt: timestamp(), UpdatedAt: timestamp(),
	}
	maps.Copy(row.Metadata, wanted.Metadata)
	if _, err := s.db.NewInsert().Model(row).Exec(ctx); err != nil {
		return "", fmt.Errorf("server insert: %w", err)
	}
	ctx = context.WithoutCancel(ctx) // once begun, it is carried through
	if err := s.connect(ctx, caller, row, wanted); err != nil {
		return "", errors.Join(err, s.delete(ctx, row))
	}
	_, err = s.edit(ctx, admin, row.ID, func(fresh *server) error {
		fresh.ProjectID, fresh.Ports, fresh.Stopped = row.ProjectID, row.Ports, false
		return nil
	})
	return row.ID, err
}

func (s *Service) connect(ctx context.Context, caller rest.Caller, row *server, wanted newServer) error {
	for i, one := range wanted.Networks {
		port := one.Port
		if port != "" {
			project, err := s.network.TakeServerPort(ctx, caller, row.ID, port)
			if err != nil {
				return err
			}
			if i == 0 {
				row.ProjectID = project
			}
		} else {
			address, _ := netip.ParseAddr(one.FixedIP) // checked; "" leaves the choice to the network
			var err error
			port, err = s.network.MakeServerPort(ctx, caller, row.ID, row.ProjectID, one.Network, address)
			if err != nil {
				return err
			}
		}
		row.Ports = append(row.Ports, port)
	}
	return nil
}

func (s *Service) serveDelete(w http.ResponseWriter, r *http.Request) error {
	row, err := s.find(r.Context(), s.db, rest.CallerFrom(r.Context()), r.PathValue("id"))
	if err != nil {
		return err
	}
	// Once begun, it is carried through.
	if err := s.delete(context.WithoutCancel(r.Context()), row); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Service) delete(ctx context.Context, row *server) error {
	if err := s.network.ReleaseServerPorts(ctx, row.ID); err != nil {
		return fmt.Errorf("ports of the server: %w", err)
	}
	if _, err := s.db.NewDelete().Model(row).WherePK().Exec(ctx); err != nil {
		return fmt.Errorf("server delete: %w", err)
	}
	s.machines.settle(ctx, row.ID)
	return nil
}

func (s *Service) serveAction(w http.ResponseWriter, r *http.Request) error {
	action := map[string]json.RawMessage{}
	if err := readJSON(w, r, &action); err != nil {
		return err
	}
	_, start := action["os-start"]
	_, stop := action["os-stop"]
	if start == stop || len(action) != 1 {
		return badRequest("There is no such action: %s", strings.Join(slices.Sorted(maps.Keys(action)), ", "))
	}
	_, err := s.edit(r.Context(), rest.CallerFrom(r.Context()), r.PathValue("id"), func(row *server) error {
		if row.Stopped == stop {
			return &refusal{
				http.StatusConflict,
				fmt.Sprintf("Cannot '%s' instance %s while it is in vm_state %s", slices.Collect(maps.Keys(action))[0][len("os-"):], row.ID, vmState(row)),
			}
		}
		row.Stopped = stop
		return nil
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

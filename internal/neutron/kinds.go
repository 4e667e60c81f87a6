package neutron

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"reflect"

	"github.com/uptrace/bun"

	"poise/internal/rest"
)

// object is a resource as it stands on the wire.
type object map[string]any

// kind is one collection of the API. The functions know the rules; the handlers around them know HTTP.
type kind struct {
	name, plural string
	path         string // below the version; "": as plural
	// columns are the attributes by which the database can filter.
	columns map[string]string
	// list finds what the caller sees, in no order.
	list func(ctx context.Context, db bun.IDB, caller rest.Caller, n narrow) ([]object, error)
	// create returns the id of the new object.
	create func(ctx context.Context, c *change, b *body) (id string, err error)
	update func(ctx context.Context, c *change, id string, b *body) error
	remove func(ctx context.Context, c *change, id string) error
}

func (s *Service) kinds() []kind {
	return []kind{
		s.networks(), s.subnets(), s.ports(), s.routers(), s.floatingIPs(), s.securityGroups(), s.securityGroupRules(), s.qosPolicies(),
		s.subnetPools(),
	}
}

// collection is where the kind stands below the service's prefix.
func (k kind) collection() string { return "/v2.0/" + cmp.Or(k.path, k.plural) }

// routesOf are the routes that every kind has.
func (s *Service) routesOf(k kind) []rest.Route {
	all, single := k.collection(), k.collection()+"/{id}"
	return []rest.Route{
		{Method: http.MethodGet, Pattern: all, Handler: func(w http.ResponseWriter, r *http.Request) error { return s.serveList(w, r, k) }},
		{Method: http.MethodPost, Pattern: all, Handler: func(w http.ResponseWriter, r *http.Request) error { return s.serveCreate(w, r, k) }},
		{Method: http.MethodGet, Pattern: single, Handler: func(w http.ResponseWriter, r *http.Request) error { return s.serveShow(w, r, k) }},
		{Method: http.MethodPut, Pattern: single, Handler: func(w http.ResponseWriter, r *http.Request) error { return s.serveUpdate(w, r, k) }},
		{Method: http.MethodDelete, Pattern: single, Handler: func(w http.ResponseWriter, r *http.Request) error { return s.serveDelete(w, r, k) }},
	}
}

func (s *Service) serveList(w http.ResponseWriter, r *http.Request, k kind) error {
	q, err := parseQuery(r.URL.Query())
	if err != nil {
		return err
	}
	objects, err := k.list(r.Context(), s.db, rest.CallerFrom(r.Context()), q.narrow(k.columns))
	if err != nil {
		return err
	}
	page, links, err := q.page(objects, s.publicURL+k.collection())
	if err != nil {
		return err
	}
	answer := object{k.plural: page}
	if len(links) > 0 {
		answer[k.plural+"_links"] = links
	}
	rest.WriteJSON(w, http.StatusOK, answer)
	return nil
}

func (s *Service) serveShow(w http.ResponseWriter, r *http.Request, k kind) error {
	shown, err := s.show(r.Context(), k, r.PathValue("id"))
	if err != nil {
		return err
	}
	rest.WriteJSON(w, http.StatusOK, object{k.name: only(shown, r.URL.Query()["fields"])})
	return nil
}

// serveCreate makes one object, or a list of them: all or none.
func (s *Service) serveCreate(w http.ResponseWriter, r *http.Request, k kind) error {
	bodies, isList, err := readBodies(w, r, k)
	if err != nil {
		return err
	}
	var ids []string
	err = s.change(r.Context(), rest.CallerFrom(r.Context()), func(ctx context.Context, c *change) error {
		ids = make([]string, len(bodies)) // a transaction that lost a race begins anew
		for i, b := range bodies {
			if ids[i], err = k.create(ctx, c, b.again()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !isList {
		return s.answer(w, r, k, http.StatusCreated, ids[0])
	}
	views := []object{}
	for _, id := range ids {
		view, err := s.show(r.Context(), k, id)
		if err != nil {
			return err
		}
		views = append(views, view)
	}
	rest.WriteJSON(w, http.StatusCreated, object{k.plural: views})
	return nil
}

func (s *Service) serveUpdate(w http.ResponseWriter, r *http.Request, k kind) error {
	b, err := readBody(w, r, k.name)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	err = s.change(r.Context(), b.caller, func(ctx context.Context, c *change) error {
		if err := c.heedIfMatch(ctx, k, id, r.Header); err != nil {
			return err
		}
		before, err := k.list(ctx, c.tx, admin, byID(id))
		if err != nil {
			return err
		}
		if err := k.update(ctx, c, id, b.again()); err != nil {
			return err
		}
		after, err := k.list(ctx, c.tx, admin, byID(id))
		if err == nil && isUnchanged(before, after) && !(k.name == "port" && len(c.devices) > 0) {
			err = errUnchanged
		}
		return err
	})
	if err != nil && !errors.Is(err, errUnchanged) {
		return err
	}
	return s.answer(w, r, k, http.StatusOK, id)
}

// errUnchanged undoes an update that has changed nothing but the revision, which then stays as well. A port is more than it
// shows: security groups that are given once more may now count for its load balancer.
var errUnchanged = errors.New("nothing has changed")

func isUnchanged(before, after []object) bool {
	for _, objects := range [][]object{before, after} {
		for _, o := range objects {
			delete(o, "revision_number")
			delete(o, "updated_at")
		}
	}
	return reflect.DeepEqual(before, after)
}

func (s *Service) serveDelete(w http.ResponseWriter, r *http.Request, k kind) error {
	err := s.change(r.Context(), rest.CallerFrom(r.Context()), func(ctx context.Context, c *change) error {
		if err := c.heedIfMatch(ctx, k, r.PathValue("id"), r.Header); err != nil {
			return err
		}
		return k.remove(ctx, c, r.PathValue("id"))
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Service) answer(w http.ResponseWriter, r *http.Request, k kind, status int, id string) error {
	shown, err := s.show(r.Context(), k, id)
	if err != nil {
		return err
	}
	rest.WriteJSON(w, status, object{k.name: shown})
	return nil
}

// show finds one object that the caller sees.
func (s *Service) show(ctx context.Context, k kind, id string) (object, error) {
	found, err := k.list(ctx, s.db, rest.CallerFrom(ctx), byID(id))
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, errMissing[k.name](id)
	}
	return found[0], nil
}

var errMissing = map[string]func(id string) error{
	"network": errNetwork, "subnet": errSubnet, "port": errPort, "router": errRouter, "floatingip": errFloatingIP,
	"security_group": errGroup, "security_group_rule": errRule, "policy": errQoSPolicy,
	"subnetpool": errSubnetPool,
}

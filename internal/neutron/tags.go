package neutron

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"poise/internal/rest"
)

// tagged is the part of every row that tags need.
type tagged struct {
	bun.BaseModel `bun:"table:tagged,alias:t"` // the table is named with each query
	common
}

// tagEdit makes new tags of those that an object has.
type tagEdit func(tags []string, r *http.Request) ([]string, error)

func (s *Service) tagRoutesOf(k kind) []rest.Route {
	all := k.collection() + "/{id}/tags"
	route := func(method, pattern string, serve func(http.ResponseWriter, *http.Request, kind) error) rest.Route {
		return rest.Route{Method: method, Pattern: pattern, Handler: func(w http.ResponseWriter, r *http.Request) error {
			return serve(w, r, k)
		}}
	}
	edit := func(method, pattern string, status int, edit tagEdit) rest.Route {
		return route(method, pattern, func(w http.ResponseWriter, r *http.Request, k kind) error {
			_, err := s.setTags(r, k, edit)
			if err == nil {
				w.WriteHeader(status)
			}
			return err
		})
	}
	return []rest.Route{
		route(http.MethodGet, all, s.serveTags),
		route(http.MethodPut, all, s.serveTagList),
		route(http.MethodPost, all, s.serveTagList),
		edit(http.MethodDelete, all, http.StatusNoContent, func([]string, *http.Request) ([]string, error) { return []string{}, nil }),
		route(http.MethodGet, all+"/{tag}", s.serveTag),
		edit(http.MethodPut, all+"/{tag}", http.StatusCreated, func(tags []string, r *http.Request) ([]string, error) {
			return append(tags, r.PathValue("tag")), nil
		}),
		edit(http.MethodDelete, all+"/{tag}", http.StatusNoContent, func(tags []string, r *http.Request) ([]string, error) {
			at := slices.Index(tags, r.PathValue("tag"))
			if at < 0 {
				return nil, errTag(r.PathValue("tag"))
			}
			return slices.Delete(tags, at, at+1), nil
		}),
	}
}

func errTag(tag string) error { return notFound("TagNotFound", "Tag %s could not be found.", tag) }

func (s *Service) serveTags(w http.ResponseWriter, r *http.Request, k kind) error {
	shown, err := s.show(r.Context(), k, r.PathValue("id"))
	if err != nil {
		return err
	}
	rest.WriteJSON(w, http.StatusOK, object{"tags": shown["tags"]})
	return nil
}

// serveTag tells by its status whether the object has the tag.
func (s *Service) serveTag(w http.ResponseWriter, r *http.Request, k kind) error {
	shown, err := s.show(r.Context(), k, r.PathValue("id"))
	if err != nil {
		return err
	}
	if tags, _ := shown["tags"].([]string); !slices.Contains(tags, r.PathValue("tag")) {
		return errTag(r.PathValue("tag"))
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// serveTagList replaces the tags (PUT) or adds some (POST).
func (s *Service) serveTagList(w http.ResponseWriter, r *http.Request, k kind) error {
	raw, err := rest.ReadText(w, r, rest.MaxBody)
	if err != nil {
		return err
	}
	var body struct{ Tags []string }
	if err := json.Unmarshal(raw, &body); err != nil || body.Tags == nil {
		return badRequest("InvalidInput", "Invalid input for operation: Invalid tags body.")
	}
	tags, err := s.setTags(r, k, func(tags []string, r *http.Request) ([]string, error) {
		if r.Method == http.MethodPost {
			return append(tags, body.Tags...), nil
		}
		return body.Tags, nil
	})
	if err != nil {
		return err
	}
	rest.WriteJSON(w, http.StatusOK, object{"tags": tags})
	return nil
}

// setTags edits the tags of one object and returns what they are now.
func (s *Service) setTags(r *http.Request, k kind, edit tagEdit) (tags []string, err error) {
	id, caller := r.PathValue("id"), rest.CallerFrom(r.Context())
	err = s.change(r.Context(), caller, func(ctx context.Context, c *change) error {
		found, err := k.list(ctx, c.tx, caller, byID(id))
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return errMissing[k.name](id)
		}
		if err := mayChange(caller, fmt.Sprint(found[0]["project_id"]), "update_"+k.plural+"_tags"); err != nil {
			return err
		}
		if err := c.heedIfMatch(ctx, k, id, r.Header); err != nil {
			return err
		}
		if err := c.lockObject(ctx, k, id); err != nil {
			return err
		}
		row := &tagged{}
		table := bun.Ident("neutron_" + tableOf[k.name])
		if err := c.tx.NewSelect().Model(row).ModelTableExpr("? AS t", table).Where("t.id = ?", id).Scan(ctx); err != nil {
			return fmt.Errorf("tags: %w", err)
		}
		edited, err := edit(row.Tags, r)
		if err != nil {
			return err
		}
		if row.Tags, err = checkTags(edited); err != nil {
			return err
		}
		row.touch()
		tags = row.Tags
		_, err = c.tx.NewUpdate().Model(row).ModelTableExpr("? AS t", table).Column("tags", "revision", "updated_at").Where("t.id = ?", id).Exec(ctx)
		if err != nil {
			return fmt.Errorf("tags: %w", err)
		}
		return nil
	})
	return tags, err
}

var tableOf = map[string]string{
	"network": "networks", "subnet": "subnets", "port": "ports", "router": "routers", "floatingip": "floating_ips",
	"security_group": "security_groups", "security_group_rule": "security_group_rules", "policy": "qos_policies",
	"subnetpool": "subnet_pools",
}

// checkTags sorts the tags and drops repetitions.
func checkTags(tags []string) ([]string, error) {
	for _, tag := range tags {
		if tag == "" || utf8.RuneCountInString(tag) > maxTag || strings.ContainsRune(tag, ',') {
			return nil, badRequest("HTTPBadRequest", "Invalid input for operation: '%s' is not a valid tag.", tag)
		}
	}
	if len(tags) > maxEntries {
		return nil, badRequest("HTTPBadRequest", "Invalid input for operation: more than %d tags.", maxEntries)
	}
	tags = slices.Clone(tags)
	slices.Sort(tags)
	return slices.Compact(tags), nil
}

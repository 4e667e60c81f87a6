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

func (s *Service) tagRoutesOf(k kind) []rest.Route {
	all := k.collection() + "/{id}/tags"
	change := func(method, pattern string, edit func(tags []string, r *http.Request) []string) rest.Route {
		return rest.Route{Method: method, Pattern: pattern, Handler: func(w http.ResponseWriter, r *http.Request) error {
			return s.serveTagChange(w, r, k, edit)
		}}
	}
	return []rest.Route{
		{Method: http.MethodGet, Pattern: all, Handler: func(w http.ResponseWriter, r *http.Request) error { return s.serveTags(w, r, k) }},
		{Method: http.MethodPut, Pattern: all, Handler: func(w http.ResponseWriter, r *http.Request) error { return s.serveTagsReplace(w, r, k) }},
		change(http.MethodDelete, all, func([]string, *http.Request) []string { return []string{} }),
		change(http.MethodPut, all+"/{tag}", func(tags []string, r *http.Request) []string { return append(tags, r.PathValue("tag")) }),
		change(http.MethodDelete, all+"/{tag}", func(tags []string, r *http.Request) []string {
			return slices.DeleteFunc(tags, func(t string) bool { return t == r.PathValue("tag") })
		}),
	}
}

func (s *Service) serveTags(w http.ResponseWriter, r *http.Request, k kind) error {
	shown, err := s.show(r.Context(), k, r.PathValue("id"))
	if err != nil {
		return err
	}
	rest.WriteJSON(w, http.StatusOK, object{"tags": shown["tags"]})
	return nil
}

func (s *Service) serveTagsReplace(w http.ResponseWriter, r *http.Request, k kind) error {
	raw, err := rest.ReadBody(w, r, rest.MaxBody)
	if err != nil {
		return fmt.Errorf("request body: %w", err)
	}
	var body struct{ Tags []string }
	if err := json.Unmarshal(raw, &body); err != nil || body.Tags == nil {
		return badRequest("HTTPBadRequest", "Invalid tags body")
	}
	tags, err := s.setTags(r, k, func([]string) []string { return body.Tags })
	if err != nil {
		return err
	}
	rest.WriteJSON(w, http.StatusOK, object{"tags": tags})
	return nil
}

func (s *Service) serveTagChange(w http.ResponseWriter, r *http.Request, k kind, edit func([]string, *http.Request) []string) error {
	if _, err := s.setTags(r, k, func(tags []string) []string { return edit(tags, r) }); err != nil {
		return err
	}
	status := http.StatusNoContent
	if r.Method == http.MethodPut {
		status = http.StatusCreated
	}
	w.WriteHeader(status)
	return nil
}

// setTags edits the tags of one object and returns what they are now.
func (s *Service) setTags(r *http.Request, k kind, edit func([]string) []string) (tags []string, err error) {
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
		row := &tagged{}
		table := bun.Ident("neutron_" + tableOf[k.name])
		if err := c.tx.NewSelect().Model(row).ModelTableExpr("? AS t", table).Where("t.id = ?", id).Scan(ctx); err != nil {
			return fmt.Errorf("tags: %w", err)
		}
		if row.Tags, err = checkTags(edit(row.Tags)); err != nil {
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

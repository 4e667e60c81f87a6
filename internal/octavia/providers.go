package octavia

import (
	"fmt"
	"net/http"
	"slices"

	"poise/internal/lb"
	"poise/internal/rest"
)

// described is what answers show of a provider or of a capability.
type described struct{ name, description string }

// listProviders answers with poise and the names under which it can be asked for as well.
func listProviders(c *call) error {
	if err := c.allows(c.caller.ProjectID); err != nil {
		return err
	}
	var all []described
	for _, name := range lb.Providers {
		description := fmt.Sprintf("Alias of the provider %s.", lb.Provider)
		if name == lb.Provider {
			description = "Load balancing in the kernel and in userspace without virtual machines." // no comma: tempest lists descriptions
		}
		all = append(all, described{name, description})
	}
	return c.answerDescribed("providers", all)
}

// listCapabilities answers with the keys that the profiles of flavors or availability zones may have.
func listCapabilities(f lb.Family, plural string) func(*call) error {
	return func(c *call) error {
		if err := c.allows(c.caller.ProjectID); err != nil {
			return err
		}
		if err := lb.CheckProvider(c.r.PathValue("id")); err != nil {
			return err
		}
		var all []described
		for _, capability := range f.Capabilities() {
			all = append(all, described{capability.Name, capability.Description})
		}
		return c.answerDescribed(plural, all)
	}
}

// answerDescribed answers with those that the query selects; such lists have no pages.
func (c *call) answerDescribed(plural string, all []described) error {
	query := c.query
	shown := []map[string]string{}
	for _, d := range all {
		if !d.is(query.Get("name"), query.Get("description")) {
			continue
		}
		fields := map[string]string{"name": d.name, "description": d.description}
		for field := range fields {
			if wanted := query["fields"]; len(wanted) > 0 && !slices.Contains(wanted, field) {
				delete(fields, field)
			}
		}
		shown = append(shown, fields)
	}
	rest.WriteJSON(c.w, http.StatusOK, map[string]any{plural: shown})
	return nil
}

func (d described) is(name, description string) bool {
	return (name == "" || name == d.name) && (description == "" || description == d.description)
}

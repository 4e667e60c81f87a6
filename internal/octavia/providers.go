package octavia

import (
	"fmt"
	"net/http"
	"slices"

	"poise/internal/lb"
	"poise/internal/rest"
)

// listProviders answers with poise and the names under which it can be asked for as well.
func listProviders(c *call) error {
	if err := c.allows(c.caller.ProjectID); err != nil {
		return err
	}
	query := c.r.URL.Query()
	shown := []map[string]string{}
	for _, name := range lb.Providers {
		provider := map[string]string{"name": name, "description": fmt.Sprintf("Alias of the provider %s.", lb.Provider)}
		if name == lb.Provider {
			provider["description"] = "Load balancing in the kernel and in userspace, without virtual machines."
		}
		if !selected(provider, query.Get("name"), query.Get("description")) {
			continue
		}
		for field := range provider {
			if fields := query["fields"]; len(fields) > 0 && !slices.Contains(fields, field) {
				delete(provider, field)
			}
		}
		shown = append(shown, provider)
	}
	rest.WriteJSON(c.w, http.StatusOK, map[string]any{"providers": shown})
	return nil
}

func selected(provider map[string]string, name, description string) bool {
	return (name == "" || name == provider["name"]) && (description == "" || description == provider["description"])
}

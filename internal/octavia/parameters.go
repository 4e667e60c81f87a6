package octavia

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// parameter is something that a route takes in its query. A handler gets no others, and the OpenAPI document tells of the
// same ones.
type parameter struct {
	name    string
	meaning string
	schema  schema
	filter  *attribute // of a list: what has to equal the value; nil for parameters that are no filters
}

// Parameters of single routes.
var (
	cascadeParameter  = flag("cascade", "Deletes all that is below the load balancer as well.")
	additiveParameter = flag("additive_only", "Members that the body does not have stay.")
	reasonsParameter  = flag("status_reasons", "Adds status_reason, the sentence that explains an object's statuses.")
	projectParameter  = word("project_id", "Only load balancers of this project.")
	fieldsParameter   = words("fields", "The attributes that an answer is to have, one each; all of them when there is none.")
)

// describedParameters are those of the lists of providers and capabilities, which have no pages.
var describedParameters = []parameter{
	fieldsParameter, word("name", "Only what has this name."), word("description", "Only what has this description."),
}

func flag(name, meaning string) parameter {
	return parameter{name: name, meaning: meaning, schema: schema{"type": "boolean"}}
}

func word(name, meaning string) parameter {
	return parameter{name: name, meaning: meaning, schema: schema{"type": "string"}}
}

func words(name, meaning string) parameter {
	return parameter{name: name, meaning: meaning, schema: schema{"type": "array", "items": schema{"type": "string"}}}
}

// listParameters are those of a list of objects with these attributes: the page, the order, the fields and the filters.
func (t attributes) listParameters(more ...parameter) []parameter {
	var filters []parameter
	var keys []string
	for _, a := range t {
		if !a.isFilter() || a.name == tagsAttribute.name { // the four parameters of tags are below
			continue
		}
		for _, name := range a.names() {
			filter := parameter{
				name: name, schema: schema{"type": typeInQuery(a.name)}, meaning: "Only objects whose " + a.name + " equals this.",
			}
			if a.use&composed != 0 {
				filter = words(name, "Only objects whose "+a.name+" holds all of these, given one by one or separated by commas.")
			} else {
				keys = append(keys, name)
			}
			filter.filter = &a
			filters = append(filters, filter)
		}
	}
	all := append(slices.Clone(more),
		parameter{
			name: "limit", meaning: "How many objects a page has at most; what is not from 1 to the maximum, which is 1000, means the maximum.",
			schema: schema{"anyOf": []schema{{"type": "integer"}, {"enum": []string{"infinite"}}}},
		},
		word("marker", "The id of the last object of the page before."),
		word("page_reverse", "True: the page is the one before the marker."),
		word("sort", "The order: key or key:direction, separated by commas. Directions are asc and desc, keys "+strings.Join(keys, ", ")+"."),
		word("sort_key", "The order: keys as in sort, separated by commas."),
		word("sort_dir", "The directions of sort_key, separated by commas."),
		fieldsParameter,
	)
	if slices.ContainsFunc(t, func(a attribute) bool { return a.name == tagsAttribute.name }) {
		all = append(all,
			words("tags", "Only objects with all of these tags, given one by one or separated by commas."),
			words("tags-any", "Only objects with one of these tags."),
			words("not-tags", "Only objects that lack one of these tags."),
			words("not-tags-any", "Only objects with none of these tags."))
	}
	return append(all, filters...)
}

// parameter finds what the route takes by this name.
func (r route) parameter(name string) (parameter, bool) {
	i := slices.IndexFunc(r.takes, func(p parameter) bool { return p.name == name })
	if i < 0 {
		return parameter{}, false
	}
	return r.takes[i], true
}

// read parts a query into what the route takes, and the names of what it does not.
func (r route) read(query url.Values) (known url.Values, unknown []string) {
	known = url.Values{}
	for name, given := range query {
		if _, ok := r.parameter(name); ok {
			known[name] = given
		} else {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return known, unknown
}

// refuses tells whether the route refuses what it does not take: changes do so here, lists in their own words, and
// whatever else is shown ignores it.
func (r route) refuses(unknown []string) bool {
	return len(unknown) > 0 && r.method != http.MethodGet && r.policy != ""
}

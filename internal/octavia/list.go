package octavia

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"poise/internal/rest"
)

// maxPage is the most objects that one page of a list holds, and how many it holds by default.
const maxPage = 1_000

// query is what a list request asks for.
type query struct {
	filters []filter
	tags    tagFilter
	order   []sortKey
	fields  []string
	reasons bool // with status_reason

	limit   int
	marker  string // the id of the object next to the page, "" for the first page
	reverse bool   // the page ends before the marker
}

// list answers with the objects that the caller may see and has asked for.
func (res *resource) list(c *call) error {
	q, err := c.listQuery(res.attributes)
	if err != nil {
		return err
	}
	all, err := res.visible(c)
	if err != nil {
		return err
	}
	if res.lookUp != nil {
		if err := res.lookUp(c, q, all); err != nil {
			return err
		}
	}
	return c.answerPage(q, all, res.plural, res.plural+"_links", func(o object) map[string]any {
		return res.render(o, q.fields, q.reasons)
	})
}

// answerPage answers with the page of all objects that the query asks for.
func (c *call) answerPage(q query, all []object, plural, links string, render func(object) map[string]any) error {
	slices.SortFunc(all, q.compare)
	page, err := q.page(all)
	if err != nil {
		return err
	}
	shown := make([]map[string]any, len(page))
	for i, o := range page {
		shown[i] = render(o)
	}
	rest.WriteJSON(c.w, http.StatusOK, map[string]any{
		plural: shown,
		links:  q.links(c.PublicURL+c.r.URL.Path, c.query, page),
	})
	return nil
}

// visible are the objects in the scope of the request: of the parent that the URL names, or of one or all projects.
func (res *resource) visible(c *call) ([]object, error) {
	if above := c.r.PathValue(res.above); above != "" {
		s, err := res.holder(c, "")
		if err != nil {
			return nil, err
		}
		if err := c.allows(s.Tree.ProjectID); err != nil {
			return nil, err
		}
		return slices.Collect(res.objects(s, above)), nil
	}
	project, err := c.listScope()
	if err != nil {
		return nil, err
	}
	snapshots, err := c.Control.List(c.r.Context(), project)
	if err != nil {
		return nil, err
	}
	var all []object
	for _, s := range snapshots {
		all = slices.AppendSeq(all, res.objects(s, ""))
	}
	return all, nil
}

// listQuery reads the parameters of a request for a list of objects with these attributes.
func (c *call) listQuery(t attributes) (query, error) {
	invalid := errBadRequest("One or more arguments are either duplicate or invalid")
	if len(c.unknown) > 0 {
		return query{}, invalid
	}
	in := c.query
	q := query{limit: maxPage, fields: in["fields"], tags: newTagFilter(in)}
	for name, given := range in {
		p, _ := c.route.parameter(name)
		switch {
		case p.filter == nil:
		case slices.ContainsFunc(given, func(s string) bool { return !storable(s) }):
			return query{}, invalid
		case p.filter.use&composed != 0:
			q.filters = append(q.filters, filter{*p.filter, allParts(given)})
		case len(given) > 1:
			return query{}, invalid
		default:
			q.filters = append(q.filters, filter{*p.filter, given})
		}
	}
	var err error
	if q.order, err = t.order(in); err != nil {
		return query{}, err
	}
	if q.limit, err = pageLimit(in.Get("limit")); err != nil {
		return query{}, err
	}
	q.marker = in.Get("marker")
	q.reverse = q.marker != "" && in.Get("page_reverse") == "True"
	q.reasons = looseBoolean(in.Get("status_reasons"))
	return q, nil
}

// pageLimit reads the size of a page. Octavia lifts the limit for "infinite" and numbers below one; here it is the maximum.
func pageLimit(s string) (int, error) {
	if s == "" || s == "infinite" {
		return maxPage, nil
	}
	n, err := strconv.Atoi(s)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return maxPage, nil
	case err != nil:
		return 0, errRouting(http.StatusBadRequest, "Supplied pagination limit '%s' is not valid.", s)
	case n <= 0 || n > maxPage:
		return maxPage, nil
	}
	return n, nil
}

// page picks the objects of the page out of all, which are in order.
func (q query) page(all []object) ([]object, error) {
	from, to := 0, len(all)
	if q.marker != "" {
		at := slices.IndexFunc(all, func(o object) bool { return o.base.ID == q.marker })
		switch {
		case at < 0:
			return nil, errBadRequest("Supplied pagination marker '%s' is not valid.", q.marker)
		case q.reverse:
			to = at
		default:
			from = at + 1
		}
	}
	matching := slices.DeleteFunc(slices.Clone(all[from:to]), func(o object) bool { return !q.matches(o) })
	switch {
	case len(matching) <= q.limit:
		return matching, nil
	case q.reverse:
		return matching[len(matching)-q.limit:], nil
	default:
		return matching[:q.limit], nil
	}
}

// links lead to the pages before and after this one; they keep what else the request asked for.
func (q query) links(address string, in url.Values, page []object) []map[string]string {
	links := []map[string]string{}
	link := func(rel string, next object) {
		in.Set("marker", next.base.ID)
		links = append(links, map[string]string{"rel": rel, "href": address + "?" + in.Encode()})
	}
	in.Set("limit", strconv.Itoa(q.limit))
	if len(page) > 0 && q.marker != "" {
		in.Set("page_reverse", "True")
		link("previous", page[0])
	}
	if len(page) > 0 && len(page) >= q.limit {
		in.Del("page_reverse")
		link("next", page[len(page)-1])
	}
	return links
}

// filter is what an attribute must equal or, when it is a list or an object, what it must hold.
type filter struct {
	attribute attribute
	want      []string
}

func (f filter) matches(o object) bool {
	v := f.attribute.read(o)
	return !slices.ContainsFunc(f.want, func(want string) bool {
		if f.attribute.use&composed != 0 {
			return !holds(v, want)
		}
		return !equals(v, want)
	})
}

// isAbout tells whether a filter or a sort key of the query is this attribute.
func (q query) isAbout(name string) bool {
	return slices.ContainsFunc(q.filters, func(f filter) bool { return f.attribute.name == name }) ||
		slices.ContainsFunc(q.order, func(k sortKey) bool { return k.attribute.name == name })
}

func (q query) matches(o object) bool {
	for _, f := range q.filters {
		if !f.matches(o) {
			return false
		}
	}
	return q.tags.matches(o.base.Tags)
}

func equals(v any, want string) bool {
	switch v := v.(type) {
	case bool:
		return v == looseBoolean(want)
	case int:
		return strconv.Itoa(v) == want
	case string:
		return v == want
	case json.Number:
		return v.String() == want
	case written:
		return v.equals(want)
	default: // null equals nothing
		return false
	}
}

// holds tells whether a list or an object has the value: the id of an object, an element, the name of a header.
func holds(v any, want string) bool {
	switch v := v.(type) {
	case []reference:
		return slices.Contains(v, reference{want})
	case []string:
		return slices.Contains(v, want)
	case networkList:
		network, ok := parseNetwork(want)
		return ok && slices.Contains(v, network)
	case map[string]*string:
		_, ok := v[want]
		return ok
	case map[string]any:
		for _, part := range v {
			if equals(part, want) {
				return true
			}
		}
		return false
	case []map[string]any:
		return slices.ContainsFunc(v, func(one map[string]any) bool { return holds(one, want) })
	default:
		return false
	}
}

// sortKey is one key of a list's order.
type sortKey struct {
	attribute  attribute
	descending bool
}

// order reads the order of a list: sort=key[:direction],… or sort_key=key,… with sort_dir=direction,…
func (t attributes) order(in url.Values) ([]sortKey, error) {
	var order []sortKey
	add := func(key, direction string) error {
		a, ok := t.sortKey(key)
		if !ok {
			return errBadRequest("Supplied sort key '%s' is not valid.", key)
		}
		descending, err := isDescending(direction)
		order = append(order, sortKey{a, descending})
		return err
	}
	for _, part := range parts(in.Get("sort")) {
		key, direction, _ := strings.Cut(part, ":")
		if err := add(key, direction); err != nil {
			return nil, err
		}
	}
	directions := parts(in.Get("sort_dir"))
	for i, key := range parts(in.Get("sort_key")) {
		direction := ""
		if i < len(directions) {
			direction = directions[i]
		}
		if err := add(key, direction); err != nil {
			return nil, err
		}
	}
	return order, nil
}

func parts(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// allParts are the parts of all values.
func allParts(given []string) []string {
	var all []string
	for _, value := range given {
		all = append(all, parts(value)...)
	}
	return all
}

func isDescending(direction string) (bool, error) {
	switch strings.ToLower(direction) {
	case "", "asc":
		return false, nil
	case "desc":
		return true, nil
	}
	return false, errRouting(http.StatusBadRequest, "Supplied sort direction '%s' is not valid.", direction)
}

// compare puts objects into the order that was asked for, then by age, then by id.
func (q query) compare(x, y object) int {
	for _, key := range q.order {
		c := compareValues(key.attribute.read(x), key.attribute.read(y))
		if key.descending {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Or(x.base.CreatedAt.Compare(y.base.CreatedAt), cmp.Compare(x.base.ID, y.base.ID))
}

// compareValues compares two values of one attribute; null comes first, false before true.
func compareValues(x, y any) int {
	switch x := x.(type) {
	case int:
		if y, ok := y.(int); ok {
			return cmp.Compare(x, y)
		}
	case string:
		if y, ok := y.(string); ok {
			return cmp.Compare(x, y)
		}
	case bool:
		if y, ok := y.(bool); ok {
			return cmp.Compare(number(x), number(y))
		}
	case written: // as text, like Octavia's database
		if y, ok := y.(written); ok {
			return cmp.Compare(x.String(), y.String())
		}
	}
	return cmp.Compare(number(x != nil), number(y != nil))
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// tagFilter holds the four tag parameters.
type tagFilter struct{ all, some, notAll, none []string }

func newTagFilter(in url.Values) tagFilter {
	return tagFilter{
		all: allParts(in["tags"]), some: allParts(in["tags-any"]),
		notAll: allParts(in["not-tags"]), none: allParts(in["not-tags-any"]),
	}
}

func (f tagFilter) matches(tags []string) bool {
	has := func(tag string) bool { return slices.Contains(tags, tag) }
	hasAll := func(wanted []string) bool {
		return !slices.ContainsFunc(wanted, func(tag string) bool { return !has(tag) })
	}
	return hasAll(f.all) &&
		(len(f.some) == 0 || slices.ContainsFunc(f.some, has)) &&
		(len(f.notAll) == 0 || !hasAll(f.notAll)) &&
		!slices.ContainsFunc(f.none, has)
}

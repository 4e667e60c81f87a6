package neutron

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/uptrace/bun"
)

// query is what a list request asks for.
type query struct {
	filters  map[string][]string // by attribute: it must have one of the values
	fields   []string            // attributes to answer; empty: all
	sortKeys []string
	sortDesc []bool // of each sort key
	limit    int    // 0: no limit
	marker   string // the last object of the page before
	reverse  bool   // the page before the marker is wanted
	raw      url.Values
}

func parseQuery(values url.Values) (query, error) {
	q := query{filters: map[string][]string{}, raw: values}
	directions := values["sort_dir"]
	for name, given := range values {
		switch name {
		case "fields":
			q.fields = given
		case "sort_key":
			q.sortKeys = given
		case "sort_dir":
		case "marker":
			q.marker = given[0]
		case "page_reverse":
			q.reverse = strings.EqualFold(given[0], "true")
		case "limit":
			limit, err := strconv.Atoi(given[0])
			if err != nil || limit < 0 {
				return q, badRequest("HTTPBadRequest", "Limit must be an integer 0 or greater and not '%s'", given[0])
			}
			q.limit = limit
		default:
			q.filters[name] = given
		}
	}
	for i := range q.sortKeys {
		desc := false
		if i < len(directions) {
			desc = directions[i] == "desc"
			if !desc && directions[i] != "asc" {
				return q, badRequest("HTTPBadRequest", "sort_dir must be 'asc' or 'desc' and not '%s'", directions[i])
			}
		}
		q.sortDesc = append(q.sortDesc, desc)
	}
	return q, nil
}

// narrow leaves to the database what it can filter by index or column.
func (q query) narrow(columns map[string]string) narrow {
	return func(s *bun.SelectQuery) *bun.SelectQuery {
		for name, column := range columns {
			if wanted, ok := q.filters[name]; ok {
				valid := make([]string, len(wanted))
				for i, text := range wanted {
					valid[i] = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", "�"), "�")
				}
				s = s.Where("? IN ?", bun.Safe(column), bun.Tuple(valid))
			}
		}
		return s
	}
}

// page filters, sorts and cuts the objects, and says where the neighbouring pages are.
func (q query) page(objects []object, address string) (page []object, links []object, err error) {
	objects = slices.DeleteFunc(objects, func(o object) bool { return !q.matches(o) })
	if err := q.sort(objects); err != nil {
		return nil, nil, err
	}
	first, last := 0, len(objects)
	if q.marker != "" {
		at := slices.IndexFunc(objects, func(o object) bool { return o["id"] == q.marker })
		if at < 0 {
			return nil, nil, badRequest("HTTPBadRequest", "The marker '%s' could not be found", q.marker)
		}
		if q.reverse {
			last = at
		} else {
			first = at + 1
		}
	}
	if q.limit > 0 && q.reverse {
		first = max(first, last-q.limit)
	} else if q.limit > 0 {
		last = min(last, first+q.limit)
	}
	page = make([]object, 0, last-first)
	for _, o := range objects[first:last] {
		page = append(page, only(o, q.fields))
	}
	if q.limit > 0 && last > first {
		if last < len(objects) {
			links = append(links, q.link("next", address, objects[last-1]))
		}
		if first > 0 {
			links = append(links, q.link("previous", address, objects[first]))
		}
	}
	return page, links, nil
}

func (q query) link(rel, address string, marker object) object {
	values := maps.Clone(q.raw)
	values.Set("marker", fmt.Sprint(marker["id"]))
	values.Del("page_reverse")
	if rel == "previous" {
		values.Set("page_reverse", "True")
	}
	return object{"rel": rel, "href": address + "?" + values.Encode()}
}

// matches tells whether each filtered attribute has one of its values; attributes that the kind does not have filter
// nothing, as in Neutron.
func (q query) matches(o object) bool {
	for name, wanted := range q.filters {
		switch name {
		case "fixed_ips":
			if !matchesFixedIPs(o, wanted) {
				return false
			}
		case "tags", "tags-any", "not-tags", "not-tags-any":
			if !matchesTags(o, name, wanted) {
				return false
			}
		default:
			value, known := o[name]
			isAddress := slices.Contains(addressAttributes, name)
			if known && !slices.ContainsFunc(wanted, func(w string) bool {
				return equals(value, w) || isAddress && sameAddress(value, w)
			}) {
				return false
			}
		}
	}
	return true
}

func equals(value any, wanted string) bool {
	switch value := value.(type) {
	case string:
		return value == wanted
	case bool:
		return strings.EqualFold(strconv.FormatBool(value), wanted) || wanted == map[bool]string{true: "1", false: "0"}[value]
	case nil:
		return wanted == "" || wanted == "null" || wanted == "None"
	case []string:
		return slices.Contains(value, wanted)
	default:
		text, err := json.Marshal(value)
		return err == nil && string(text) == wanted
	}
}

// matchesFixedIPs reads entries "ip_address=A", "subnet_id=S" and "ip_address_substr=T": one address of the port must
// satisfy one entry of each sort.
func matchesFixedIPs(o object, wanted []string) bool {
	addresses, _ := o["fixed_ips"].([]object)
	bySort := map[string][]string{}
	for _, entry := range wanted {
		name, value, _ := strings.Cut(entry, "=")
		bySort[name] = append(bySort[name], value)
	}
	return slices.ContainsFunc(addresses, func(a object) bool {
		for name, values := range bySort {
			if !slices.ContainsFunc(values, func(v string) bool { return matchesFixedIP(a, name, v) }) {
				return false
			}
		}
		return true
	})
}

func matchesFixedIP(a object, name, value string) bool {
	if name == "ip_address_substr" {
		return strings.Contains(fmt.Sprint(a["ip_address"]), value)
	}
	return a[name] == value || name == "ip_address" && sameAddress(a[name], value)
}

// addressAttributes have addresses or ranges for values, which a filter may write in another way.
var addressAttributes = []string{"fixed_ip_address", "floating_ip_address", "gateway_ip", "cidr", "remote_ip_prefix"}

// sameAddress tells whether both are the same address or range.
func sameAddress(value any, wanted string) bool {
	text, _ := value.(string)
	if a, err := netip.ParsePrefix(text); err == nil {
		b, err := netip.ParsePrefix(wanted)
		return err == nil && a.Masked() == b.Masked()
	}
	a, err := netip.ParseAddr(text)
	b, wantedErr := netip.ParseAddr(wanted)
	return err == nil && wantedErr == nil && a.Unmap() == b.Unmap()
}

func matchesTags(o object, name string, wanted []string) bool {
	has, _ := o["tags"].([]string)
	all, some := true, false
	for _, list := range wanted {
		for tag := range strings.SplitSeq(list, ",") {
			found := slices.Contains(has, tag)
			all, some = all && found, some || found
		}
	}
	switch name {
	case "tags":
		return all
	case "tags-any":
		return some
	case "not-tags":
		return !all
	default:
		return !some
	}
}

// sort orders by the keys asked for, then by id.
func (q query) sort(objects []object) error {
	if len(objects) > 0 {
		for _, key := range q.sortKeys {
			if _, ok := objects[0][key]; !ok {
				return badRequest("HTTPBadRequest", "'%s' is an invalid attribute for sort keys", key)
			}
		}
	}
	slices.SortFunc(objects, func(a, b object) int {
		for i, key := range q.sortKeys {
			if order := compare(a[key], b[key]); order != 0 {
				if q.sortDesc[i] {
					return -order
				}
				return order
			}
		}
		return compare(a["id"], b["id"])
	})
	return nil
}

func compare(a, b any) int {
	switch a := a.(type) {
	case int:
		if b, ok := b.(int); ok {
			return cmp.Compare(a, b)
		}
	case int64:
		if b, ok := b.(int64); ok {
			return cmp.Compare(a, b)
		}
	}
	return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b))
}

// only keeps the attributes named; without names it keeps all.
func only(o object, fields []string) object {
	if len(fields) == 0 {
		return o
	}
	kept := object{}
	for _, name := range fields {
		if value, ok := o[name]; ok {
			kept[name] = value
		}
	}
	return kept
}

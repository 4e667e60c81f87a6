package conformance

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

var (
	uuidForm    = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	projectForm = regexp.MustCompile(`^[0-9a-f]{32}$`)
	timeForm    = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$`)
)

// names says what a recorded id or address is called this time.
type names struct {
	now map[string]string
}

// rewrite puts today's names into a recorded path or body.
func (n *names) rewrite(text string) string {
	for then, now := range n.now {
		text = strings.ReplaceAll(text, then, now)
	}
	return text
}

// same compares a recorded value with today's, and learns names on the way. It returns the differences, each with the
// place where it is.
func (n *names) same(place string, then, now any) []string {
	switch then := then.(type) {
	case map[string]any:
		return n.sameObject(place, then, now)
	case []any:
		return n.sameList(place, then, now)
	case string:
		if text, ok := now.(string); ok && n.sameText(place, then, text) {
			return nil
		}
	default:
		if then == now {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s: recorded %v, now %v", place, short(then), short(now))}
}

func (n *names) sameObject(place string, then map[string]any, now any) []string {
	object, ok := now.(map[string]any)
	if !ok {
		return []string{fmt.Sprintf("%s: recorded an object, now %v", place, short(now))}
	}
	var differences []string
	for _, key := range sortedKeys(then) {
		value, there := object[key]
		if !there {
			differences = append(differences, fmt.Sprintf("%s.%s: recorded %v, now missing", place, key, short(then[key])))
			continue
		}
		differences = append(differences, n.same(place+"."+key, then[key], value)...)
	}
	for _, key := range sortedKeys(object) {
		if _, there := then[key]; !there {
			differences = append(differences, fmt.Sprintf("%s.%s: recorded nothing, now %v", place, key, short(object[key])))
		}
	}
	return differences
}

func (n *names) sameList(place string, then []any, now any) []string {
	list, ok := now.([]any)
	if !ok || len(list) != len(then) {
		return []string{fmt.Sprintf("%s: recorded %d items, now %v", place, len(then), short(now))}
	}
	if isSortedByOctavia(place) {
		then, list = sortedByText(then), sortedByText(list)
	}
	var differences []string
	for i := range then {
		differences = append(differences, n.same(fmt.Sprintf("%s[%d]", place, i), then[i], list[i])...)
	}
	return differences
}

// isSortedByOctavia tells whether Octavia shows the list in the order of its table's key. poise keeps the order given.
func isSortedByOctavia(place string) bool {
	return strings.HasSuffix(place, ".tags") || strings.HasSuffix(place, ".allowed_cidrs")
}

func sortedByText(list []any) []any {
	return slices.SortedFunc(slices.Values(list), func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
}

// sameText compares two texts: times are alike, ids and VIP addresses are learned, the order of a choice is free.
func (n *names) sameText(place, then, now string) bool {
	if known, ok := n.now[then]; ok {
		return known == now
	}
	if strings.HasSuffix(place, ".provider") && then == "amphora" && now == "poise" {
		return true // the default
	}
	if strings.HasSuffix(place, ".operating_status") && then == "OFFLINE" && now == "ONLINE" {
		return true // at once, where Octavia takes up to ten seconds
	}
	learn := timeForm.MatchString(then) && timeForm.MatchString(now)
	for _, form := range []*regexp.Regexp{uuidForm, projectForm} {
		if form.MatchString(then) && form.MatchString(now) {
			n.now[then] = now
			learn = true
		}
	}
	if _, err := netip.ParseAddr(then); err == nil && strings.HasSuffix(place, "vip_address") {
		n.now[then] = now
		learn = true
	}
	return learn || sameChoice(n.rewrite(then), now)
}

// sameChoice compares messages that may end in a list of choices, whose order Octavia does not promise.
func sameChoice(then, now string) bool {
	a, choicesThen, _ := strings.Cut(then, "Value should be one of: ")
	b, choicesNow, _ := strings.Cut(now, "Value should be one of: ")
	sorted := func(s string) []string { return slices.Sorted(slices.Values(strings.Split(s, ", "))) }
	return a == b && slices.Equal(sorted(choicesThen), sorted(choicesNow))
}

func sortedKeys(m map[string]any) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func short(v any) string {
	text := fmt.Sprintf("%v", v)
	if len(text) > 160 {
		return text[:160] + "…"
	}
	return text
}

package octavia

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"poise/internal/lb"
)

// use says where an attribute appears beside answers.
type use uint

const (
	onCreate use = 1 << iota
	onUpdate
	required // on create
	hidden   // not in answers: only in requests, filters and sort keys
	composed // a list or an object: no sort key, and as a filter what it has to hold
	echoed   // in whole answers only: not to be selected, filtered or sorted by

	changeable = onCreate | onUpdate
	mandatory  = onCreate | required
)

// attribute is one line of a resource's table.
type attribute struct {
	name string
	use  use
	kind kind             // how a value in a request becomes a Go value; nil for attributes that requests may not have
	read func(object) any // the value in answers; nil for attributes that only requests have

	// aliases are other names that filters and sort keys may use: Octavia's in storage, and those that clients send.
	aliases []string

	// unserved attributes are known to Octavia and not served by poise: in requests they may be null, empty or preset.
	unserved bool
	preset   any
}

// fixed is an attribute that poise does not serve: it is shown with its preset.
func fixed(name string, use use, kind kind, preset any) attribute {
	return attribute{
		name: name, use: use, kind: kind, unserved: true, preset: preset,
		read: func(object) any { return preset },
	}
}

// attributes is the table of a resource.
type attributes []attribute

// values are the attributes of a request by name, checked and converted; nil stands for an explicit null.
type values map[string]any

// opt is an attribute of a request as the domain takes it.
func opt[T any](in values, name string) lb.Opt[T] {
	v, given := in[name]
	switch {
	case !given:
		return lb.Opt[T]{}
	case v == nil:
		return lb.Null[T]()
	default:
		return lb.Some(v.(T))
	}
}

// get is an attribute of a request, or the zero value when it is missing or null.
func get[T any](in values, name string) T {
	v, _ := in[name].(T)
	return v
}

// request is a decoded body.
type request struct {
	values
	unserved []string // the attributes that poise does not serve
}

// check refuses what poise does not serve.
func (r request) check() error {
	if len(r.unserved) > 0 {
		return lb.ErrUnsupported(r.unserved[0], "%s", strings.Join(r.unserved, ", "))
	}
	return nil
}

// decode reads the attributes of body for use, onCreate or onUpdate. path is the argument that errors name.
func (t attributes) decode(path string, body any, use use) (request, error) {
	given, ok := body.(map[string]any)
	if !ok {
		return request{}, &conversionError{fmt.Sprintf("Value not a valid dict: %s", pythonText(body))}
	}
	if err := t.refuseUnknown(path, given, use); err != nil {
		return request{}, err
	}
	in := request{values: values{}}
	for _, a := range t {
		v, ok := given[a.name]
		switch {
		case a.use&use == 0:
		case a.use&required != 0 && use == onCreate && (!ok || v == nil && a.use&hidden == 0):
			return request{}, errInput(a.name, nil, "Mandatory field missing.") // a parent that is null is one not found
		case !ok:
		case v == nil:
			in.values[a.name] = nil
		default:
			converted, err := a.kind(a.name, v)
			if err != nil {
				return request{}, err
			}
			in.values[a.name] = converted
			if a.unserved && !isPreset(converted, a.preset) {
				in.unserved = append(in.unserved, a.name)
			}
		}
	}
	return in, nil
}

func (t attributes) refuseUnknown(path string, given map[string]any, use use) error {
	var unknown []string
	for name := range given {
		if !slices.ContainsFunc(t, func(a attribute) bool { return a.name == name && a.use&use != 0 }) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	switch len(unknown) {
	case 0:
		return nil
	case 1:
		return errBadRequest("Unknown attribute for argument %s: %s", path, unknown[0])
	default:
		return errBadRequest("Unknown attributes for argument %s: %s", path, strings.Join(unknown, ", "))
	}
}

// isPreset tells whether a value asks for no more than poise does anyway.
func isPreset(v, preset any) bool {
	switch v := v.(type) {
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	default:
		return reflect.DeepEqual(v, preset)
	}
}

// render is an object as answers show it: all of it, or the selected fields when there are any.
func (t attributes) render(o object, fields []string) map[string]any {
	shown := make(map[string]any, len(t))
	for _, a := range t {
		switch {
		case a.read == nil || a.use&hidden != 0:
		case len(fields) > 0 && (a.use&echoed != 0 || !slices.Contains(fields, a.name)):
		default:
			if v := a.read(o); v != absent {
				shown[a.name] = v
			}
		}
	}
	return shown
}

// absent is what an attribute reads as when an answer leaves it out altogether.
var absent any = struct{}{}

// sortKey finds the attribute that a sort key names.
func (t attributes) sortKey(name string) (attribute, bool) {
	for _, a := range t {
		if a.isFilter() && a.use&composed == 0 && slices.Contains(a.names(), name) {
			return a, true
		}
	}
	return attribute{}, false
}

// isFilter tells whether lists can be filtered by the attribute: by every one that has a value, as openstacksdk, and with it
// Horizon and Ansible, send whatever they know of an object.
func (a attribute) isFilter() bool { return a.read != nil && a.use&echoed == 0 }

// names are all names of the attribute in a query.
func (a attribute) names() []string { return append([]string{a.name}, a.aliases...) }

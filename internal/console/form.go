package console

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// form is what was typed into a form, and what is wrong with it. Fields have the names of the API's attributes, so that a
// fault finds its field.
type form struct {
	values  url.Values
	errors  map[string]string // by field
	problem string            // what is about no field of this form
	notice  string            // what went well before
	isAsk   bool              // it asks what it would do (copyas.go), and must not do it
}

// form reads what was typed, or what a link has filled in.
func (v *view) form() *form {
	f := &form{values: url.Values{}, errors: map[string]string{}, isAsk: v.isCopy()}
	if err := v.r.ParseMultipartForm(maxForm); err != nil && !errors.Is(err, http.ErrNotMultipart) {
		f.problem = "What was sent could not be read."
		return f
	}
	f.values = v.r.Form
	return f
}

func (f *form) value(name string) string { return strings.TrimSpace(f.values.Get(name)) }

// preset fills fields in that were not sent.
func (f *form) preset(values map[string]string) {
	for name, value := range values {
		if !f.values.Has(name) {
			f.values.Set(name, value)
		}
	}
}

// presetAll fills fields in that hold several values. A field that was sent with nothing in it stays so.
func (f *form) presetAll(values map[string][]string) {
	for name, all := range values {
		if !f.values.Has(name) {
			f.values[name] = all
		}
	}
}

// chosen are the values of a field that holds several; a list of boxes also sends an empty one, so that none ticked is told
// apart from no such field.
func (f *form) chosen(name string) []string {
	return slices.DeleteFunc(slices.Clone(f.values[name]), func(value string) bool { return value == "" })
}

func (f *form) isBad() bool { return f.problem != "" || len(f.errors) > 0 }

// refuse puts an error to its field, or above the form when it has no such field.
func (f *form) refuse(field, message string) {
	if f.values.Has(field) && field != "" {
		f.errors[field] = message
		return
	}
	f.problem = message
}

// take puts a fault of an API into the form; any other error is given back.
func (f *form) take(err error) error {
	var refused *fault
	if !errors.As(err, &refused) || refused.status == http.StatusUnauthorized {
		return err
	}
	f.refuse(refused.field, refused.message)
	return nil
}

// body is the body of a request to an API, made of a form's fields.
type body map[string]any

// text sets an attribute to what was typed, also when that is nothing.
func (f *form) text(into body, name string) { into[name] = f.value(name) }

// choice sets an attribute to what was chosen; nothing leaves it out.
func (f *form) choice(into body, name string) {
	if chosen := f.value(name); chosen != "" {
		into[name] = chosen
	}
}

// orNull sets an attribute to what was typed, and to null for nothing.
func (f *form) orNull(into body, name string) {
	into[name] = nil
	f.choice(into, name)
}

// number sets an attribute to a number; nothing leaves it out.
func (f *form) number(into body, name string) {
	typed := f.value(name)
	if typed == "" {
		return
	}
	n, err := strconv.Atoi(typed)
	if err != nil {
		f.refuse(name, fmt.Sprintf("“%s” is not a whole number.", typed))
		return
	}
	into[name] = n
}

// lines sets an attribute to a list: one entry each line, or separated by commas or spaces. None is null.
func (f *form) lines(into body, name string) {
	entries := strings.FieldsFunc(f.value(name), func(r rune) bool { return strings.ContainsRune(" ,;\r\n\t", r) })
	into[name] = entries
	if len(entries) == 0 {
		into[name] = nil
	}
}

// option is one line of a dropdown.
type option struct{ value, label string }

// same are options that show their values.
func same(values ...string) []option {
	all := make([]option, len(values))
	for i, value := range values {
		all[i] = option{value, value}
	}
	return all
}

// labelIn is what a dropdown shows for a value.
func labelIn(options []option, value string) string {
	for _, o := range options {
		if o.value == value {
			return o.label
		}
	}
	return value
}

// hasError tells whether anything is wrong with one of the fields.
func hasError(f *form, names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return f.errors[name] != "" })
}

package neutron

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"poise/internal/rest"
)

// The longest texts, in characters (Neutron's column widths).
const (
	maxName    = 255
	maxTag     = 255
	maxEntries = 50 // of a list attribute
)

// body is the object of a create or update request. An object's read method asks it for one attribute after the
// other; the first that is wrong is remembered, and what nobody asked for is refused at the end ([body.close]).
type body struct {
	method     string // POST or PUT
	caller     rest.Caller
	attributes map[string]json.RawMessage
	fault      error
}

// readBody reads {"<kind>": {…}}.
func readBody(w http.ResponseWriter, r *http.Request, kind string) (*body, error) {
	envelope, err := readEnvelope(w, r)
	if err != nil {
		return nil, err
	}
	return newBody(r, kind, envelope[kind])
}

func readEnvelope(w http.ResponseWriter, r *http.Request) (map[string]json.RawMessage, error) {
	raw, err := rest.ReadText(w, r, rest.MaxBody)
	if err != nil {
		return nil, err
	}
	envelope := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &envelope); err != nil {
		return nil, badRequest("HTTPBadRequest", "The request body is not a JSON object.")
	}
	return envelope, nil
}

func newBody(r *http.Request, kind string, raw json.RawMessage) (*body, error) {
	b := &body{method: r.Method, caller: rest.CallerFrom(r.Context())}
	if err := json.Unmarshal(raw, &b.attributes); err != nil || b.attributes == nil {
		return nil, badRequest("HTTPBadRequest", "Unable to find '%s' in request body", kind)
	}
	return b, nil
}

// maxBulk bounds the objects of one request: they are made in one transaction, for which all other changes wait.
const maxBulk = 100

// readBodies reads {"<kind>": {…}}, or a list {"<kinds>": [{…}, …]}.
func readBodies(w http.ResponseWriter, r *http.Request, k kind) (bodies []*body, isList bool, err error) {
	envelope, err := readEnvelope(w, r)
	if err != nil {
		return nil, false, err
	}
	objects := []json.RawMessage{envelope[k.name]}
	if list, given := envelope[k.plural]; given && envelope[k.name] == nil {
		isList = true
		if err := json.Unmarshal(list, &objects); err != nil || len(objects) == 0 {
			return nil, isList, badRequest("HTTPBadRequest", "Unable to find a list of '%s' in request body", k.plural)
		}
		if len(objects) > maxBulk {
			return nil, isList, badRequest("HTTPBadRequest", "%s: at most %d can be created by one request, not %d", k.plural, maxBulk, len(objects))
		}
	}
	for _, raw := range objects {
		b, err := newBody(r, k.name, raw)
		if err != nil {
			return nil, isList, err
		}
		bodies = append(bodies, b)
	}
	return bodies, isList, nil
}

// creating tells a create request from an update; attributes that may only be set at creation are read when it is true.
func (b *body) creating() bool { return b.method == http.MethodPost }

// has tells whether the request carries the attribute.
func (b *body) has(name string) bool {
	_, ok := b.attributes[name]
	return ok
}

// close refuses the attributes that nobody read; known are those that the object shows.
func (b *body) close(known object) error {
	if b.fault != nil {
		return b.fault
	}
	unread := slices.Sorted(maps.Keys(b.attributes))
	for _, name := range unread {
		if _, ok := known[name]; !ok {
			return badRequest("HTTPBadRequest", "Unrecognized attribute(s) '%s'", strings.Join(unread, "', '"))
		}
	}
	if len(unread) > 0 && b.creating() {
		return badRequest("HTTPBadRequest", "Attribute '%s' not allowed in POST", unread[0])
	}
	if len(unread) > 0 {
		return badRequest("HTTPBadRequest", "Cannot update read-only attribute %s", unread[0])
	}
	return nil
}

// fail remembers the first problem.
func (b *body) fail(err error) {
	if b.fault == nil {
		b.fault = err
	}
}

func (b *body) take(name string) (json.RawMessage, bool) {
	raw, ok := b.attributes[name]
	delete(b.attributes, name)
	return raw, ok && b.fault == nil
}

// adminOnly refuses the attribute to everybody else; read it afterwards.
func (b *body) adminOnly(kind, name string) {
	if b.has(name) && !isAdmin(b.caller) {
		verb := "update"
		if b.creating() {
			verb = "create"
		}
		b.fail(forbidden(verb + "_" + kind + ":" + name))
	}
}

func (b *body) text(name string, into *string) {
	raw, ok := b.take(name)
	if !ok {
		return
	}
	var text *string
	if json.Unmarshal(raw, &text) != nil || text == nil {
		b.fail(invalid(name, "'%s' is not a valid string", short(raw)))
	} else if utf8.RuneCountInString(*text) > maxName {
		b.fail(invalid(name, "'%s' exceeds maximum length of %d", *text, maxName))
	} else {
		*into = *text
	}
}

// flag takes what Neutron takes for a boolean: true, false, the words in any case, 0 and 1.
func (b *body) flag(name string, into *bool) {
	raw, ok := b.take(name)
	if !ok {
		return
	}
	switch strings.ToLower(strings.Trim(string(raw), `"`)) {
	case "true", "1":
		*into = true
	case "false", "0":
		*into = false
	default:
		b.fail(invalid(name, "'%s' cannot be converted to boolean", short(raw)))
	}
}

func (b *body) number(name string, low, high int, into *int) {
	raw, ok := b.take(name)
	if !ok {
		return
	}
	var number *int
	if json.Unmarshal(bytes.Trim(raw, `"`), &number) != nil || number == nil {
		b.fail(invalid(name, "'%s' is not an integer", short(raw)))
	} else if *number < low || *number > high {
		b.fail(invalid(name, "'%d' is not in the range of %d to %d", *number, low, high))
	} else {
		*into = *number
	}
}

// id reads a UUID; null is "".
func (b *body) id(name string, into *string) {
	raw, ok := b.take(name)
	if !ok {
		return
	}
	var text *string
	if json.Unmarshal(raw, &text) != nil {
		b.fail(invalid(name, "'%s' is not a valid UUID", short(raw)))
		return
	}
	*into = ""
	if text == nil || *text == "" {
		return
	}
	if uuid.Validate(*text) != nil {
		b.fail(invalid(name, "'%s' is not a valid UUID", short(raw)))
		return
	}
	*into = *text
}

// address reads an IP address; null is the zero Addr.
func (b *body) address(name string, into *netip.Addr) {
	raw, ok := b.take(name)
	if !ok {
		return
	}
	var text *string
	if json.Unmarshal(raw, &text) != nil {
		b.fail(invalid(name, "'%s' is not a valid IP address", short(raw)))
		return
	}
	*into = netip.Addr{}
	if text == nil {
		return
	}
	address, err := parseAddress(*text)
	if err != nil {
		b.fail(invalid(name, "'%s' is not a valid IP address", *text))
		return
	}
	*into = address
}

// list reads a list whose entries have the shape of T, without entries beyond T's; null is the empty list.
func list[T any](b *body, name string, into *[]T) { listUpTo(b, name, maxEntries, into) }

func listUpTo[T any](b *body, name string, most int, into *[]T) {
	raw, ok := b.take(name)
	if !ok {
		return
	}
	var entries []T
	if err := rest.DecodeStrict(raw, &entries); err != nil {
		b.fail(invalid(name, "'%s' is not a valid list", short(raw)))
		return
	}
	if len(entries) > most {
		b.fail(invalid(name, "more than %d entries", most))
		return
	}
	*into = append([]T{}, entries...)
}

// none takes an attribute for something that is not there, as long as its value asks for nothing.
func (b *body) none(names ...string) {
	for _, name := range names {
		raw, ok := b.take(name)
		if !ok {
			continue
		}
		switch strings.Join(strings.Fields(string(raw)), "") {
		case "null", "[]", "{}", `""`, "false":
		default:
			b.fail(invalid(name, "it is not supported here"))
		}
	}
}

// project reads whose the new object is: the caller's, or with the administrator's rights anybody's.
func (b *body) project(kind string) string {
	project := b.caller.ProjectID
	for _, name := range []string{"tenant_id", "project_id"} {
		b.text(name, &project)
	}
	if project == "" {
		b.fail(badRequest("HTTPBadRequest", "The new object needs a project_id"))
	}
	b.fail(mayChange(b.caller, project, "create_"+kind))
	return project
}

// parseAddress reads an address as it can stand on a wire: without a zone, and IPv4 as IPv4.
func parseAddress(text string) (netip.Addr, error) {
	address, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("address: %w", err)
	}
	if address.Zone() != "" || address.Is4In6() {
		return netip.Addr{}, fmt.Errorf("address %s has a form that is not used on a wire", text)
	}
	return address, nil
}

// short keeps what is quoted back to the user at a readable length.
func short(raw json.RawMessage) string {
	text := strings.Trim(string(raw), `"`)
	if len(text) > maxName {
		text = strings.ToValidUTF8(text[:maxName], "") + "…"
	}
	return text
}

// again is the same request once more: a transaction that lost a race reads it a second time.
func (b *body) again() *body {
	fresh := *b
	fresh.attributes = maps.Clone(b.attributes)
	return &fresh
}

package lb

import (
	"maps"
	"slices"
	"strings"
)

// The headers that a listener can insert into requests (octavia-rules.md §2); their names are case-sensitive here. Those
// about the client's certificate need a listener that ends TLS.
var (
	forwardedHeaders = []string{"X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Forwarded-IP", "X-Client-IP", "X-Real-IP"}
	clientHeaders    = []string{
		"X-SSL-Client-Verify", "X-SSL-Client-Has-Cert", "X-SSL-Client-DN", "X-SSL-Client-CN", "X-SSL-Issuer", "X-SSL-Client-SHA1",
		"X-SSL-Client-Not-Before", "X-SSL-Client-Not-After",
	}
)

// checkInsertHeaders refuses headers that a listener of this protocol cannot insert.
func (l *Listener) checkInsertHeaders() error {
	names := slices.Sorted(maps.Keys(l.InsertHeaders))
	if len(names) == 0 {
		return nil
	}
	if !l.kind().http {
		return ErrOption("insert_headers", "insert-headers", "a "+string(l.Protocol)+" protocol listener.")
	}
	unknown := func(name string) bool {
		return !slices.Contains(forwardedHeaders, name) && !slices.Contains(clientHeaders, name)
	}
	if slices.ContainsFunc(names, unknown) {
		return ErrOption("insert_headers", "dict_keys("+pythonList(names)+")", "insert_headers") // as Octavia puts it
	}
	aboutClient := slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, "X-SSL-") })
	if len(aboutClient) > 0 && l.Protocol != TerminatedHTTPS {
		return ErrOption("insert_headers", pythonList(aboutClient), string(l.Protocol)+" protocol listener.")
	}
	return nil
}

// Package architecture holds the rules of the house as tests.
package architecture

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// arrows says which rooms a room may import, and is the whole list: a room that is not here fails the test.
// ARCHITECTURE.md says why.
var arrows = map[string][]string{
	// The domain and the data plane import nobody, above all not each other: control compiles one into the other.
	"internal/lb":                   {},
	"internal/dataplane":            {},
	"internal/dataplane/balance":    {"internal/dataplane"},
	"internal/dataplane/meter":      {"internal/dataplane"},
	"internal/dataplane/accesslog":  {},
	"internal/dataplane/tlsconf":    {"internal/dataplane"},
	"internal/dataplane/proxyproto": {"internal/dataplane", "internal/dataplane/tlsconf"},
	"internal/dataplane/exposition": {"internal/dataplane"},
	"internal/dataplane/loop":       {},
	"internal/dataplane/h1":         {},
	"internal/dataplane/h2":         {"internal/dataplane/h1"},
	"internal/dataplane/l7": {
		"internal/dataplane", "internal/dataplane/balance", "internal/dataplane/meter", "internal/dataplane/accesslog",
		"internal/dataplane/tlsconf", "internal/dataplane/h1",
	},
	"internal/dataplane/probe": {"internal/dataplane", "internal/dataplane/h1", "internal/dataplane/tlsconf", "internal/dataplane/proxyproto"},
	"internal/dataplane/datagram": {
		"internal/dataplane", "internal/dataplane/balance", "internal/dataplane/meter", "internal/dataplane/accesslog",
		"internal/dataplane/loop",
	},
	"internal/dataplane/gateway": {
		"internal/dataplane", "internal/dataplane/balance", "internal/dataplane/meter", "internal/dataplane/accesslog",
		"internal/dataplane/tlsconf", "internal/dataplane/h1", "internal/dataplane/l7", "internal/dataplane/proxyproto",
		"internal/dataplane/loop",
	},
	"internal/dataplane/proxy": {
		"internal/dataplane", "internal/dataplane/balance", "internal/dataplane/meter", "internal/dataplane/accesslog",
		"internal/dataplane/tlsconf", "internal/dataplane/h1", "internal/dataplane/h2", "internal/dataplane/l7", "internal/dataplane/gateway",
		"internal/dataplane/proxyproto", "internal/dataplane/exposition", "internal/dataplane/loop",
	},

	// The fabric gives sockets to the data plane, and knows nothing else of it.
	"internal/fabric":          {"internal/dataplane"},
	"internal/fabric/linux":    {"internal/dataplane", "internal/fabric"},
	"internal/fabric/loopback": {"internal/dataplane", "internal/fabric"},

	// The foundations of the APIs.
	"internal/limit":                 {},
	"internal/rest":                  {"internal/limit"},
	"internal/health":                {},
	"internal/metrics":               {"internal/rest", "internal/lb", "internal/dataplane"},
	"internal/database":              {},
	"internal/database/databasetest": {"internal/database"},

	// The stream of intent: wire, control with store, node with data plane. Traffic touches none of them.
	"internal/octavia":     {"internal/lb", "internal/rest", "internal/telemetry", "internal/dataplane/accesslog", "internal/limit"},
	"internal/telemetry":   {"internal/lb"},
	"internal/certificate": {"internal/lb", "internal/rest", "internal/dataplane", "internal/pkcs12", "internal/limit"},
	"internal/store":       {"internal/lb", "internal/database"},
	"internal/link":        {"internal/dataplane", "internal/dataplane/accesslog", "internal/fabric"},
	"internal/control": {
		"internal/lb", "internal/store", "internal/link", "internal/dataplane", "internal/dataplane/accesslog", "internal/fabric",
		"internal/rest", "internal/telemetry", "internal/limit",
	},
	"internal/node": {
		"internal/link", "internal/dataplane", "internal/dataplane/probe", "internal/dataplane/proxy", "internal/dataplane/datagram",
		"internal/dataplane/accesslog", "internal/dataplane/exposition", "internal/dataplane/loop", "internal/fabric",
	},

	// The neighbours do not know each other; each declares what it needs of another as an interface.
	"internal/keystone": {"internal/rest", "internal/database"},
	"internal/barbican": {"internal/rest", "internal/database"},
	"internal/neutron":  {"internal/rest", "internal/database", "internal/fabric", "internal/lb"},
	"internal/nova":     {"internal/rest", "internal/database", "internal/fabric", "internal/dataplane"},

	// Clients: the public APIs and the files of a user, nothing of the server.
	"internal/config":  {},
	"internal/clouds":  {},
	"internal/console": {"internal/pkcs12", "internal/limit"},
	"internal/lab":     {"internal/clouds"},
	"internal/cli":     {"internal/clouds", "internal/config", "internal/lab"},

	// Formats, which know no room.
	"internal/pkcs12": {},

	// For tests and the demonstration, which stand outside the server like a user.
	"internal/guide":    {},
	"internal/testhost": {},
	"internal/testpki":  {},
}

type pkg struct {
	ImportPath string
	Imports    []string
	GoFiles    []string
}

func TestImportArrows(t *testing.T) {
	for _, p := range list(t) {
		room := strings.TrimPrefix(p.ImportPath, "poise/")
		if len(p.GoFiles) == 0 || strings.HasPrefix(room, "cmd/") || strings.HasPrefix(room, "bench") {
			continue // tests only, or wiring
		}
		allowed, known := arrows[room]
		if !known {
			t.Errorf("%s is not in the plan of the house: give it a place here and in ARCHITECTURE.md", room)
		}
		for _, path := range p.Imports {
			if imported, own := strings.CutPrefix(path, "poise/"); own && !slices.Contains(allowed, imported) {
				t.Errorf("%s may not import %s", room, imported)
			}
		}
	}
}

// The domain is pure: of the standard library only what neither reads nor writes anything outside.
func TestDomainIsPure(t *testing.T) {
	pure := []string{"errors", "fmt", "net/netip", "slices", "strings", "time", "maps", "cmp", "regexp", "regexp/syntax", "unicode", "unicode/utf8", "math"}
	for _, p := range list(t) {
		if p.ImportPath != "poise/internal/lb" {
			continue
		}
		for _, path := range p.Imports {
			if !slices.Contains(pure, path) {
				t.Errorf("lb imports %s", path)
			}
		}
	}
}

func list(t *testing.T) []pkg {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,GoFiles", "poise/...")
	out, err := command.Output()
	if err != nil {
		t.Fatal("go list:", err)
	}
	var all []pkg
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

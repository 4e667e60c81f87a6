package architecture

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var quoted = regexp.MustCompile("`([^`]+)`")

// TestLimitsAreThere looks each name of the table of limits in docs/security.md up: a limit that is renamed or gone would
// leave a promise that nobody keeps.
func TestLimitsAreThere(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("../..", "docs/security.md"))
	if err != nil {
		t.Fatal(err)
	}
	settings, err := os.ReadFile(filepath.Join("../..", "docs/poise.toml"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), "| what | limit | share | setting | in the code |\n|---|---|---|---|---|\n")
	if !found {
		t.Fatal("docs/security.md has no table of limits")
	}
	declared, rows := declarations(t), 0
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if !strings.HasPrefix(line, "|") {
			break
		}
		rows++
		names := quoted.FindAllStringSubmatch(cells[len(cells)-1], -1)
		if len(names) == 0 {
			t.Errorf("%s: names nothing in the code", cells[0])
		}
		for _, name := range names {
			if !declared[name[1]] {
				t.Errorf("%s: there is no %s", cells[0], name[1])
			}
		}
		for _, name := range quoted.FindAllStringSubmatch(cells[len(cells)-2], -1) {
			section, key, isKey := strings.Cut(name[1], ".")
			if strings.HasPrefix(name[1], "[") {
				section, isKey = strings.Trim(section, "[]"), false
			} else if !isKey {
				continue // a command, or a setting of systemd
			}
			_, body, there := strings.Cut(string(settings), "\n["+section+"]")
			body, _, _ = strings.Cut(body, "\n[")
			if !there || isKey && !strings.Contains(body, "\n"+key+" = ") {
				t.Errorf("%s: docs/poise.toml has no %s", cells[0], name[1])
			}
		}
	}
	if rows < 40 {
		t.Errorf("the table has %d rows", rows)
	}
}

// declarations are the package-level names below internal, with the last part of their package's path.
func declarations(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	err := filepath.WalkDir(filepath.Join("../..", "internal"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					all[file.Name.Name+"."+d.Name.Name] = true
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if values, ok := spec.(*ast.ValueSpec); ok {
						for _, name := range values.Names {
							all[file.Name.Name+"."+name.Name] = true
						}
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

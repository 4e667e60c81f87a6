package guide

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTourIsFilledIn(t *testing.T) {
	for _, place := range []Place{{Region: "RegionOne"}, {Region: "RegionOne", Loopback: true}} {
		parts, err := Tour(place)
		if err != nil {
			t.Fatal(err)
		}
		commands := ""
		for _, part := range parts {
			if len(part.Steps) == 0 {
				t.Errorf("part %q has no steps", part.Title)
			}
			for _, step := range part.Steps {
				commands += step.Command + "\n"
			}
		}
		for _, wanted := range []string{"--vip-subnet-id subnet-regionone", "wget -q " + place.FloatingIP(), "--address " + place.Member()} {
			if !strings.Contains(commands, wanted) {
				t.Errorf("%+v: no command has %q", place, wanted)
			}
		}
		if strings.Contains(commands, "{region}") || place.Loopback && strings.Contains(commands, " 10.") {
			t.Errorf("%+v: something is not filled in:\n%s", place, commands)
		}
	}
}

func TestHTTPSIsFilledIn(t *testing.T) {
	parts, err := HTTPS(Place{Region: "RegionOne"})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		for _, step := range part.Steps {
			if strings.Contains(step.Command, "{region}") {
				t.Errorf("%s: %s is not filled in", part.Title, step.Command)
			}
		}
	}
}

func TestParse(t *testing.T) {
	got, err := parse("# remark\n== One\n> Look.\n% 5s\n$ a \\\n  b\n: id <uuid>\n: tags? []\n$ c\n| id | name |\n| 1 | <empty> |\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []Part{{Title: "One", Steps: []Step{
		{Remark: "Look.", Within: 5e9, Command: "a \\\n  b", Want: Want{Fields: []Field{
			{Name: "id", Value: "<uuid>"}, {Name: "tags", Value: "[]", Newer: true},
		}}},
		{Command: "c", Want: Want{Columns: []string{"id", "name"}, Rows: [][]string{{"1", "<empty>"}}}},
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"a command outside of parts":  "$ true",
		"a want before its command":   "== One\n: id 1",
		"a field without value":       "== One\n$ true\n: id",
		"a line that is not a regexp": "== One\n$ true\n= (",
		"an unknown mark":             "== One\n$ true\n! id",
		"a time without unit":         "== One\n% 5",
	} {
		t.Run(name, func(t *testing.T) {
			if parts, err := parse(text); err == nil {
				t.Errorf("parsed as %+v", parts)
			}
		})
	}
}

const (
	objectTable = "+----+----+\n| Field | Value |\n+----+----+\n| id | 1ab11475-4700-4047-858c-34bbf2fe1f3e |\n| pools | a |\n|  | b |\n+----+----+\n"
	listTable   = "+----+----+\n| id | state |\n+----+----+\n| 1 | ONLINE |\n| 2 | ERROR |\n+----+----+\n"
)

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		want, output string
		reason       string // "": content
	}{
		"anything":               {"", "whatever", ""},
		"object":                 {": id <uuid>", objectTable, ""},
		"object, wrong kind":     {": id <address>", objectTable, "id is"},
		"object, wrong value":    {": pools c", objectTable, "pools is"},
		"object, field missing":  {": name mylb", objectTable, "no field name"},
		"object, newer field":    {": name? mylb", objectTable, ""},
		"object, but a list":     {": id <uuid>", listTable, "not the table of an object"},
		"object, but no table":   {": id <uuid>", "Not Found", "no table"},
		"list":                   {"| id | state |\n| 1 | ONLINE |\n| 2 | ERROR |", listTable, ""},
		"list in another order":  {"| id | state |\n| 2 | ERROR |\n| 1 | ONLINE |", listTable, ""},
		"list, other columns":    {"| id | name |\n| 2 | ERROR |\n| 1 | ONLINE |", listTable, "columns"},
		"list, a row too few":    {"| id | state |\n| 1 | ONLINE |", listTable, "2 rows"},
		"list, no row like this": {"| id | state |\n| 1 | ONLINE |\n| 2 | ONLINE |", listTable, "no row"},
		"line":                   {"= Yello from srv-[12]!", "\nYello from srv-2!\n", ""},
		"line, other text":       {"= Yello from srv-[12]!", "Yello from srv-3!", "line 1"},
		"line, one too many":     {"= Yello", "Yello\nYello", "2 lines"},
	} {
		t.Run(name, func(t *testing.T) {
			parts, err := parse("== One\n$ true\n" + c.want)
			if err != nil {
				t.Fatal(err)
			}
			err = parts[0].Steps[0].Want.Check(c.output)
			if (err == nil) != (c.reason == "") || err != nil && !strings.Contains(err.Error(), c.reason) {
				t.Errorf("got %v, want %q", err, c.reason)
			}
		})
	}
}

func TestParseObjectJoinsLines(t *testing.T) {
	object, err := ParseObject(objectTable)
	if err != nil || object["pools"] != "a\nb" {
		t.Errorf("got %q, %v", object["pools"], err)
	}
}

func FuzzParseList(f *testing.F) {
	f.Add(objectTable)
	f.Add(listTable)
	f.Fuzz(func(t *testing.T, output string) {
		columns, rows, err := ParseList(output)
		for _, row := range rows {
			if err == nil && len(row) != len(columns) {
				t.Errorf("row %q has not the %d cells of its header", row, len(columns))
			}
		}
	})
}

package guide

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Want is what a command must print: the table of one object, the table of a list, or lines. The zero Want is content
// with anything.
type Want struct {
	Fields  []Field
	Columns []string
	Rows    [][]string // values, as in Field
	Lines   []*regexp.Regexp
}

// Field is one row of the table of an object.
type Field struct {
	Name string
	// Value is a kind (<uuid>) or stands for itself.
	Value string
	// Newer says that only newer clients than Debian's print the field.
	Newer bool
}

func (w *Want) line(mark, rest string) error {
	switch mark {
	case ":":
		words := strings.Fields(rest)
		if len(words) != 2 {
			return fmt.Errorf("want a field and its value, not %q", rest)
		}
		name, newer := strings.CutSuffix(words[0], "?")
		w.Fields = append(w.Fields, Field{Name: name, Value: words[1], Newer: newer})
	case "|":
		cells := cellsOf("| " + rest)
		if w.Columns == nil {
			w.Columns = cells
		} else {
			w.Rows = append(w.Rows, cells)
		}
	case "=":
		line, err := regexp.Compile("^" + rest + "$")
		if err != nil {
			return err
		}
		w.Lines = append(w.Lines, line)
	default:
		return fmt.Errorf("unknown mark %q", mark)
	}
	return nil
}

// Check says in which way the output is not as it must be.
func (w *Want) Check(output string) error {
	switch {
	case w.Fields != nil:
		return w.checkFields(output)
	case w.Columns != nil:
		return w.checkRows(output)
	case w.Lines != nil:
		return w.checkLines(output)
	}
	return nil
}

func (w *Want) checkFields(output string) error {
	object, err := ParseObject(output)
	if err != nil {
		return err
	}
	for _, f := range w.Fields {
		value, printed := object[f.Name]
		if !printed && f.Newer {
			continue
		}
		if !printed {
			return fmt.Errorf("there is no field %s", f.Name)
		}
		if !isOfKind(value, f.Value) {
			return fmt.Errorf("%s is %q, not %s", f.Name, value, f.Value)
		}
	}
	return nil
}

// checkRows finds a row of its own for each that is wanted, and wants no more.
func (w *Want) checkRows(output string) error {
	columns, rows, err := ParseList(output)
	if err != nil {
		return err
	}
	if !slices.Equal(columns, w.Columns) {
		return fmt.Errorf("the columns are %v, not %v", columns, w.Columns)
	}
	if len(rows) != len(w.Rows) {
		return fmt.Errorf("there are %d rows, not %d", len(rows), len(w.Rows))
	}
	for _, wanted := range w.Rows {
		at := slices.IndexFunc(rows, func(row []string) bool { return slices.EqualFunc(row, wanted, isOfKind) })
		if at < 0 {
			return fmt.Errorf("no row is like %v", wanted)
		}
		rows = slices.Delete(rows, at, at+1)
	}
	return nil
}

// checkLines passes over empty lines.
func (w *Want) checkLines(output string) error {
	lines := slices.DeleteFunc(strings.Split(output, "\n"), func(line string) bool { return strings.TrimSpace(line) == "" })
	if len(lines) != len(w.Lines) {
		return fmt.Errorf("there are %d lines, not %d", len(lines), len(w.Lines))
	}
	for i, wanted := range w.Lines {
		if !wanted.MatchString(lines[i]) {
			return fmt.Errorf("line %d is %q, not %s", i+1, lines[i], wanted)
		}
	}
	return nil
}

var kinds = map[string]func(value string) bool{
	"<uuid>":    regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString,
	"<project>": regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString,
	"<time>":    regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ?$`).MatchString,
	"<word>":    regexp.MustCompile(`^\w+$`).MatchString,
	"<empty>":   func(value string) bool { return value == "" },
	"<address>": func(value string) bool {
		_, err := netip.ParseAddr(value)
		return err == nil
	},
}

func isOfKind(value, kind string) bool {
	if is, ok := kinds[kind]; ok {
		return is(value)
	}
	return value == kind
}

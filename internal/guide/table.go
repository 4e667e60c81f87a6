package guide

import (
	"fmt"
	"strings"
)

// ParseObject reads a table with the columns Field and Value, as the openstack client prints it.
func ParseObject(output string) (map[string]string, error) {
	columns, rows, err := ParseList(output)
	if err != nil {
		return nil, err
	}
	if len(columns) != 2 || columns[0] != "Field" || columns[1] != "Value" {
		return nil, fmt.Errorf("not the table of an object: its columns are %v", columns)
	}
	object := map[string]string{}
	field := ""
	for _, row := range rows {
		if row[0] == "" { // a further line of the value
			object[field] += "\n" + row[1]
			continue
		}
		field = row[0]
		object[field] = row[1]
	}
	return object, nil
}

// ParseList reads a table: its header, and its rows.
func ParseList(output string) (columns []string, rows [][]string, err error) {
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			continue
		}
		cells := cellsOf(line)
		switch {
		case columns == nil:
			columns = cells
		case len(cells) != len(columns):
			return nil, nil, fmt.Errorf("row %q has not the %d cells of the header", line, len(columns))
		default:
			rows = append(rows, cells)
		}
	}
	if columns == nil {
		return nil, nil, fmt.Errorf("there is no table in %q", output)
	}
	return columns, rows, nil
}

func cellsOf(line string) []string {
	cells := strings.Split(strings.Trim(line, "|"), "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells
}

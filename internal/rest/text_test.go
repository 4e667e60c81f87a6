package rest_test

import (
	"errors"
	"testing"

	"poise/internal/rest"
)

func TestCheckText(t *testing.T) {
	for _, tt := range []struct{ name, body, field string }{
		{"nothing wrong", `{"a": "\u0041", "b": ["ä", {"c": 1.5}], "d": null}`, ""},
		{"an escaped backslash", `{"a": "\\u0000"}`, ""},
		{"no JSON", "{\xff", ""},
		{"NUL", `{"network": {"shared": false, "name": "a\u0000b"}}`, "network.name"},
		{"not UTF-8", "{\"network\": {\"name\": \"\xc3\"}}", "network.name"},
		{"after objects and lists", `{"a": {"b": [1, {"c": "x"}], "d": {}}, "e": [["\u0000"]]}`, "e"},
		{"in a list of objects", `{"ports": [{"name": "a"}, {"tags": ["b", "\u0000"]}]}`, "ports.tags"},
		{"a key", `{"metadata": {"ok": "x", "a\u0000": "y"}}`, "metadata.a\ufffd"},
		{"no field", `"\u0000"`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := rest.CheckText([]byte(tt.body))
			var wrong *rest.DecodeError
			if errors.As(err, &wrong); tt.name == "no field" && wrong == nil {
				t.Fatal("it is taken")
			}
			if field := fieldOf(wrong); field != tt.field {
				t.Errorf("field %q, want %q (%v)", field, tt.field, err)
			}
		})
	}
}

func fieldOf(err *rest.DecodeError) string {
	if err == nil {
		return ""
	}
	return err.Field
}

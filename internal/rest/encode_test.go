package rest

import (
	"encoding/json"
	"net/netip"
	"testing"
)

func TestAppendJSON(t *testing.T) {
	for name, v := range map[string]any{
		"null": nil, "bool": true, "int": -7, "float": 1.5, "text": "a b", "escaped": "\"<\\>&\x00\x7fä\xff\u2028",
		"empty": map[string]any{}, "nil map": map[string]any(nil), "nil list": []any(nil), "nil objects": []map[string]any(nil),
		"number": json.Number("12"), "address": netip.MustParseAddr("::1"), "ids": []struct{ ID string }{{"a"}},
		"list": map[string]any{"things": []map[string]any{{"z": nil, "a": []any{1, "x", map[string]any{"ü": []string{"t"}}}}, nil}},
	} {
		want, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := appendJSON([]byte("-"), v); err != nil || string(got) != "-"+string(want) {
			t.Errorf("%s: %s %v, want %s", name, got, err, want)
		}
	}
	if _, err := appendJSON(nil, map[string]any{"x": []any{make(chan int)}}); err == nil {
		t.Error("a channel is encoded")
	}
}

func FuzzAppendJSON(f *testing.F) {
	f.Add([]byte(`{"a": [1, "x<", null, true, {"b": {}}], "ä": 1.5e3}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var v any
		if json.Unmarshal(text, &v) != nil {
			return
		}
		want, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := appendJSON(nil, v); err != nil || string(got) != string(want) {
			t.Errorf("%s %v, want %s", got, err, want)
		}
	})
}

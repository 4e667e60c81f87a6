package l7

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzList holds how the values of a header are found against a plain reading of RFC 9110 §5.6.1, character by character.
func FuzzList(f *testing.F) {
	for _, seed := range []string{"", "a", "a,b", " a , b ", ",,", "a,", `"a,b",c`, `"a\",b",c`, `"a`, `a"b,c`, `\",a`, "a,\tb"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		sampler := newSampler()
		slot := sampler.header("X")
		s := sampler.fresh()
		s.begin(&Request{Fields: fields("x: " + text)}, plain)
		s.work.steps = turnSteps
		_, _ = s.any(&rule{slot: slot, test: test{value: "\x00"}}) // reads all
		var got []string
		for _, v := range s.values {
			got = append(got, v.text)
		}
		if diff := cmp.Diff(plainList(text), got); diff != "" {
			t.Error(diff)
		}
	})
}

func plainList(text string) (list []string) {
	var members []string
	from, quoted, escaped := 0, false, false
	for i, c := range []byte(text) {
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			members = append(members, text[from:i])
			from = i + 1
		}
	}
	members = append(members, text[from:])
	for _, m := range members {
		if m = strings.Trim(m, " \t"); m != "" || text == "" {
			list = append(list, m)
		}
	}
	return list
}

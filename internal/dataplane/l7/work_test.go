package l7

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
)

// whole is what a test says of a sample, in as many turns of a few steps as it takes.
func whole(t *test, sample string) bool {
	var w work
	for {
		w.steps = 5
		if passes, done := t.passes(sample, &w); done {
			return passes
		}
	}
}

// FuzzPattern holds expressions, evaluated a few steps at a time, against package regexp.
func FuzzPattern(f *testing.F) {
	for _, seed := range [][2]string{
		{"^/api/v[0-9]+/", "/api/v12/users"},
		{`\.(php|html?)$`, "/index.htm"},
		{"(a|ab)(c|bcd)(d*)", "abcd"},
		{"a{3,5}b", "aaaab"},
		{`(?i)straße\b`, "STRASSE straße"},
		{"(?s)a.b", "a\nb"},
		{"(?m)^b$", "a\nb\nc"},
		{`[^\x00-\x7f]+`, "é\xff"},
		{"(a*)*b", "aaaaac"},
		{`\Babc`, "xabc abc"},
		{"x*", ""},
		{`\pL+`, "ÄÖ"},
		{"(?:(?:a|b)*c)+$", "abcabcab"},
		{"^$|a^", "a"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, expression, sample string) {
		if len(sample) > 1<<10 {
			return
		}
		for _, fold := range []bool{false, true} {
			compiled, err := newTest("REGEX", expression, fold)
			if err != nil {
				return
			}
			if fold {
				if strings.ToLower(sample) != asciiLower(sample) {
					return // hosts are ASCII
				}
				sample = asciiLower(sample)
			}
			if got, want := whole(&compiled, sample), regexpFor(expression, fold).MatchString(sample); got != want {
				t.Errorf("%q in %q, fold %t: %t, want %t", expression, sample, fold, got, want)
			}
		}
	})
}

func asciiLower(s string) string {
	lower := []byte(s)
	for i := range lower {
		lower[i] = lowerCase(lower[i])
	}
	return string(lower)
}

// longest is a sample as long as a request's head can have it.
var longest = strings.Repeat("a", 16<<10)

// TestNothingIsCut has rules find what stands at the end of the longest samples, with the longest expressions.
func TestNothingIsCut(t *testing.T) {
	long := "(?:" + strings.Repeat("[ab]{0,99}", 4) + "x)?" // some 800 instructions, and matches anything
	for name, test := range map[string]struct {
		rule    dataplane.Rule
		request Request
	}{
		"path":                  {dataplane.Rule{Type: "PATH", Compare: "REGEX", Value: "evil" + long + "$"}, Request{Path: "/" + longest + "evil"}},
		"path, plain":           {dataplane.Rule{Type: "PATH", Compare: "CONTAINS", Value: "evil"}, Request{Path: "/" + longest + "evil"}},
		"path, without literal": {dataplane.Rule{Type: "PATH", Compare: "REGEX", Value: "[e]v[i]l" + long + "$"}, Request{Path: "/" + longest + "evil"}},
		"file type":             {dataplane.Rule{Type: "FILE_TYPE", Compare: "REGEX", Value: `\.(php|cgi)$`}, Request{Path: "/" + longest + ".php"}},
		"host":                  {dataplane.Rule{Type: "HOST_NAME", Compare: "REGEX", Value: "evil" + long + "$"}, Request{Host: longest + "EVIL", Path: "/"}},
		"header": {
			dataplane.Rule{Type: "HEADER", Compare: "REGEX", Key: "x", Value: "[ev]{2}il" + long + "$"},
			Request{Path: "/", Fields: fields("X: " + longest + "evil")},
		},
		"the first of many values of a header": {
			dataplane.Rule{Type: "HEADER", Compare: "REGEX", Key: "x", Value: "^[ev]{2}il" + long + "$"},
			Request{Path: "/", Fields: fields("X: evil" + strings.Repeat(",a", 8<<10))},
		},
		"cookie": {
			dataplane.Rule{Type: "COOKIE", Compare: "REGEX", Key: "x", Value: "evil" + long + "$"},
			Request{Path: "/", Fields: fields("Cookie: x=" + longest + "evil")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, dataplane.Requests{Policies: []dataplane.Policy{{ID: "p", Action: dataplane.Reject, Rules: []dataplane.Rule{test.rule}}}})
			if test.request.Fields == nil {
				test.request.Fields = Pairs{}
			}
			if got := s.Route(&test.request, plain); got.PolicyID != "p" {
				t.Errorf("passed by: %+v", got)
			}
		})
	}
}

// costly makes policies whose expressions have some 1,000 instructions, all of which are looked at with each byte.
func costly(n int) (all []dataplane.Policy) {
	for i := range n {
		expression := "[ab]{0,140}[ac]{0,95}" + strings.Repeat("[xy]", i+1)
		all = append(all, dataplane.Policy{
			ID: fmt.Sprint("policy ", i), Action: dataplane.Reject,
			Rules: []dataplane.Rule{{Type: "PATH", Compare: "REGEX", Value: "[/]" + expression + "|" + "[a]" + expression}},
		})
	}
	return all
}

// TestTurnsAreShort counts what one turn does, whatever the rules are.
func TestTurnsAreShort(t *testing.T) {
	s := newSite(t, dataplane.Requests{Policies: costly(3)})
	r := &Request{Path: "/" + longest[:200], Fields: Pairs{}}
	if _, ok := s.Try(r, plain); ok {
		t.Fatal("one turn was enough")
	}
	routing := s.Start(r, plain)
	defer routing.End()
	turns := 0
	for done := false; !done; turns++ {
		before := routing.samples.spent
		var d Decision
		if d, done = routing.Continue(); done && d.Pool == nil {
			t.Errorf("decided %+v", d)
		}
		if spent := routing.samples.spent - before; spent > turnSteps+2*maxProgram {
			t.Errorf("a turn took %d steps", spent)
		}
	}
	if turns < 5 {
		t.Errorf("decided in %d turns", turns)
	}
}

// TestWhatIsTooMuchIsRefused has a request that takes more than may be spent on one.
func TestWhatIsTooMuchIsRefused(t *testing.T) {
	s := newSite(t, dataplane.Requests{Policies: costly(1)})
	r := &Request{Path: "/" + longest[:200], Fields: Pairs{}}
	routing := s.Start(r, plain)
	defer routing.End()
	routing.samples.spent = maxSteps + 1 - turnSteps
	d, done := routing.Continue()
	if !done {
		d, done = routing.Continue()
	}
	if !done || d.Pool != nil || d.Answer == nil || d.Answer.Status != 403 || d.Answer.End != accesslog.RulesExceeded {
		t.Errorf("decided %+v, done %t", d, done)
	}
}

// BenchmarkPattern compares with package regexp.
func BenchmarkPattern(b *testing.B) {
	for _, expression := range []string{`^/api/v[0-9]+/users/[0-9]+$`, `\.(jpg|png|gif)$`, `/(admin|login)\.php`, `[a-z]+[0-9]{2,5}x`} {
		for _, sample := range []string{"/api/v1/users/4711", "/static/images/2026/11/summer-12345.jpg"} {
			compiled, _ := newTest("REGEX", expression, false)
			var w work
			b.Run(expression+"/"+sample[1:4]+"/own", func(b *testing.B) {
				for b.Loop() {
					w.steps = 1 << 20
					compiled.passes(sample, &w)
				}
			})
			plain := regexp.MustCompile(expression)
			b.Run(expression+"/"+sample[1:4]+"/regexp", func(b *testing.B) {
				for b.Loop() {
					plain.MatchString(sample)
				}
			})
		}
	}
}

// BenchmarkStep says what a step costs at worst.
func BenchmarkStep(b *testing.B) {
	compiled, _ := newTest("REGEX", "[ab]{0,290}[ac]{0,190}[xy]", false)
	var w work
	sample := longest[:4<<10]
	steps := 0
	for b.Loop() {
		w.steps = 1 << 30
		compiled.passes(sample, &w)
		steps += 1<<30 - w.steps
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(steps), "ns/step")
}

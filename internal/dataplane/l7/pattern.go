package l7

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// Evaluation takes time linear in the length of the sample and in that of the compiled expression. An event loop that does
// it serves others as well, so both are limited: the worst expression takes some 15 ms, usual ones less than a millisecond.
const (
	maxSample  = 8 << 10 // bytes of a sample that are looked at: a whole path (h1.MaxTarget)
	maxProgram = 1000    // instructions of a compiled expression
	maxSteps   = 1 << 20 // instructions times bytes; long expressions look at the first bytes of a sample only
)

// pattern is a regular expression.
type pattern struct {
	expression *regexp.Regexp
	literal    string // in every sample that matches, so that most others need no evaluation; "": none is known
	limit      int    // bytes of a sample that are looked at
}

// newPatternTest compiles an expression: to a plain comparison where it is none but in form.
func newPatternTest(expression string, fold bool) (test, error) {
	flags := syntax.Perl
	if fold {
		flags |= syntax.FoldCase
		expression = "(?i)" + expression
	}
	parsed, err := syntax.Parse(expression, flags)
	if err != nil {
		return test{}, fmt.Errorf("regular expression: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	parsed = parsed.Simplify()
	program, err := syntax.Compile(parsed)
	if err != nil || len(program.Inst) > maxProgram {
		return test{}, fmt.Errorf("the regular expression is too large when its repetitions are written out")
	}
	if plain, ok := plainTest(parsed, fold); ok {
		return plain, nil
	}
	compiled, err := regexp.Compile(expression)
	if err != nil {
		return test{}, errors.New("the regular expression cannot be compiled")
	}
	limit := min(maxSample, maxSteps/len(program.Inst))
	return test{compare: matchesPattern, pattern: &pattern{compiled, required(parsed, fold), limit}}, nil
}

func (p *pattern) matches(sample string) bool {
	sample = sample[:min(len(sample), p.limit)]
	return strings.Contains(sample, p.literal) && p.expression.MatchString(sample)
}

// plainTest is the comparison that a literal with or without anchors makes: ^/api is STARTS_WITH.
func plainTest(e *syntax.Regexp, fold bool) (t test, ok bool) {
	parts := []*syntax.Regexp{e}
	if e.Op == syntax.OpConcat {
		parts = e.Sub
	}
	var start, end bool
	if parts[0].Op == syntax.OpBeginText {
		start, parts = true, parts[1:]
	}
	if n := len(parts); n > 0 && parts[n-1].Op == syntax.OpEndText {
		end, parts = true, parts[:n-1]
	}
	if len(parts) != 1 || parts[0].Op != syntax.OpLiteral {
		return test{}, false
	}
	t.value, ok = literal(parts[0], fold)
	switch {
	case start && end:
		t.compare = equals
	case start:
		t.compare = startsWith
	case end:
		t.compare = endsWith
	default:
		t.compare = contains
	}
	return t, ok
}

// required is the longest literal that must be in whatever matches.
func required(e *syntax.Regexp, fold bool) (longest string) {
	switch e.Op {
	case syntax.OpLiteral:
		longest, _ = literal(e, fold)
	case syntax.OpConcat:
		for _, part := range e.Sub {
			if l := required(part, fold); len(l) > len(longest) {
				longest = l
			}
		}
	case syntax.OpCapture, syntax.OpPlus:
		longest = required(e.Sub[0], fold)
	}
	return longest
}

// literal is the text of a literal as it stands in a sample. With fold samples are in lower case; without, a literal that
// matches in any case is no one text.
func literal(e *syntax.Regexp, fold bool) (text string, ok bool) {
	if e.Flags&syntax.FoldCase == 0 {
		return string(e.Rune), true
	}
	if !fold {
		return "", false
	}
	return strings.ToLower(string(e.Rune)), true
}

package l7

import (
	"fmt"
	"regexp/syntax"
	"strings"
)

// maxProgram is how many instructions a compiled expression may have. Each byte of a sample costs as many steps at worst.
const maxProgram = 1000

// pattern is a regular expression.
type pattern struct {
	program  *syntax.Prog
	anchored bool   // it matches at the beginning of a sample only
	prefix   string // with which every match begins; "": none is known
	literal  string // in every sample that matches, so that most others need no evaluation; "": none is known
}

// newPatternTest compiles an expression: to a plain comparison where it is none but in form.
func newPatternTest(expression string, fold bool) (test, error) {
	flags := syntax.Perl
	if fold {
		flags |= syntax.FoldCase
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
	p := &pattern{program: program, literal: required(parsed, fold)}
	p.prefix, _ = program.Prefix()
	p.anchored = program.StartCond()&syntax.EmptyBeginText != 0
	return test{compare: matchesPattern, pattern: p}, nil
}

// matches evaluates the expression on the whole sample; done is false when the steps of this turn do not suffice: it then goes
// on with the next call.
func (p *pattern) matches(sample string, w *work) (matches, done bool) {
	if w.matcher.pattern == nil {
		if p.literal != "" {
			if w.search(sample); !strings.Contains(sample, p.literal) {
				return false, true
			}
		}
		w.matcher.begin(p, sample)
	}
	matches, done = w.matcher.run(w)
	if done {
		w.matcher.pattern, w.matcher.sample = nil, ""
	}
	return matches, done
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

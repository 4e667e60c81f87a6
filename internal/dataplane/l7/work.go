package l7

import (
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// Comparing a request with rules is counted in steps. A step is one instruction of a regular expression at one place of the
// sample, one comparison, or stepBytes bytes that were searched for a text: some 10 ns each. No step is left out, however long
// the sample is; what takes longer is done later (see [Routing]), or the request is refused.
const (
	// turnSteps is what one turn of an event loop may spend on one request: some 0.2 ms.
	turnSteps = 16 << 10
	// maxSteps is what one request may take over all rules of its listener. The instructions of all expressions
	// (lb allows 8,192 for each listener) at every byte of the longest head (24 KiB) fit in.
	maxSteps  = 1 << 28
	stepBytes = 8
)

// work is how much may still be done in this turn, and the expression that is being evaluated, if one is.
type work struct {
	steps   int
	matcher matcher
}

// search accounts for looking for a text in a sample.
func (w *work) search(sample string) { w.steps -= 1 + len(sample)/stepBytes }

// matcher evaluates a regular expression by following all its threads at once (Thompson's simulation), rune by rune, so that
// it can stop at any place and go on later. Package regexp cannot. Which part of the sample matches does not matter here.
type matcher struct {
	pattern *pattern // nil: none is being evaluated
	sample  string
	at      int      // where the next rune begins
	before  rune     // the one before it; endOfText at the beginning
	now     []uint32 // instructions to be looked at before the next rune
	later   []uint32 // and after it
	seen    []uint32 // by instruction: the round in which it was looked at last
	round   uint32
}

const endOfText rune = -1

// begin starts an evaluation.
func (m *matcher) begin(p *pattern, sample string) {
	m.pattern, m.sample, m.at, m.before = p, sample, 0, endOfText
	m.now = m.now[:0]
	if n := len(p.program.Inst); len(m.seen) < n {
		m.seen, m.round = make([]uint32, n), 0
	}
}

// run goes on until the answer is known or the steps are used up.
func (m *matcher) run(w *work) (matches, done bool) {
	p := m.pattern
	for w.steps > 0 {
		if len(m.now) == 0 && !m.skip(w) {
			return false, true
		}
		next, width := endOfText, 0
		if m.at < len(m.sample) {
			next, width = rune(m.sample[m.at]), 1
			if next >= utf8.RuneSelf {
				next, width = utf8.DecodeRuneInString(m.sample[m.at:])
			}
		}
		if m.at == 0 || !p.anchored {
			m.now = append(m.now, uint32(p.program.Start))
		}
		if m.follow(next, w) {
			return true, true
		}
		if width == 0 || len(m.now) == 0 && p.anchored {
			return false, true
		}
		m.at += width
		m.before = next
	}
	return false, false
}

// skip moves to where the expression can begin to match while no thread is under way; false: there is no such place.
func (m *matcher) skip(w *work) bool {
	prefix := m.pattern.prefix
	if prefix == "" {
		return true
	}
	rest := m.sample[m.at:]
	i := strings.Index(rest, prefix)
	if i < 0 {
		w.search(rest)
		return false
	}
	w.search(rest[:i])
	if i > 0 {
		m.at += i
		m.before, _ = utf8.DecodeLastRuneInString(m.sample[:m.at])
	}
	return true
}

// follow looks at the instructions of all threads before the next rune, and collects those that follow it. It says whether
// one of them is a match.
func (m *matcher) follow(next rune, w *work) bool {
	if m.round++; m.round == 0 { // after 2^32 runes
		clear(m.seen)
		m.round = 1
	}
	m.later = m.later[:0]
	w.steps--
	for len(m.now) > 0 {
		pc := m.now[len(m.now)-1]
		m.now = m.now[:len(m.now)-1]
		if m.seen[pc] == m.round {
			continue
		}
		m.seen[pc] = m.round
		w.steps--
		switch inst := &m.pattern.program.Inst[pc]; inst.Op {
		case syntax.InstMatch:
			return true
		case syntax.InstAlt, syntax.InstAltMatch:
			m.now = append(m.now, inst.Arg, inst.Out)
		case syntax.InstCapture, syntax.InstNop:
			m.now = append(m.now, inst.Out)
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(inst.Arg)&^syntax.EmptyOpContext(m.before, next) == 0 {
				m.now = append(m.now, inst.Out)
			}
		default:
			if takes(inst, next) {
				m.later = append(m.later, inst.Out)
			}
		}
	}
	m.now, m.later = m.later, m.now
	return false
}

// takes says whether an instruction of one rune is for this one.
func takes(inst *syntax.Inst, next rune) bool {
	switch {
	case next == endOfText || inst.Op == syntax.InstFail:
		return false
	case inst.Op == syntax.InstRuneAny:
		return true
	case inst.Op == syntax.InstRuneAnyNotNL:
		return next != '\n'
	case inst.Op == syntax.InstRune1:
		return next == inst.Rune[0]
	}
	return inst.MatchRune(next)
}

package l7

import (
	"fmt"
	"strconv"
	"strings"

	"poise/internal/dataplane"
	"poise/internal/dataplane/tlsconf"
)

// rule is one condition, compiled.
type rule struct {
	source source
	slot   int    // of the samples of a header or a cookie
	key    string // of a field of the client's name
	code   int    // of a verify result
	invert bool
	test   test
}

// source is where a rule's sample comes from.
type source uint8

const (
	hostSource source = iota
	pathSource
	headerSource
	cookieSource
	certificateSource
	verifySource
	nameSource
)

var sources = map[string]source{
	"HOST_NAME": hostSource, "PATH": pathSource, "FILE_TYPE": pathSource, "HEADER": headerSource, "COOKIE": cookieSource,
	"SSL_CONN_HAS_CERT": certificateSource, "SSL_VERIFY_RESULT": verifySource, "SSL_DN_FIELD": nameSource,
}

func newRule(r *dataplane.Rule, samples *sampler) (rule, error) {
	from, ok := sources[r.Type]
	if !ok {
		return rule{}, fmt.Errorf("type %q is not known", r.Type)
	}
	compiled := rule{source: from, key: r.Key, invert: r.Invert}
	compare := r.Compare
	switch {
	case from == headerSource:
		compiled.slot = samples.header(r.Key)
	case from == cookieSource:
		compiled.slot = samples.cookie(r.Key)
	case from == certificateSource:
		return compiled, nil
	case from == verifySource:
		compiled.code = verifyCode(r.Value)
		return compiled, nil
	case r.Type == "FILE_TYPE" && compare == "EQUAL_TO":
		compare = "ENDS_WITH"
	}
	var err error
	compiled.test, err = newTest(compare, unquoted(r.Value), from == hostSource)
	return compiled, err
}

// verifyCode is OpenSSL's code in a rule's value; one that cannot occur when it is none.
func verifyCode(value string) int {
	code, err := strconv.Atoi(value)
	if err != nil {
		return -1
	}
	return code
}

// unquoted takes the double quotes off a value that is in them: they are there so that the API accepts blanks.
func unquoted(value string) string {
	if len(value) >= 2 && strings.HasPrefix(value, `"`) && strings.HasSuffix(value, `"`) {
		return value[1 : len(value)-1]
	}
	return value
}

// cost orders the rules of a policy: all must match, so that the cheap ones may spare the others.
func (r *rule) cost() int {
	cost := int(r.source)
	if r.test.compare == matchesPattern {
		cost += 100
	}
	return cost
}

// holds says whether any of the rule's samples passes the test. Without a sample none does. Done is false when the steps of this
// turn do not suffice.
func (r *rule) holds(s *samples) (holds, done bool) {
	switch r.source {
	case hostSource:
		return r.test.passes(s.host(), &s.work)
	case pathSource:
		return r.test.passes(s.path, &s.work)
	case headerSource, cookieSource:
		return s.any(r)
	}
	s.work.steps--
	if peer := s.client.TLS; peer != nil {
		return r.holdsOf(peer, &s.work)
	}
	return false, true
}

func (r *rule) holdsOf(peer *tlsconf.Peer, w *work) (holds, done bool) {
	switch r.source {
	case certificateSource:
		return peer.Certificate != nil, true
	case verifySource:
		return peer.VerifyResult() == r.code, true
	}
	if peer.Certificate != nil {
		w.steps -= len(peer.Certificate.RawSubject) / stepBytes // is read through
	}
	value, ok := peer.SubjectField(r.key)
	if !ok {
		return false, true
	}
	return r.test.passes(value, w)
}

// test compares a sample with a rule's value.
type test struct {
	compare comparison
	value   string
	pattern *pattern
}

type comparison uint8

const (
	equals comparison = iota
	startsWith
	endsWith
	contains
	matchesPattern
)

var comparisons = map[string]comparison{
	"EQUAL_TO": equals, "STARTS_WITH": startsWith, "ENDS_WITH": endsWith, "CONTAINS": contains, "REGEX": matchesPattern,
}

// newTest makes a test. With fold the case does not matter, and samples come in lower case.
func newTest(compare, value string, fold bool) (test, error) {
	by, ok := comparisons[compare]
	if !ok {
		return test{}, fmt.Errorf("comparison %q is not known", compare)
	}
	if by == matchesPattern {
		return newPatternTest(value, fold)
	}
	if fold {
		value = strings.ToLower(value)
	}
	return test{compare: by, value: value}, nil
}

func (t *test) passes(sample string, w *work) (passes, done bool) {
	switch t.compare {
	case contains:
		w.search(sample)
		return strings.Contains(sample, t.value), true
	case matchesPattern:
		return t.pattern.matches(sample, w)
	case equals:
		passes = sample == t.value
	case startsWith:
		passes = strings.HasPrefix(sample, t.value)
	case endsWith:
		passes = strings.HasSuffix(sample, t.value)
	}
	w.search(t.value)
	return passes, true
}

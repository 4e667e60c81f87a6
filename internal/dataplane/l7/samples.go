package l7

import (
	"strings"
	"unsafe"

	"poise/internal/dataplane/h1"
)

// sampler knows which headers and cookies the rules of a site look at. Each has a slot.
type sampler struct {
	slots   int
	hosts   int            // the slot of the header Host, which is the request's; -1: none
	known   []int          // slots by h1.Known; -1: none
	headers map[string]int // by the name in lower case, of those that h1 does not know
	cookies map[string]int // by the name
}

// maxName is the length of the longest name of a header that h1 does not know and that a rule can look at.
const maxName = 255

func newSampler() *sampler {
	return &sampler{hosts: -1, headers: map[string]int{}, cookies: map[string]int{}}
}

// header is the slot of a header.
func (t *sampler) header(name string) int {
	known := h1.Lookup(name)
	if known == h1.Unknown {
		return slot(t.headers, strings.ToLower(name), &t.slots)
	}
	for len(t.known) <= int(known) {
		t.known = append(t.known, -1)
	}
	if t.known[known] < 0 {
		t.known[known] = t.slots
		t.slots++
	}
	if known == h1.Host {
		t.hosts = t.known[known]
	}
	return t.known[known]
}

// cookie is the slot of a cookie.
func (t *sampler) cookie(name string) int { return slot(t.cookies, name, &t.slots) }

func slot(slots map[string]int, name string, next *int) int {
	place, ok := slots[name]
	if !ok {
		place = *next
		slots[name] = place
		*next++
	}
	return place
}

// keptValues is for how many values a scratch keeps room between requests.
const keptValues = 256

// samples are what the rules look at in one request; the header is read at the first rule that needs it. They are
// used for one request after another, so that routing allocates nothing.
type samples struct {
	sampler *sampler
	request *Request
	client  *Client
	path    string // without the query

	folded   string // the host in lower case, once asked for
	lower    []byte // what folded is made of where the host is not in lower case already
	isFolded bool

	first  []int32 // by slot, the place in values of its newest value, plus 1; 0: none
	values []value
	isRead bool

	// Where the decision stands.
	policy  int
	rule    int   // of that policy
	place   int32 // of the value that is compared next, as in first
	isBegun bool  // place is that of the rule at hand
	work    work
	spent   int // steps in earlier turns
}

// value is one value of a header or of a cookie.
type value struct {
	text string
	next int32 // the value of the same slot before it, as in first
}

func (t *sampler) fresh() *samples { return &samples{sampler: t, first: make([]int32, t.slots)} }

func (s *samples) begin(r *Request, c *Client) {
	s.request, s.client = r, c
	s.path, _, _ = strings.Cut(r.Path, "?")
}

// end lets go of the request. It says whether the samples are fit for another one.
func (s *samples) end() bool {
	if s.isRead {
		clear(s.first)
		clear(s.values)
	}
	s.request, s.client, s.path, s.folded = nil, nil, "", ""
	s.isRead, s.isFolded, s.values = false, false, s.values[:0]
	s.policy, s.rule, s.isBegun, s.spent = 0, 0, false, 0
	s.work.matcher.pattern, s.work.matcher.sample = nil, ""
	return cap(s.values) <= keptValues
}

// host is the host in lower case.
func (s *samples) host() string {
	if !s.isFolded {
		s.isFolded = true
		s.folded = s.fold(s.request.Host)
	}
	return s.folded
}

func (s *samples) fold(host string) string {
	upper := strings.IndexFunc(host, func(r rune) bool { return 'A' <= r && r <= 'Z' })
	if upper < 0 {
		return host
	}
	s.lower = append(s.lower[:0], host...)
	for i := upper; i < len(s.lower); i++ {
		s.lower[i] = lowerCase(s.lower[i])
	}
	return unsafe.String(unsafe.SliceData(s.lower), len(s.lower)) // good until end
}

func lowerCase(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// any says whether a value of the rule's header or cookie passes its test.
func (s *samples) any(r *rule) (passes, done bool) {
	if !s.isRead {
		s.isRead = true
		s.read()
	}
	if !s.isBegun {
		s.place, s.isBegun = s.first[r.slot], true
	}
	for s.place != 0 {
		if s.work.steps <= 0 {
			return false, false
		}
		v := &s.values[s.place-1]
		passes, done := r.test.passes(v.text, &s.work)
		if passes || !done {
			return passes, done
		}
		s.place = v.next
	}
	return false, true
}

// read collects the values of every slot.
func (s *samples) read() {
	t := s.sampler
	if t.hosts >= 0 {
		s.add(t.hosts, s.request.Host)
	}
	for i := range s.request.Fields.Len() {
		known, name, text := s.request.Fields.Field(i)
		switch {
		case known == h1.Host: // the request says which one counts
		case known == h1.Unknown:
			s.readUnknown(name, text)
		case int(known) < len(t.known) && t.known[known] >= 0:
			s.addList(t.known[known], text)
		}
		if known == h1.Cookie && len(t.cookies) > 0 {
			s.readCookies(text)
		}
	}
}

func (s *samples) readUnknown(name, text string) {
	if len(s.sampler.headers) == 0 || len(name) > maxName {
		return
	}
	var lower [maxName]byte
	for i := range len(name) {
		lower[i] = lowerCase(name[i])
	}
	if slot, ok := s.sampler.headers[string(lower[:len(name)])]; ok {
		s.addList(slot, text)
	}
}

func (s *samples) readCookies(text string) {
	for name, value := range cookies(text) {
		if slot, ok := s.sampler.cookies[name]; ok {
			s.add(slot, value)
		}
	}
}

// addList adds the members of a comma-separated list, of which empty ones do not count (RFC 9110 §5.6.1); commas in quoted
// strings separate nothing. A field that is empty as a whole has one value, the empty one.
func (s *samples) addList(slot int, text string) {
	if text == "" {
		s.add(slot, "")
	}
	for text != "" {
		end := listEnd(text)
		if value := strings.Trim(text[:end], " \t"); value != "" {
			s.add(slot, value)
		}
		text = text[min(end+1, len(text)):]
	}
}

// listEnd is where the first member of a list ends.
func listEnd(text string) int {
	if end := strings.IndexAny(text, `,"`); end < 0 {
		return len(text)
	} else if text[end] == ',' {
		return end
	}
	quoted := false
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '"':
			quoted = !quoted
		case text[i] == '\\' && quoted:
			i++
		case text[i] == ',' && !quoted:
			return i
		}
	}
	return len(text)
}

func (s *samples) add(slot int, text string) {
	s.values = append(s.values, value{text, s.first[slot]})
	s.first[slot] = int32(len(s.values))
}

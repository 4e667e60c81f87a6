package octavia

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"poise/internal/lb"
)

// kind turns a value of a JSON body into the Go value that the rules take; null never gets here. It refuses a value with
// a [*refusal] that names the attribute, or with a [*conversionError], for which Octavia names the whole argument.
type kind func(name string, v any) (any, error)

// conversionError is a value that is not of the attribute's JSON type.
type conversionError struct{ message string }

func (e *conversionError) Error() string { return e.message }

func errConversion(format string, args ...any) error {
	return &conversionError{fmt.Sprintf(format, args...)}
}

// text is a string of at most most characters.
func text(most int) kind {
	return func(name string, v any) (any, error) {
		s, ok := v.(string)
		switch {
		case !ok:
			return nil, errInput(name, v, "Value should be string")
		case utf8.RuneCountInString(s) > most:
			return nil, errInput(name, v, fmt.Sprintf("Value should have a maximum character requirement of %d", most))
		case !storable(s):
			return nil, errInput(name, v, "Value should not have a null character")
		}
		return s, nil
	}
}

// storable tells whether every database takes a string: it is UTF-8, and without the null character.
func storable(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// matching is a string that matches a pattern.
func matching(pattern string) kind {
	form := regexp.MustCompile(pattern)
	return func(name string, v any) (any, error) {
		s, err := text(lb.MaxName)(name, v)
		if err == nil && !form.MatchString(s.(string)) {
			err = errInput(name, v, "Value should match the pattern "+pattern)
		}
		return s, err
	}
}

// urlPath is the path of a URL, and its query if there is one: what a request line can carry.
func urlPath(name string, v any) (any, error) {
	s, err := text(lb.MaxName)(name, v)
	if err == nil && (!strings.HasPrefix(s.(string), "/") || strings.ContainsFunc(s.(string), notInPath)) {
		err = errInput(name, v, "Value must be a valid URL Path string")
	}
	return s, err
}

func notInPath(r rune) bool {
	return r == '#' || unicode.IsSpace(r) || unicode.IsControl(r)
}

// integer is a number from least to most. As in Octavia, fractions are cut off, and strings of digits and booleans
// are numbers too: the openstack client sends some numbers as strings.
func integer(least, most int) kind {
	return func(name string, v any) (any, error) {
		n, err := toInteger(v)
		switch {
		case err != nil:
			return nil, err
		case n < float64(least):
			return nil, errInput(name, v, fmt.Sprintf("Value should be greater or equal to %d", least))
		case n > float64(most):
			return nil, errInput(name, v, fmt.Sprintf("Value should be lower or equal to %d", most))
		}
		return int(n), nil
	}
}

// toInteger returns a whole number; as a float64 it also holds those far outside of any attribute's range.
func toInteger(v any) (float64, error) {
	switch v := v.(type) {
	case json.Number:
		n, err := v.Float64()
		if err != nil || math.IsInf(n, 0) {
			return 0, errConversion("cannot convert float infinity to integer")
		}
		return math.Trunc(n), nil
	case string:
		n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
		if err != nil {
			return 0, errConversion("invalid literal for int() with base 10: '%s'", v)
		}
		return float64(n), nil
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	default:
		return 0, errConversion("int() argument must be a string or a real number, not '%s'", pythonText(v))
	}
}

// unlimited as a bound of an [integer] means that Octavia sets none but that of its storage.
const unlimited = lb.MaxAnyInt

// boolean takes Octavia's unambiguous words for true and false, in lower case.
func boolean(_ string, v any) (any, error) {
	switch v := v.(type) {
	case bool:
		return v, nil
	case json.Number:
		n, err := v.Int64()
		return n != 0, orConversion(err, "Value not an unambiguous boolean: %s", v)
	case string:
		switch v {
		case "true", "t", "yes", "y", "on", "1":
			return true, nil
		case "false", "f", "no", "n", "off", "0":
			return false, nil
		}
	}
	return nil, errConversion("Value not an unambiguous boolean: %s", pythonText(v))
}

func orConversion(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return errConversion(format, args...)
}

// looseBoolean reads a boolean of a query, where everything that does not say true is false.
func looseBoolean(s string) bool {
	switch strings.ToLower(s) {
	case "1", "t", "true", "on", "y", "yes":
		return true
	}
	return false
}

var hexID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// identity is a UUID, with or without dashes, in any case; it becomes lower case with dashes.
func identity(name string, v any) (any, error) {
	s, _ := v.(string)
	digits := strings.ToLower(strings.ReplaceAll(s, "-", ""))
	if !hexID.MatchString(digits) {
		return nil, errInput(name, v, "Value should be UUID format")
	}
	return strings.Join([]string{digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]}, "-"), nil
}

// address is an IP address.
func address(name string, v any) (any, error) {
	s, _ := v.(string)
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return nil, errInput(name, v, "Value should be IPv4 or IPv6 format")
	}
	return a.Unmap(), nil
}

// written is an IP address with the text that it was written as: that is shown, and the address itself compared.
type written struct {
	netip.Addr
	text string // "" for the canonical text
}

// asWritten is an IP address that answers repeat as it was written.
func asWritten(name string, v any) (any, error) {
	a, err := address(name, v)
	if err != nil {
		return nil, err
	}
	w := written{Addr: a.(netip.Addr)}
	if s := v.(string); s != w.Addr.String() {
		w.text = s
	}
	return w, nil
}

// String is what answers show.
func (w written) String() string { return cmp.Or(w.text, w.Addr.String()) }

// MarshalText is what answers show, in JSON.
func (w written) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// equals tells whether the text is this address, however it is written.
func (w written) equals(text string) bool {
	a, err := netip.ParseAddr(text)
	return err == nil && a.Unmap() == w.Addr
}

// networks is a list of CIDRs. Host bits are cleared, and an address alone is a network of one.
func networks(name string, v any) (any, error) {
	list, err := list(lb.MaxAllowedCIDRs)(name, v)
	if err != nil {
		return nil, err
	}
	all := make([]netip.Prefix, 0, len(list.([]any)))
	for _, item := range list.([]any) {
		s, _ := item.(string)
		network, ok := parseNetwork(s)
		if !ok {
			return nil, errInput(name, v, "Value should be IPv4 or IPv6 CIDR format")
		}
		all = append(all, network)
	}
	return all, nil
}

func parseNetwork(s string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	network, err := netip.ParsePrefix(s)
	if err != nil || network.Addr().Is4In6() {
		return netip.Prefix{}, false
	}
	return network.Masked(), true
}

// oneOf is one of some words.
func oneOf(words ...string) kind {
	return func(name string, v any) (any, error) {
		if s, ok := v.(string); ok && slices.Contains(words, s) {
			return s, nil
		}
		return nil, errInput(name, v, "Value should be one of: "+strings.Join(words, ", "))
	}
}

// oneVersion is one of some version numbers, given as a number or as a string.
func oneVersion(numbers ...string) kind {
	return func(name string, v any) (any, error) {
		if n, ok := v.(json.Number); ok {
			v = n.String()
		}
		return oneOf(numbers...)(name, v)
	}
}

// list is a JSON array of at most most entries; the entries are not looked at.
func list(most int) kind {
	return func(name string, v any) (any, error) {
		all, ok := v.([]any)
		switch {
		case !ok:
			return nil, errConversion("Value not a valid list: %s", pythonText(v))
		case len(all) > most:
			return nil, errInput(name, fmt.Sprintf("%d entries", len(all)), fmt.Sprintf("Value should have at most %d entries", most))
		}
		return all, nil
	}
}

// maxList bounds the lists that poise does not look into.
const maxList = 10_000

// dict is a JSON object; what is in it is not looked at.
func dict(_ string, v any) (any, error) {
	all, ok := v.(map[string]any)
	if !ok {
		return nil, errConversion("Value not a valid dict: %s", pythonText(v))
	}
	return all, nil
}

// tags is a list of strings.
func tags(name string, v any) (any, error) { return textList(maxTags, name, v) }

// texts is a list of strings in their order.
func texts(name string, v any) (any, error) { return textList(maxTexts, name, v) }

// maxTexts bounds lists of references to the key manager and of names of protocols.
const maxTexts = 1_000

func textList(most int, name string, v any) (any, error) {
	list, err := list(most)(name, v)
	if err != nil {
		return nil, err
	}
	all := make([]string, 0, len(list.([]any)))
	for _, item := range list.([]any) {
		tag, err := text(lb.MaxName)(name, item)
		if err != nil {
			return nil, err
		}
		all = append(all, tag.(string))
	}
	return all, nil
}

// maxTags bounds the tags of one object.
const maxTags = 1_000

// part is an object with attributes of its own.
func part(argument string, table attributes) kind {
	return func(_ string, v any) (any, error) {
		in, err := table.decode(argument, v, onCreate)
		if err == nil {
			err = in.check()
		}
		return in.values, err
	}
}

// partList is a list of objects with attributes of their own.
func partList(argument string, table attributes) kind {
	return func(name string, v any) (any, error) {
		list, err := list(maxList)(name, v)
		if err != nil {
			return nil, err
		}
		all := make([]values, 0, len(list.([]any)))
		for _, item := range list.([]any) {
			one, err := part(argument, table)(name, item)
			if err != nil {
				return nil, err
			}
			all = append(all, one.(values))
		}
		return all, nil
	}
}

// noChildren is a list of objects, or one, that may be there only when a load balancer is made with all that is below it.
func noChildren(name string, v any) (any, error) {
	if isPreset(v, nil) {
		return nil, nil
	}
	return nil, lb.ErrValidation(name, "%s can only be given when creating a fully populated loadbalancer.", name)
}

// line is a string without line breaks.
func line(name string, v any) (any, error) {
	s, err := text(lb.MaxName)(name, v)
	if err == nil && strings.ContainsAny(s.(string), "\r\n") {
		err = errInput(name, v, "Value should not have line breaks")
	}
	return s, err
}

// webURL is the whole address of something on the web.
func webURL(name string, v any) (any, error) {
	s, err := text(lb.MaxName)(name, v)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(s.(string))
	odd := func(r rune) bool { return r <= ' ' || r == 0x7f }
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.ContainsFunc(s.(string), odd) {
		return nil, errInput(name, v, "Value must be a valid URL string")
	}
	return s, nil
}

// oneNumber is one of some whole numbers.
func oneNumber(numbers ...int) kind {
	return func(name string, v any) (any, error) {
		n, err := toInteger(v)
		if err == nil && slices.Contains(numbers, int(n)) {
			return int(n), nil
		}
		words := make([]string, len(numbers))
		for i, number := range numbers {
			words[i] = strconv.Itoa(number)
		}
		return nil, errInput(name, v, "Value should be one of: "+strings.Join(words, ", "))
	}
}

// maxEcho is how many bytes of a refused value a message repeats: values can be megabytes.
const maxEcho = 4_096

// pythonText is a value as Octavia's messages print it.
func pythonText(v any) string {
	s, ok := v.(string)
	if !ok {
		s = pythonLiteral(v)
	}
	if len(s) > maxEcho {
		s = strings.ToValidUTF8(s[:maxEcho], "") + "…"
	}
	return s
}

func pythonLiteral(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return map[bool]string{true: "True", false: "False"}[v]
	case string:
		return "'" + v + "'"
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = pythonLiteral(item)
		}
		return "[" + strings.Join(items, ", ") + "]"
	case map[string]any:
		items := make([]string, 0, len(v))
		for name, item := range v {
			items = append(items, "'"+name+"': "+pythonLiteral(item))
		}
		slices.Sort(items)
		return "{" + strings.Join(items, ", ") + "}"
	default:
		return fmt.Sprint(v)
	}
}

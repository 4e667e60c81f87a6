package l7

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/netip"
	"strings"
	"testing"

	"poise/internal/dataplane"
	"poise/internal/dataplane/balance"
	"poise/internal/dataplane/h1"
	"poise/internal/dataplane/tlsconf"
)

// fields makes fields of lines like "Name: value".
func fields(lines ...string) Pairs {
	var pairs Pairs
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		pairs = append(pairs, Pair{h1.Lookup(name), name, value})
	}
	return pairs
}

// newPool makes a pool of HTTP members with these ids.
func newPool(id string, members ...string) *Pool {
	config := &dataplane.Pool{ID: id, HTTP: true, Algorithm: dataplane.RoundRobin}
	for _, m := range members {
		config.Members = append(config.Members, dataplane.Member{ID: m, Weight: 1})
	}
	return &Pool{Config: config, Balancer: balance.New(*config, nil)}
}

// newSite makes a site with pools a (the default) and b.
func newSite(t testing.TB, requests dataplane.Requests) *Site {
	t.Helper()
	s, err := New(Parts{
		Listener: &dataplane.Listener{ID: "listener", Protocol: dataplane.HTTP, PoolID: "a", HTTP: &requests},
		Pools:    map[string]*Pool{"a": newPool("a", "m1", "m2"), "b": newPool("b", "m3")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var (
	plain = &Client{
		Address: netip.MustParseAddrPort("192.0.2.7:40000"),
		Local:   netip.MustParseAddrPort("198.51.100.1:8080"),
	}
	anonymous = &Client{Address: plain.Address, Local: plain.Local, TLS: &tlsconf.Peer{}}
	alice     = &Client{Address: plain.Address, Local: plain.Local, TLS: &tlsconf.Peer{
		Certificate: certificate(pkix.Name{CommonName: "Alice"}),
	}}
)

func certificate(subject pkix.Name) *x509.Certificate {
	raw, err := asn1.Marshal(subject.ToRDNSequence())
	if err != nil {
		panic(err)
	}
	return &x509.Certificate{Raw: []byte("certificate"), RawSubject: raw, Subject: subject, RawIssuer: raw, Issuer: subject}
}

// TestRules asks each rule about one request, as it is and inverted.
func TestRules(t *testing.T) {
	request := &Request{
		Method: "GET", Host: "WWW.Example.com:8080", Path: "/Shop/cart.PHP;v=1?next=/other",
		Fields: fields(
			"Host: WWW.Example.com:8080",
			"Accept: text/html, Application/JSON;q=0.9 , ,*/*",
			`X-List: "a,b", c\,d`,
			"x-list: e",
			"X-Empty: ",
			"Cookie: session=Abc=1; theme=dark",
			`Cookie: session=second;quoted="q"`,
		),
	}
	for _, test := range []struct {
		name string
		rule string // type, compare, key, value
		on   *Client
		want bool
	}{
		{"host equals with its port", "HOST_NAME EQUAL_TO - www.EXAMPLE.com:8080", plain, true},
		{"host does not equal without its port", "HOST_NAME EQUAL_TO - www.example.com", plain, false},
		{"host starts", "HOST_NAME STARTS_WITH - www.Example.com", plain, true},
		{"host ends", "HOST_NAME ENDS_WITH - .COM:8080", plain, true},
		{"host does not end without its port", "HOST_NAME ENDS_WITH - .com", plain, false},
		{"host contains", "HOST_NAME CONTAINS - EXAMPLE", plain, true},
		{"host does not contain", "HOST_NAME CONTAINS - example.org", plain, false},
		{"host matches", `HOST_NAME REGEX - ^(WWW|shop)\.example\.[a-z]+`, plain, true},
		{"host matches a literal", `HOST_NAME REGEX - EXAMPLE`, plain, true},
		{"host does not match", `HOST_NAME REGEX - ^example`, plain, false},

		{"path equals without query", "PATH EQUAL_TO - /Shop/cart.PHP;v=1", plain, true},
		{"path does not equal with its query", "PATH EQUAL_TO - /Shop/cart.PHP;v=1?next=/other", plain, false},
		{"path is not equal in another case", "PATH EQUAL_TO - /shop/cart.php;v=1", plain, false},
		{"path starts", "PATH STARTS_WITH - /Shop", plain, true},
		{"path does not start in another case", "PATH STARTS_WITH - /shop", plain, false},
		{"path ends", "PATH ENDS_WITH - v=1", plain, true},
		{"path does not end in the query", "PATH ENDS_WITH - /other", plain, false},
		{"path contains", "PATH CONTAINS - cart", plain, true},
		{"path does not contain the query", "PATH CONTAINS - next", plain, false},
		{"path matches", `PATH REGEX - cart\.(PHP|html)`, plain, true},
		{"path matches at its ends", `PATH REGEX - ^/Shop/.*=1$`, plain, true},
		{"path matches in any case where it says so", `PATH REGEX - (?i)^/SHOP`, plain, true},
		{"path does not match in another case", `PATH REGEX - ^/shop`, plain, false},
		{"quotes are not part of a value", `PATH EQUAL_TO - "/Shop/cart.PHP;v=1"`, plain, true},
		{"nor of an expression", `PATH REGEX - "^/Shop"`, plain, true},

		{"file type is the end", "FILE_TYPE EQUAL_TO - 1", plain, true},
		{"file type is not the whole path", "FILE_TYPE EQUAL_TO - PHP", plain, false},
		{"file type matches", "FILE_TYPE REGEX - (PHP|html)", plain, true},
		{"file type does not match", "FILE_TYPE REGEX - (php|html)", plain, false},

		{"header equals one of its values", "HEADER EQUAL_TO accept */*", plain, true},
		{"header equals the first value", "HEADER EQUAL_TO ACCEPT text/html", plain, true},
		{"header equals a value with parameters", "HEADER EQUAL_TO accept Application/JSON;q=0.9", plain, true},
		{"header does not equal the whole line", `HEADER EQUAL_TO accept "text/html, Application/JSON;q=0.9 , ,*/*"`, plain, false},
		{"header is not equal in another case", "HEADER EQUAL_TO accept TEXT/HTML", plain, false},
		{"header starts", "HEADER STARTS_WITH accept Application", plain, true},
		{"header ends", "HEADER ENDS_WITH accept /html", plain, true},
		{"header contains", "HEADER CONTAINS accept JSON", plain, true},
		{"header does not contain across values", `HEADER CONTAINS accept "html, App"`, plain, false},
		{"header matches", "HEADER REGEX accept ^[a-z]+/html$", plain, true},
		{"header of the second line", "HEADER EQUAL_TO X-LIST e", plain, true},
		{"commas in quotes separate nothing", `HEADER EQUAL_TO x-list ""a,b""`, plain, true},
		{"backslashes outside quotes do", `HEADER EQUAL_TO x-list c\`, plain, true},
		{"missing header", "HEADER EQUAL_TO x-none 1", plain, false},
		{"missing header matches nothing", "HEADER REGEX x-none .*", plain, false},
		{"empty header matches the empty string", "HEADER REGEX x-empty ^$", plain, true},
		{"header Host is the host, in its case", "HEADER EQUAL_TO Host WWW.Example.com:8080", plain, true},
		{"header Cookie is a list like others", "HEADER CONTAINS Cookie theme=dark", plain, true},

		{"cookie equals", "COOKIE EQUAL_TO session Abc=1", plain, true},
		{"cookie of the second field", "COOKIE EQUAL_TO session second", plain, true},
		{"cookie is not equal in another case", "COOKIE EQUAL_TO session abc=1", plain, false},
		{"cookie's name is not found in another case", "COOKIE EQUAL_TO Session second", plain, false},
		{"cookie starts", "COOKIE STARTS_WITH theme da", plain, true},
		{"cookie ends", "COOKIE ENDS_WITH theme rk", plain, true},
		{"cookie contains", "COOKIE CONTAINS theme ar", plain, true},
		{"cookie matches", "COOKIE REGEX theme ^d.+k$", plain, true},
		{"quotes are part of a cookie", `COOKIE CONTAINS quoted "`, plain, true},
		{"missing cookie", "COOKIE EQUAL_TO none 1", plain, false},

		{"certificate", "SSL_CONN_HAS_CERT EQUAL_TO - true", alice, true},
		{"no certificate", "SSL_CONN_HAS_CERT EQUAL_TO - true", anonymous, false},
		{"certificate without TLS", "SSL_CONN_HAS_CERT EQUAL_TO - true", plain, false},
		{"verify result", "SSL_VERIFY_RESULT EQUAL_TO - 0", alice, true},
		{"verify result without a certificate", "SSL_VERIFY_RESULT EQUAL_TO - 0", anonymous, true},
		{"another verify result", "SSL_VERIFY_RESULT EQUAL_TO - 20", alice, false},
		{"an impossible verify result", "SSL_VERIFY_RESULT EQUAL_TO - 99999999999999999999", alice, false},
		{"verify result without TLS", "SSL_VERIFY_RESULT EQUAL_TO - 0", plain, false},
		{"name equals", "SSL_DN_FIELD EQUAL_TO CN Alice", alice, true},
		{"name is not equal in another case", "SSL_DN_FIELD EQUAL_TO CN alice", alice, false},
		{"name starts", "SSL_DN_FIELD STARTS_WITH CN Al", alice, true},
		{"name ends", "SSL_DN_FIELD ENDS_WITH CN ice", alice, true},
		{"name contains", "SSL_DN_FIELD CONTAINS CN lic", alice, true},
		{"name matches", "SSL_DN_FIELD REGEX CN ^A..ce$", alice, true},
		{"missing part of the name", "SSL_DN_FIELD REGEX OU .*", alice, false},
		{"name without a certificate", "SSL_DN_FIELD REGEX CN .*", anonymous, false},
		{"name without TLS", "SSL_DN_FIELD REGEX CN .*", plain, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			parts := strings.SplitN(test.rule, " ", 4)
			rule := dataplane.Rule{Type: parts[0], Compare: parts[1], Key: parts[2], Value: parts[3]}
			for _, invert := range []bool{false, true} {
				rule.Invert = invert
				s := newSite(t, dataplane.Requests{Policies: []dataplane.Policy{
					{ID: "policy", Action: dataplane.RedirectToPool, PoolID: "b", Rules: []dataplane.Rule{rule}},
				}})
				for range 2 { // the second time with samples that were used before
					if got := s.Route(request, test.on).PolicyID == "policy"; got != (test.want != invert) {
						t.Errorf("inverted %t: matches %t", invert, got)
					}
				}
			}
		})
	}
}

func TestAllRulesOfAPolicyMustMatch(t *testing.T) {
	match := dataplane.Rule{Type: "PATH", Compare: "STARTS_WITH", Value: "/"}
	miss := dataplane.Rule{Type: "PATH", Compare: "REGEX", Value: "[0-9]x"}
	for _, test := range []struct {
		name  string
		rules []dataplane.Rule
		want  bool
	}{
		{"both", []dataplane.Rule{match, match}, true},
		{"the first only", []dataplane.Rule{match, miss}, false},
		{"the last only", []dataplane.Rule{miss, match}, false},
		{"none", []dataplane.Rule{miss, miss}, false},
		{"without rules", nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t, dataplane.Requests{Policies: []dataplane.Policy{{ID: "p", Action: dataplane.Reject, Rules: test.rules}}})
			if got := s.Route(&Request{Path: "/"}, plain).PolicyID == "p"; got != test.want {
				t.Errorf("matches %t", got)
			}
		})
	}
}

func TestHeaderWithManyValues(t *testing.T) {
	s := newSite(t, dataplane.Requests{Policies: []dataplane.Policy{{ID: "p", Action: dataplane.Reject, Rules: []dataplane.Rule{
		{Type: "HEADER", Compare: "EQUAL_TO", Key: "X", Value: "first"},
	}}}})
	long := &Request{Path: "/", Fields: fields("X: first," + strings.Repeat("a,", 8000))}
	short := &Request{Path: "/", Fields: fields("X: none")}
	for range 3 {
		if s.Route(long, plain).PolicyID != "p" || s.Route(short, plain).PolicyID != "" {
			t.Fatal("wrong")
		}
	}
}

func TestExpressionsThatAreRefused(t *testing.T) {
	for _, test := range []struct{ name, expression, want string }{
		{"look-ahead", "a(?=b)", "L7 policy p: rule 1: regular expression: invalid or unsupported Perl syntax: `(?=`"},
		{"back-reference", `(a)\1`, "L7 policy p: rule 1: regular expression: invalid escape sequence: `\\1`"},
		{"unbalanced", "(", "L7 policy p: rule 1: regular expression: missing closing ): `(`"},
		{"large", strings.Repeat("(a|b|cd){300}", 5), "L7 policy p: rule 1: the regular expression is too large when its repetitions are written out"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := New(Parts{Listener: &dataplane.Listener{HTTP: &dataplane.Requests{Policies: []dataplane.Policy{{
				ID: "p", Action: dataplane.Reject, Rules: []dataplane.Rule{{Type: "PATH", Compare: "REGEX", Value: test.expression}},
			}}}}})
			if err == nil || err.Error() != test.want {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestPatterns holds what is spared in evaluating an expression against evaluating it.
func TestPatterns(t *testing.T) {
	samples := []string{
		"", "/", "/api", "/api/", "/v1/api/users", "/API", "/a.jpg", "/a.jpg/b", "/ajpg", "/login.php", "xlogin.phpx", "abc", "abcabc",
		"aaa", "/images/1.png", "/\xff\xfe", "/é", "a\nb",
	}
	for _, expression := range []string{
		"^/api", "^/api/", "/api/$", "^/api$", "api", `\.jpg$`, `\.(jpg|png)$`, "^/(api|images)/", "(abc)+", "(abc)*", "a{3}", "a{2,}b?",
		"^/v[0-9]+/api/users$", "(?i)^/api", "(?i:login).php", "^$", "", "^", "$", ".*", "é", "login|api", "[^a]pi", "^a$|^b", "(?m)^b",
		"(?s)a.b", "((/api))", "x?/api", "(?:/api)?/v1",
	} {
		t.Run(expression, func(t *testing.T) {
			for _, fold := range []bool{false, true} {
				test, err := newTest("REGEX", expression, fold)
				if err != nil {
					t.Fatal(err)
				}
				plain := regexpFor(expression, fold)
				for _, sample := range samples {
					if fold {
						sample = strings.ToLower(sample)
					}
					if got, want := whole(&test, sample), plain.MatchString(sample); got != want {
						t.Errorf("%q, fold %t: %t, want %t", sample, fold, got, want)
					}
				}
			}
		})
	}
}

package dataplane

// Requests is what an HTTP listener does with the requests that it reads (octavia-dataplane.md §2.2 and §3).
type Requests struct {
	Insert []Insertion
	// StrictTransportSecurity is the value of that header in every response; "": none.
	StrictTransportSecurity string
	Limits
	// Policies are asked in this order, that of their positions. Each has at least one rule.
	Policies []Policy
}

// Limits are what the operator may choose about requests (docs/poise.toml, [http]). The zero value has the defaults, but for
// MinBodyRate.
type Limits struct {
	MaxTarget   int  // bytes of a request's target; 0: 8 KiB
	StrictPaths bool // refuse paths with a percent sign that begins no encoded byte
	// MinBodyRate is how many bytes a second of its body a client has to send on average, until the answer begins; 0: any.
	MinBodyRate int
}

// Insertion is a header that the data plane adds to requests, by its name. What a client sends under the name is taken out,
// but for X-Forwarded-For, of which one more line is added.
type Insertion string

// The headers that can be inserted. The first three go to pools whose members speak HTTP only.
const (
	XForwardedFor       Insertion = "X-Forwarded-For"   // the client's address
	XForwardedPort      Insertion = "X-Forwarded-Port"  // the port that the client connected to
	XForwardedProto     Insertion = "X-Forwarded-Proto" // http, or https with TLS
	XForwardedIP        Insertion = "X-Forwarded-IP"    // the client's address, like the two that follow
	XClientIP           Insertion = "X-Client-IP"
	XRealIP             Insertion = "X-Real-IP"
	XSSLClientVerify    Insertion = "X-SSL-Client-Verify"     // OpenSSL's code: 0 is good
	XSSLClientHasCert   Insertion = "X-SSL-Client-Has-Cert"   // 1 or 0
	XSSLClientDN        Insertion = "X-SSL-Client-DN"         // "/C=…/CN=…", in quotes like those that follow
	XSSLClientCN        Insertion = "X-SSL-Client-CN"         //
	XSSLIssuer          Insertion = "X-SSL-Issuer"            //
	XSSLClientSHA1      Insertion = "X-SSL-Client-SHA1"       // upper-case hexadecimal digits
	XSSLClientNotBefore Insertion = "X-SSL-Client-Not-Before" // YYMMDDhhmmssZ
	XSSLClientNotAfter  Insertion = "X-SSL-Client-Not-After"
)

// Action is what becomes of a request that matches a policy.
type Action string

// The actions. All that reject are asked first, then those that redirect, then those that choose a pool.
const (
	Reject         Action = "REJECT"           // 403
	RedirectToURL  Action = "REDIRECT_TO_URL"  // to Location
	RedirectPrefix Action = "REDIRECT_PREFIX"  // to Location, followed by the request's path and query
	RedirectToPool Action = "REDIRECT_TO_POOL" // to the members of PoolID
)

// Policy says what becomes of the requests that match all of its rules.
type Policy struct {
	ID       string
	Action   Action
	PoolID   string
	Location string
	Code     int // HTTP status of a redirection
	Rules    []Rule
}

// Rule is one condition. Type, Compare and Key are Octavia's (type, compare_type, key).
type Rule struct {
	Type    string // HOST_NAME, PATH, FILE_TYPE, HEADER, COOKIE, SSL_CONN_HAS_CERT, SSL_VERIFY_RESULT or SSL_DN_FIELD
	Compare string // EQUAL_TO, STARTS_WITH, ENDS_WITH, CONTAINS or REGEX
	Key     string
	Value   string
	Invert  bool
}

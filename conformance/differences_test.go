package conformance

// byAdmin are the requests that an administrator made.
var byAdmin = []string{
	"quota-put", "quota-put-bad", "quota-put-negative", "quota-put-empty", "quota-list", "quota-delete",
	"provider-flavor-caps", "provider-az-caps", "provider-caps-missing", "flavor-bad-data", "amphorae", "list-admin-all",
}

const (
	notPending   = "nothing is PENDING for long enough, and changes are welcome then"
	threeThere   = "the recorded cloud had three load balancers at that time"
	notPython    = "a message of Python, which shows its own types and order of keys"
	better400    = "a server error there, the client's mistake here"
	offlineFirst = "a member of a checked pool begins OFFLINE, whichever way it is created"
	ownSay       = "the second form of error says a faultstring too: clients print it"
)

// notSent are the requests that would mean something else here, with the reason.
var notSent = map[string]string{
	"lb-put-while-pending":    notPending,
	"lb-delete-while-pending": notPending,
	"listener-while-pending":  notPending,
	"lb-show-pending-update":  notPending,
	"lb-show-pending-delete":  notPending,
	"lb-delete-again":         notPending,
}

// divergences are the requests whose answers differ on purpose, with the reason; docs/divergences.md has the whole story.
var divergences = map[string]string{
	"get-lbaas-v2-alias":       threeThere,
	"get-lbaas-trailing-slash": threeThere,
	"list-accept-none":         threeThere,
	"list-request-id":          threeThere,

	"options-list":              "405, as for every method that a path does not have",
	"lb-create-empty-object":    better400,
	"lb-create-array":           better400,
	"lb-create-address-outside": better400,
	"listener-prometheus-pool":  better400,
	"list-name-two":             better400,

	"lb-create-wrong-key":        notPython,
	"lb-create-admin-state-word": notPython,
	"lb-create-bad-tags":         notPython,
	"listener-port-string":       notPython,
	"l7rule-bad-regex":           notPython,

	"lb-unknown-sub":         "no such route, so it is not asked whether the load balancer is there",
	"lb-show-right-after":    "ACTIVE at once",
	"member-show-wrong-pool": ownSay,
	"list-limit-bad":         ownSay,
	"list-sort-bad-dir":      ownSay,

	"tree-create":  offlineFirst,
	"wedge-create": offlineFirst,
	"tree-status":  "the members are checked, which the recorded cloud did not do",

	"get-v9": "an empty description, as below /v2",
	"get-v1": "an empty description, as below /v2",

	"list-limit-0":   "means the largest page, not no limit, and so there is no next one",
	"list-limit-neg": "means the largest page, not no limit, and so there is no next one",

	"quota-defaults":   "everybody may see the defaults",
	"providers":        "poise and its aliases",
	"provider-az-caps": "no octavia.conf here",
	"amphorae":         "a placement is no virtual machine: no certificate, compute server or management address",
}

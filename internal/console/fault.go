package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"

	"github.com/gophercloud/gophercloud/v2"
)

// fault is what an API refused, in its words.
type fault struct {
	status  int
	message string
	field   string // the attribute that it is about, "" when that is not known
}

func (f *fault) Error() string { return f.message }

// fieldHeader is how poise's APIs name the attribute that a fault is about.
const fieldHeader = "Poise-Fault-Field"

// faultOf makes a fault of what a call to an API returned. What is none, such as a lost connection, stays as it is.
func faultOf(err error) error {
	var refused gophercloud.ErrUnexpectedResponseCode
	if !errors.As(err, &refused) {
		return err
	}
	f := &fault{status: refused.Actual, field: refused.ResponseHeader.Get(fieldHeader), message: faultText(refused.Body)}
	if f.message == "" {
		f.message = fmt.Sprintf("The API answered %d %s.", f.status, http.StatusText(f.status))
	}
	if f.field == "" {
		f.field = fieldIn(f.message)
	}
	return f
}

// faultText finds the words of a fault in the forms of the load-balancer API (faultstring), the identity API (error),
// the network API (NeutronError) and the compute API (one key that says what went wrong).
func faultText(body []byte) string {
	var all map[string]any
	if json.Unmarshal(body, &all) != nil {
		return ""
	}
	for _, key := range []string{"faultstring", "description", "title"} {
		if text, _ := all[key].(string); text != "" {
			return text
		}
	}
	for _, inner := range all {
		if form, ok := inner.(map[string]any); ok {
			if text, _ := form["message"].(string); text != "" {
				return text
			}
		}
	}
	return ""
}

// fieldWords are how messages of the APIs name an attribute, for those that say it in no other way.
var fieldWords = regexp.MustCompile(`Invalid input for (?:field/attribute )?([a-z][a-z_0-9]+)`)

func fieldIn(message string) string {
	if found := fieldWords.FindStringSubmatch(message); found != nil {
		return found[1]
	}
	return ""
}

// statusOf is the HTTP status of a fault, 0 when err is none.
func statusOf(err error) int {
	var f *fault
	if errors.As(err, &f) {
		return f.status
	}
	return 0
}

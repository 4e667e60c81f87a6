package robust

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// object is a JSON object.
type object map[string]any

func (o object) text(name string) string {
	s, _ := o[name].(string)
	return s
}

// client speaks to the server's APIs as one caller.
type client struct {
	http           *http.Client
	address, token string
}

// newClient has connections of its own.
func newClient(address string) client {
	return client{http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2}}, address: address}
}

// another is the same caller with connections of its own.
func (c client) another() client {
	other := newClient(c.address)
	other.token = c.token
	return other
}

// answer is what the server said.
type answer struct {
	status int
	header http.Header
	text   []byte
	body   object // nil when there is none
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, a.text) }

func (a answer) ok() bool { return a.status/100 == 2 }

// inside is the object in the answer's envelope; without one, "", it is the answer itself.
func (a answer) inside(envelope string) object {
	if envelope == "" {
		return a.body
	}
	o, _ := a.body[envelope].(map[string]any)
	return o
}

// send sends a request; body is a string that is sent as it is, something to be sent as JSON, or nil. An answer with a
// status beside an error is one that broke off.
func (c client) send(ctx context.Context, method, path string, body any) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+c.address+path, encode(body))
	if err != nil {
		return answer{}, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		r.Header.Set("X-Auth-Token", c.token)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	a := answer{status: response.StatusCode, header: response.Header}
	if a.text, err = io.ReadAll(response.Body); err != nil {
		return a, err
	}
	if len(a.text) > 0 && response.Header.Get("Content-Type") == "application/json" {
		err = json.Unmarshal(a.text, &a.body)
	}
	return a, err
}

func encode(body any) io.Reader {
	switch body := body.(type) {
	case nil:
		return http.NoBody
	case string:
		return strings.NewReader(body)
	default:
		text, err := json.Marshal(body)
		if err != nil {
			panic(err) // a mistake of the test
		}
		return bytes.NewReader(text)
	}
}

// must sends a request that has to succeed, and returns what is in the envelope of the answer.
func (c client) must(t *testing.T, method, path, envelope string, body any) object {
	t.Helper()
	a, err := c.send(t.Context(), method, path, body)
	if err != nil || !a.ok() {
		t.Fatalf("%s %s: %v %v", method, path, a, err)
	}
	return a.inside(envelope)
}

// list reads a list.
func (c client) list(t *testing.T, path, plural string) []object {
	t.Helper()
	all, err := c.tryList(t.Context(), path, plural)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (c client) tryList(ctx context.Context, path, plural string) ([]object, error) {
	a, err := c.send(ctx, "GET", path, nil)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %v", path, a)
	}
	found, _ := a.body[plural].([]any)
	all := make([]object, len(found))
	for i := range found {
		all[i] = found[i].(map[string]any)
	}
	return all, nil
}

package barbican_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"poise/internal/barbican"
	"poise/internal/database"
	"poise/internal/database/databasetest"
	"poise/internal/rest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(databasetest.Suite{M: m}) }

// The people of the tests.
var (
	alice = rest.Caller{UserID: "alice", ProjectID: "web", Roles: []string{"member", "reader"}}
	anton = rest.Caller{UserID: "anton", ProjectID: "web", Roles: []string{"member", "reader"}}
	olga  = rest.Caller{UserID: "olga", ProjectID: "web", Roles: []string{"observer"}}
	rosa  = rest.Caller{UserID: "rosa", ProjectID: "web", Roles: []string{"reader"}}
	chief = rest.Caller{UserID: "chief", ProjectID: "web", Roles: []string{"admin", "member", "reader"}}
	bob   = rest.Caller{UserID: "bob", ProjectID: "shop", Roles: []string{"member", "reader"}}
	root  = rest.Caller{UserID: "root", ProjectID: "admin", Roles: []string{"admin", "member", "reader"}}
)

// publicURL is what references begin with.
const publicURL = "http://cloud.test/key-manager"

// vault is a key manager and somebody who uses it.
type vault struct {
	testing.TB
	service *barbican.Service
	keyFile string
	caller  rest.Caller
}

func newVault(t testing.TB, db *database.DB) *vault {
	t.Helper()
	v := &vault{TB: t, keyFile: filepath.Join(t.TempDir(), "secrets.key"), caller: alice}
	v.service = open(t, db, v.keyFile)
	return v
}

func open(t testing.TB, db *database.DB, keyFile string) *barbican.Service {
	t.Helper()
	service, err := barbican.New(t.Context(), config(db, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	return service
}

func config(db *database.DB, keyFile string) barbican.Config {
	return barbican.Config{DB: db, PublicURL: publicURL, KeyFile: keyFile, Log: slog.New(slog.DiscardHandler)}
}

// as returns the same key manager for somebody else.
func (v *vault) as(caller rest.Caller) *vault {
	other := *v
	other.caller = caller
	return &other
}

// object is a JSON object.
type object = map[string]any

// reply is an answer.
type reply struct {
	status int
	header http.Header
	text   string
}

// call sends a request; body is nil or marshalled, unless it is a string. where is a path or a reference.
func (v *vault) call(method, where string, body any, headers ...string) reply {
	v.Helper()
	var content io.Reader
	switch body := body.(type) {
	case nil:
	case string:
		content = strings.NewReader(body)
	default:
		text, err := json.Marshal(body)
		if err != nil {
			v.Fatal(err)
		}
		content = strings.NewReader(string(text))
	}
	r := httptest.NewRequest(method, "http://test"+strings.TrimPrefix(where, publicURL), content)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	v.service.Handler().ServeHTTP(w, r.WithContext(rest.WithCaller(v.Context(), v.caller)))
	return reply{status: w.Code, header: w.Header(), text: w.Body.String()}
}

// want is call for a request that has to be answered with the status.
func (v *vault) want(status int, method, where string, body any, headers ...string) reply {
	v.Helper()
	answer := v.call(method, where, body, headers...)
	if answer.status != status {
		v.Fatalf("%s %s: status %d, want %d: %s", method, where, answer.status, status, answer.text)
	}
	return answer
}

// store makes a text secret and returns its reference; extra are more attributes and their values.
func (v *vault) store(payload string, extra ...any) string {
	v.Helper()
	body := object{"payload": payload, "payload_content_type": "text/plain"}
	for i := 0; i < len(extra); i += 2 {
		body[extra[i].(string)] = extra[i+1]
	}
	return v.want(201, "POST", "/v1/secrets", body).dig("secret_ref").(string)
}

// contain makes a container of the named secrets and returns its reference.
func (v *vault) contain(containerType string, refs ...string) string {
	v.Helper()
	return v.want(201, "POST", "/v1/containers", containerBody(containerType, refs...)).dig("container_ref").(string)
}

func containerBody(containerType string, refs ...string) object {
	members := []object{}
	for i := 0; i < len(refs); i += 2 {
		members = append(members, object{"name": refs[i], "secret_ref": refs[i+1]})
	}
	return object{"type": containerType, "name": "box", "secret_refs": members}
}

// dig follows the keys into the answer's body; a number is an index.
func (r reply) dig(keys ...any) any {
	var value any
	if err := json.Unmarshal([]byte(r.text), &value); err != nil {
		return err
	}
	for _, key := range keys {
		switch inner := value.(type) {
		case object:
			value = inner[key.(string)]
		case []any:
			value = inner[key.(int)]
		default:
			return nil
		}
	}
	return value
}

// names are the names of the items of a list.
func (r reply) names(list string) string {
	var names []string
	items, _ := r.dig(list).([]any)
	for _, item := range items {
		name, _ := item.(object)["name"].(string)
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

package keystone_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"go.uber.org/goleak"

	"poise/internal/database"
	"poise/internal/database/databasetest"
	"poise/internal/keystone"
	"poise/internal/rest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(databasetest.Suite{M: m})
}

const (
	adminPassword = "admin's password"
	demoPassword  = "demo-password"
)

// cloud is a running identity service and a client of it.
type cloud struct {
	*testing.T
	service *keystone.Service
	url     string // of the server
	token   string // sent as X-Auth-Token
}

func newCloud(t *testing.T, db *database.DB) *cloud {
	t.Helper()
	return newCloudWith(t, db, func(*keystone.Config) {})
}

func newCloudWith(t *testing.T, db *database.DB, adjust func(*keystone.Config)) *cloud {
	t.Helper()
	mux := http.NewServeMux()
	frame := rest.Frame{Log: slog.New(slog.DiscardHandler), Proxies: rest.Proxies{netip.MustParsePrefix("127.0.0.0/8")}}
	server := httptest.NewServer(frame.Around(mux))
	t.Cleanup(server.Close)
	config := keystone.Config{
		DB: db, Region: "RegionOne", PublicURL: server.URL, Log: slog.New(slog.DiscardHandler),
		Endpoints: []keystone.Endpoint{{Type: "load-balancer", Name: "octavia", Path: "/load-balancer"}},
	}
	adjust(&config)
	service, err := keystone.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	handler := http.StripPrefix(keystone.Path, service.Handler())
	mux.Handle(keystone.Path, handler)
	mux.Handle(keystone.Path+"/", handler)
	if _, err := service.Bootstrap(t.Context(), keystone.Accounts(adminPassword, demoPassword)); err != nil {
		t.Fatal(err)
	}
	return &cloud{T: t, service: service, url: server.URL}
}

// object is a JSON object.
type object = map[string]any

// reply is an answer.
type reply struct {
	status int
	header http.Header
	body   object
}

// call sends a request; body is nil or marshalled, unless it is a string.
func (c *cloud) call(method, path string, body any, headers ...string) reply {
	c.Helper()
	var payload io.Reader
	switch body := body.(type) {
	case nil:
	case string:
		payload = bytes.NewReader([]byte(body))
	default:
		text, err := json.Marshal(body)
		if err != nil {
			c.Fatal(err)
		}
		payload = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(c.Context(), method, c.url+keystone.Path+path, payload)
	if err != nil {
		c.Fatal(err)
	}
	request.Header.Set("X-Auth-Token", c.token)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		c.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	defer http.DefaultClient.CloseIdleConnections()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.Fatal(err)
	}
	result := reply{status: response.StatusCode, header: response.Header}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &result.body); err != nil {
			c.Fatalf("%s %s: %v in %q", method, path, err, text)
		}
	}
	return result
}

// want is call for a request that has to be answered with the status.
func (c *cloud) want(status int, method, path string, body any, headers ...string) reply {
	c.Helper()
	answer := c.call(method, path, body, headers...)
	if answer.status != status {
		c.Fatalf("%s %s: status %d, want %d: %v", method, path, answer.status, status, answer.body)
	}
	return answer
}

// passwordAuth is the body of a login; scope may be nil.
func passwordAuth(user, password string, scope any) object {
	auth := object{"identity": object{
		"methods": []string{"password"},
		"password": object{"user": object{
			"name": user, "domain": object{"id": "default"}, "password": password,
		}},
	}}
	if scope != nil {
		auth["scope"] = scope
	}
	return object{"auth": auth}
}

// onProject is the scope of a project of the default domain.
func onProject(name string) object {
	return object{"project": object{"name": name, "domain": object{"name": "Default"}}}
}

// signedIn returns a client with a token for the user and the project.
func (c *cloud) signedIn(user, password, project string) *cloud {
	c.Helper()
	answer := c.want(201, "POST", "/v3/auth/tokens", passwordAuth(user, password, onProject(project)))
	return c.with(answer.header.Get("X-Subject-Token"))
}

// with returns a client with the token.
func (c *cloud) with(token string) *cloud {
	other := *c
	other.token = token
	return &other
}

func (c *cloud) admin() *cloud { return c.signedIn("admin", adminPassword, "admin") }
func (c *cloud) demo() *cloud  { return c.signedIn("demo", demoPassword, "demo") }

// dig follows the keys into an answer's body.
func (r reply) dig(keys ...string) any {
	var value any = r.body
	for _, key := range keys {
		inner, ok := value.(object)
		if !ok {
			return nil
		}
		value = inner[key]
	}
	return value
}

// text is dig for a string.
func (r reply) text(keys ...string) string {
	text, _ := r.dig(keys...).(string)
	return text
}

// names are the names of the objects in a list.
func (r reply) names(key string) []string {
	names := []string{}
	list, _ := r.dig(key).([]any)
	for _, item := range list {
		name, _ := item.(object)["name"].(string)
		names = append(names, name)
	}
	return names
}

package console_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"poise/internal/console"
)

// visitor is somebody with a browser, without JavaScript unless they ask like htmx does.
type visitor struct {
	*testing.T
	*http.Client
	root string
}

// visit opens the console of a cloud; the visitors that share it are told apart by their cookies.
func serve(t *testing.T, c *fakeCloud) (root string) {
	pages, err := console.New(console.Config{
		IdentityURL: c.URL + "/identity/v3", PublicURL: "http://console.test", Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(pages.Handler())
	t.Cleanup(func() {
		pages.Close()
		server.Close()
	})
	return server.URL + console.Base
}

func newVisitor(t *testing.T, root string) *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(client.CloseIdleConnections)
	return &visitor{T: t, Client: client, root: root}
}

// signedIn is a visitor who has signed in as a user.
func signedIn(t *testing.T, root, user string) *visitor {
	v := newVisitor(t, root)
	if got := v.post("/sign-in", url.Values{"user": {user}, "password": {password}, "domain": {"Default"}}); got.StatusCode != http.StatusSeeOther {
		t.Fatalf("signing in: %d\n%s", got.StatusCode, got.text)
	}
	return v
}

// got is an answer that was read.
type got struct {
	*http.Response
	text string
}

func (v *visitor) do(r *http.Request) got {
	v.Helper()
	answer, err := v.Do(r)
	if err != nil {
		v.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		v.Fatal(err)
	}
	return got{answer, string(text)}
}

func (v *visitor) get(path string, header ...string) got {
	v.Helper()
	return v.do(v.request(http.MethodGet, path, "", header))
}

func (v *visitor) post(path string, form url.Values, header ...string) got {
	v.Helper()
	return v.do(v.request(http.MethodPost, path, form.Encode(), append(header, "Content-Type", "application/x-www-form-urlencoded")))
}

func (v *visitor) request(method, path, body string, header []string) *http.Request {
	v.Helper()
	r, err := http.NewRequestWithContext(v.Context(), method, v.root+path, strings.NewReader(body))
	if err != nil {
		v.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

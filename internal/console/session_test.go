package console_test

import (
	"bufio"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestSignIn(t *testing.T) {
	cloud := newCloud(t)
	root := serve(t, cloud)
	tests := map[string]struct {
		form     url.Values
		status   int
		location string
	}{
		"wrong password":         {url.Values{"user": {"ann"}, "password": {"wrong"}}, http.StatusUnauthorized, ""},
		"to the dashboard":       {url.Values{"user": {"ann"}, "password": {password}}, http.StatusSeeOther, "/console/"},
		"back to a page":         {url.Values{"user": {"ann"}, "password": {password}, "next": {"/console/servers"}}, http.StatusSeeOther, "/console/servers"},
		"never to another place": {url.Values{"user": {"ann"}, "password": {password}, "next": {"https://elsewhere.test/console/"}}, http.StatusSeeOther, "/console/"},
		"nor by two slashes":     {url.Values{"user": {"ann"}, "password": {password}, "next": {"//elsewhere.test/console/"}}, http.StatusSeeOther, "/console/"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := newVisitor(t, root).post("/sign-in", test.form)
			if got.StatusCode != test.status || got.Header.Get("Location") != test.location {
				t.Errorf("%d to %q, want %d to %q", got.StatusCode, got.Header.Get("Location"), test.status, test.location)
			}
			if strings.Contains(got.text, "wrong\"") || strings.Contains(got.text, password+"\"") {
				t.Error("the password is in the page")
			}
		})
	}
}

func TestCookie(t *testing.T) {
	v := newVisitor(t, serve(t, newCloud(t)))
	got := v.post("/sign-in", url.Values{"user": {"ann"}, "password": {password}})
	cookies := got.Cookies()
	if len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteLaxMode || cookies[0].Path != "/console" || strings.Contains(cookies[0].Value, "token-") {
		t.Errorf("cookies %v", cookies)
	}
	before := cookies[0].Value
	v.post("/sign-out", nil)
	again := v.request(http.MethodGet, "/load-balancers", "", []string{"Cookie", "poise_console=" + before})
	v.Jar = nil
	if got := v.do(again); got.StatusCode != http.StatusSeeOther {
		t.Errorf("the cookie of somebody who has signed out opens %d", got.StatusCode)
	}
}

// Requests that another site has a browser send change nothing.
func TestCrossSite(t *testing.T) {
	cloud := newCloud(t)
	cloud.balancer("ann", "one", "mylb")
	v := signedIn(t, serve(t, cloud), "ann")
	for name, header := range map[string][]string{
		"by its fetch metadata": {"Sec-Fetch-Site", "cross-site"},
		"by its origin":         {"Origin", "https://elsewhere.test"},
	} {
		got := v.post("/load-balancers/delete", url.Values{"id": {"One/one"}}, header...)
		if got.StatusCode != http.StatusForbidden || len(cloud.changes()) > 0 {
			t.Errorf("%s: %d, %v", name, got.StatusCode, cloud.changes())
		}
	}
	if got := v.post("/load-balancers/delete", url.Values{"id": {"One/one"}}, "Sec-Fetch-Site", "same-origin"); got.StatusCode != http.StatusSeeOther || len(cloud.changes()) != 1 {
		t.Errorf("from the console itself: %d, %v", got.StatusCode, cloud.changes())
	}
}

// Nobody guesses passwords for long.
func TestAttemptsAreBounded(t *testing.T) {
	v := newVisitor(t, serve(t, newCloud(t)))
	for i := range 40 {
		if got := v.post("/sign-in", url.Values{"user": {"ann"}, "password": {"wrong"}}); got.StatusCode == http.StatusTooManyRequests {
			if i < 5 {
				t.Errorf("already attempt %d is refused", i+1)
			}
			return
		}
	}
	t.Error("40 attempts were let through")
}

// A token that the cloud takes back ends the session with the next thing that needs it.
func TestRevokedToken(t *testing.T) {
	cloud := newCloud(t)
	v := signedIn(t, serve(t, cloud), "ann")
	cloud.revoke("token-ann")
	if got := v.get("/servers"); got.StatusCode != http.StatusSeeOther || !strings.Contains(got.Header.Get("Location"), "/sign-in") {
		t.Errorf("%d", got.StatusCode)
	}
	if got := v.get("/", "HX-Request", "true"); !strings.Contains(got.Header.Get("HX-Redirect"), "/sign-in") {
		t.Errorf("htmx is sent to %q", got.Header.Get("HX-Redirect"))
	}
}

// Pages hear of what changes, also where the cloud has to be asked for it; and the stream ends with the console.
func TestStream(t *testing.T) {
	cloud := newCloud(t)
	cloud.balancer("ann", "one", "mylb")
	root := serve(t, cloud)
	v := signedIn(t, root, "ann")
	v.get("/load-balancers")
	answer, err := v.Do(v.request(http.MethodGet, "/events", "", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	cloud.balancer("ann", "two", "another")
	begin := time.Now()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if lines.Text() == "data: two" {
			return
		}
		if time.Since(begin) > 15*time.Second {
			break
		}
	}
	t.Error("the page does not hear of the new load balancer")
}

// TestPagesHaveShares has one user open pages until no more of them update themselves. The user is told, and another user's page
// updates itself all the while.
func TestPagesHaveShares(t *testing.T) {
	root := serve(t, newCloud(t))
	ann, ben := signedIn(t, root, "ann"), signedIn(t, root, "ben")
	open := func(v *visitor) *http.Response {
		answer, err := v.Do(v.request(http.MethodGet, "/events", "", []string{"HX-Request", "true"}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = answer.Body.Close() })
		return answer
	}
	const mine = 50
	for n := range mine {
		if got := open(ann).StatusCode; got != http.StatusOK {
			t.Fatalf("page %d: %d", n+1, got)
		}
	}
	refused := open(ann)
	if said := refused.Header.Get("HX-Trigger"); refused.StatusCode != http.StatusTooManyRequests || !strings.Contains(said, "one user may: 50") {
		t.Errorf("one too many: %d %s", refused.StatusCode, said)
	}
	if got := open(ben).StatusCode; got != http.StatusOK {
		t.Errorf("another user: %d", got)
	}
}

package console

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

var signInPages = []page{
	{method: "GET", pattern: "/sign-in", handle: (*view).showSignIn, open: true},
	{method: "POST", pattern: "/sign-in", handle: (*view).signInNow, open: true},
	{method: "POST", pattern: "/sign-out", handle: (*view).signOut, open: true},
	{method: "POST", pattern: "/project", handle: (*view).chooseProject},
	{method: "POST", pattern: "/region", handle: (*view).chooseRegion},
	{method: "POST", pattern: "/theme", handle: (*view).chooseTheme, open: true},
}

// defaultDomain is the domain that the sign-in form begins with.
const defaultDomain = "Default"

// returnTo is the query by which the sign-in page knows where to go next.
func returnTo(address string) string { return url.Values{"next": {address}}.Encode() }

// next is where to go after signing in: a page of the console, whatever the form says.
func next(address string) string {
	if !strings.HasPrefix(address, Base+"/") || strings.Contains(address, "\\") {
		return Base + "/"
	}
	return address
}

func (v *view) showSignIn() error {
	if v.person != nil {
		v.goTo(next(v.r.FormValue("next")))
		return nil
	}
	f := v.form()
	if f.value("domain") == "" {
		f.values.Set("domain", defaultDomain)
	}
	return v.render(v.signInPage(f))
}

func (v *view) signInNow() error {
	f := v.form()
	source := v.r.RemoteAddr
	if v.Source != nil {
		source = v.Source(v.r)
	}
	own := v.identityIsLocal()
	if !own && !v.doors.attempts.allow(source) {
		v.w.Header().Set("Retry-After", strconv.Itoa(int(failureEvery.Seconds())))
		f.problem = "Too many attempts. Wait a minute and try again."
		v.renderStatus(http.StatusTooManyRequests, v.signInPage(f))
		return nil
	}
	with := credentials{
		user: f.value("user"), password: v.r.PostFormValue("password"), project: f.value("project"),
		domain: cmp.Or(f.value("domain"), defaultDomain),
	}
	if own {
		with.browser = v.browser()
	}
	if with.user == "" || with.password == "" {
		f.problem = "User name and password are needed."
		v.renderStatus(http.StatusUnprocessableEntity, v.signInPage(f))
		return nil
	}
	p, err := v.signIn(v.r.Context(), with)
	var refused *fault
	switch {
	case errors.As(err, &refused):
		f.problem = "User name, password, project or domain is wrong."
		if refused.status != http.StatusUnauthorized {
			f.problem = refused.message
		}
		v.doors.attempts.failed(source)
		v.renderStatus(refused.status, v.signInPage(f))
		return nil
	case err != nil:
		return err
	}
	if err := v.doors.enter(v.r.Context(), p); err != nil {
		return err
	}
	v.doors.noteGood(p.Token)
	v.keepBrowser(p.browser)
	v.goTo(next(f.value("next")))
	return nil
}

// browserCookie holds the token by which the identity service knows the browser again: others' failed logins then do not
// keep this person out. It signs nobody in.
const browserCookie = "poise_browser"

// browserDays is how long the identity service knows a browser.
const browserDays = 30

// browser is the token of the browser; a word that is none asks for one.
func (v *view) browser() string {
	if cookie, err := v.r.Cookie(browserCookie); err == nil && cookie.Value != "" {
		return cookie.Value
	}
	return "new"
}

func (v *view) keepBrowser(token string) {
	if token == "" {
		return
	}
	http.SetCookie(v.w, &http.Cookie{
		Name: browserCookie, Value: token, Path: Base, MaxAge: browserDays * 24 * 3600, SameSite: http.SameSiteLaxMode,
		HttpOnly: true, Secure: v.doors.sessions.Cookie.Secure,
	})
}

func (v *view) signOut() error {
	if v.person != nil {
		if err := v.revoke(v.r.Context(), v.person); err != nil {
			v.Log.WarnContext(v.r.Context(), "token could not be revoked", "err", err)
		}
	}
	if err := v.doors.sessions.Destroy(v.r.Context()); err != nil {
		return err
	}
	v.goTo(Base + "/sign-in")
	return nil
}

func (v *view) chooseProject() error {
	other, err := v.switchProject(v.r.Context(), v.person, v.r.PostFormValue("project"))
	if err != nil {
		return err
	}
	if err := v.doors.enter(v.r.Context(), other); err != nil {
		return err
	}
	v.goTo(Base + "/")
	return nil
}

func (v *view) chooseRegion() error {
	region := v.r.PostFormValue("region")
	if !slices.Contains(v.person.Regions, region) {
		return &fault{status: http.StatusNotFound, message: "There is no region of this name."}
	}
	v.person.Region = region
	if err := v.doors.keep(v.r.Context(), v.person); err != nil {
		return err
	}
	v.goTo(v.back())
	return nil
}

// back is the page that a request was made from.
func (v *view) back() string {
	from, err := url.Parse(v.r.Referer())
	if err != nil {
		return Base + "/"
	}
	return next(from.RequestURI())
}

// themeCookie holds light or dark; without it the browser's preference counts.
const themeCookie = "poise_theme"

func (v *view) chooseTheme() error {
	theme := v.r.PostFormValue("theme")
	if theme != "light" && theme != "dark" {
		theme = ""
	}
	http.SetCookie(v.w, &http.Cookie{
		Name: themeCookie, Value: theme, Path: Base, MaxAge: 365 * 24 * 3600, SameSite: http.SameSiteLaxMode, HttpOnly: true,
		Secure: v.doors.sessions.Cookie.Secure,
	})
	v.goTo(v.back())
	return nil
}

// theme is what the person has chosen: light, dark, or "" for what the browser prefers.
func (v *view) theme() string {
	cookie, err := v.r.Cookie(themeCookie)
	if err != nil || cookie.Value != "light" && cookie.Value != "dark" {
		return ""
	}
	return cookie.Value
}

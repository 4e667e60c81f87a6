package console

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
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
	if !v.doors.attempts.allow(v.r.RemoteAddr) {
		f.problem = "Too many attempts. Wait a minute and try again."
		v.renderStatus(http.StatusTooManyRequests, v.signInPage(f))
		return nil
	}
	with := credentials{f.value("user"), v.r.PostFormValue("password"), f.value("project"), cmp.Or(f.value("domain"), defaultDomain)}
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
		v.renderStatus(refused.status, v.signInPage(f))
		return nil
	case err != nil:
		return err
	}
	if err := v.doors.enter(v.r.Context(), p); err != nil {
		return err
	}
	v.doors.noteGood(p.Token)
	v.goTo(next(f.value("next")))
	return nil
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

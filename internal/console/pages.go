package console

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/a-h/templ"
)

// page is one line of the table of pages. The pattern is below [Base].
type page struct {
	method, pattern string
	handle          func(*view) error
	open            bool // for people who have not signed in as well
	live            bool // asked for by pages by themselves, which is nobody's click
}

// pages are all of them; each file with pages has a list of its own.
func pages() []page {
	return slices.Concat(
		signInPages, dashboardPages, createPages, balancerPages, changePages, listenerPages, poolPages, memberPages, monitorPages,
		floatingPages, networkPages, serverPages, streamPages, policyPages, trafficPages, historyPages, certificatePages, quotaPages, flavorPages,
	)
}

// view is one request on its way through a page.
type view struct {
	*Console
	w      http.ResponseWriter
	r      *http.Request
	person *person // nil on open pages when nobody is signed in
}

// page makes a handler of a line of the table: the session, who is signed in, the page, and what went wrong.
func (c *Console) page(p page) http.Handler {
	handler := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &view{Console: c, w: w, r: r, person: c.doors.person(r.Context())}
		if err := v.admit(p); err != nil {
			v.fail(err)
			return
		}
		if v.person == nil && !p.open {
			v.toSignIn()
			return
		}
		if err := p.handle(v); err != nil {
			v.fail(err)
		}
	}))
	active := c.doors.sessions.LoadAndSave(handler)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !p.live && r.Header.Get(refreshHeader) == "" {
			active.ServeHTTP(w, r)
			return
		}
		ctx, err := c.doors.load(r)
		if err != nil {
			c.doors.sessions.ErrorFunc(w, r, err)
			return
		}
		handler.ServeHTTP(w, r.WithContext(ctx))
	})
}

// refreshHeader is on requests of pages that update themselves: they do not keep a session from ending.
const refreshHeader = "Console-Refresh"

// admit makes sure, from time to time, that the token is still good.
func (v *view) admit(p page) error {
	if v.person == nil || p.open || v.doors.isFresh(v.person.Token) {
		return nil
	}
	good, err := v.isGood(v.r.Context(), v.person)
	if err != nil {
		return err
	}
	if !good {
		v.person = nil
		return nil
	}
	v.doors.noteGood(v.person.Token)
	return nil
}

// open gives the person the APIs of a region.
func (v *view) open(region string) (*cloud, error) { return v.Console.open(v.person, region) }

// isFragment tells whether htmx asks for a part of a page.
func (v *view) isFragment() bool {
	return v.r.Header.Get("HX-Request") == "true" && v.r.Header.Get("HX-History-Restore-Request") != "true"
}

// goTo sends the browser to another page, whoever asks.
func (v *view) goTo(address string) {
	if v.isFragment() {
		v.w.Header().Set("HX-Redirect", address)
		v.w.WriteHeader(http.StatusOK)
		return
	}
	http.Redirect(v.w, v.r, address, http.StatusSeeOther)
}

func (v *view) toSignIn() {
	address := Base + "/sign-in"
	if v.r.Method == http.MethodGet && !v.isFragment() && v.r.URL.Path != Base+"/" {
		address += "?" + returnTo(v.r.URL.RequestURI())
	}
	v.goTo(address)
}

// fail answers with what went wrong: in a page of its own, or for htmx as a message over the page that is there.
func (v *view) fail(err error) {
	status, message := v.explain(err)
	if status == http.StatusUnauthorized {
		v.doors.sessions.Remove(v.r.Context(), personKey)
		v.toSignIn()
		return
	}
	if v.isFragment() {
		v.w.Header().Set("HX-Reswap", "none")
		v.trigger(map[string]string{"problem": message})
		v.w.WriteHeader(status)
		return
	}
	v.renderStatus(status, v.problemPage(status, message))
}

// explain is the status and the words for an error. What no API said is told to the log, and to the person no more than
// that it happened.
func (v *view) explain(err error) (status int, message string) {
	var refused *fault
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &refused):
		return refused.status, refused.message
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge, "What was sent is too large."
	}
	v.Log.ErrorContext(v.r.Context(), "page failed", "path", v.r.URL.Path, "err", err)
	return http.StatusBadGateway, "The cloud's API could not be asked. The server's log says why."
}

// trigger has the page hear of events, each with a text.
func (v *view) trigger(events map[string]string) {
	raw, err := json.Marshal(events)
	if err != nil { // strings can be encoded
		panic(err)
	}
	v.w.Header().Set("HX-Trigger", ascii(string(raw)))
}

// ascii writes JSON without other characters, for a header.
func ascii(s string) string {
	var b strings.Builder
	for _, c := range utf16.Encode([]rune(s)) {
		if c < 0x80 {
			b.WriteByte(byte(c))
		} else {
			fmt.Fprintf(&b, "\\u%04x", c)
		}
	}
	return b.String()
}

func (v *view) render(content templ.Component) error {
	v.renderStatus(http.StatusOK, content)
	return nil
}

// renderStatus writes the whole of a component or, when it fails, nothing of it.
func (v *view) renderStatus(status int, content templ.Component) {
	var body bytes.Buffer
	if err := content.Render(v.r.Context(), &body); err != nil {
		v.Log.ErrorContext(v.r.Context(), "page could not be rendered", "path", v.r.URL.Path, "err", err)
		http.Error(v.w, "The page could not be rendered.", http.StatusInternalServerError)
		return
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	var zipped []byte
	if takesGzip(v.r) {
		zipped, _ = zip(body.Bytes(), gzip.BestSpeed) // the plain form does as well
	}
	send(v.w, v.r, status, body.Bytes(), zipped)
}

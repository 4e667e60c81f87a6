package main

import (
	"cmp"
	"net/http"
	"strings"

	"poise/internal/config"
	"poise/internal/console"
	"poise/internal/rest"
)

// openConsole puts the web console beside the APIs, whose client it is like any other.
func (h *house) openConsole(c config.Config) (err error) {
	apis := h.handler
	h.console, err = console.New(console.Config{
		IdentityURL: cmp.Or(c.Console.IdentityURL, h.identity.URL()+"/v3"), PublicURL: c.PublicURL, Local: apis, Log: h.log,
		Source: func(r *http.Request) string { return rest.Source(r.Context()) },
	})
	if err != nil {
		return err
	}
	pages := h.frame.Around(h.console.Handler())
	h.handler = console.Welcome(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == console.Base || strings.HasPrefix(r.URL.Path, console.Base+"/") {
			pages.ServeHTTP(w, r)
			return
		}
		apis.ServeHTTP(w, r)
	}))
	return nil
}

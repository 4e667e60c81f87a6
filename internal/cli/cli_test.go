package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/spf13/cobra"

	"poise/internal/clouds"
	"poise/internal/lab"
)

func TestHint(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		hint string // a part of it; "": no hint
	}{
		"no server":           {fmt.Errorf("dial: %w", syscall.ECONNREFUSED), "poise serve"},
		"address taken":       {fmt.Errorf("listen: %w", syscall.EADDRINUSE), "--listen"},
		"no credentials":      {fmt.Errorf("open: %w", fs.ErrNotExist), "--data-dir"},
		"foreign credentials": {fmt.Errorf("open: %w", fs.ErrPermission), "as the user"},
		"not root":            {fmt.Errorf("setns: %w", syscall.EPERM), "sudo"},
		"other cloud":         {fmt.Errorf("cloud x: %w", errNoCloud), "--cloud"},
		"no lab":              {fmt.Errorf("server x: %w", lab.ErrMissing), "poise lab up"},
		"wrong password":      {readable(refusal(401, "")), "--data-dir"},
		"not an admin":        {readable(refusal(403, "")), "poise-admin"},
		"something else":      {errors.New("out of luck"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Hint(c.err); !strings.Contains(got, c.hint) || (got == "") != (c.hint == "") {
				t.Errorf("got %q, want %q", got, c.hint)
			}
		})
	}
}

func refusal(status int, body string) error {
	return gophercloud.ErrUnexpectedResponseCode{URL: "http://127.0.0.1/", Method: "GET", Expected: []int{200}, Actual: status, Body: []byte(body)}
}

func TestReadable(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"Octavia":  {`{"faultcode":"Client","faultstring":"Quota exceeded.","debuginfo":null}`, "subnet: Quota exceeded. (HTTP 403)"},
		"Neutron":  {`{"NeutronError":{"type":"X","message":"No more addresses.","detail":""}}`, "subnet: No more addresses. (HTTP 403)"},
		"Keystone": {`{"error":{"code":403,"title":"Forbidden","message":"You may not."}}`, "subnet: You may not. (HTTP 403)"},
		"Nova":     {`{"forbidden":{"code":403,"message":"You may not."}}`, "subnet: You may not. (HTTP 403)"},
		"no body":  {"", "subnet: Forbidden (HTTP 403)"},
		"HTML":     {"<html>", "subnet: Forbidden (HTTP 403)"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := readable(fmt.Errorf("subnet: %w", refusal(403, c.body))).Error(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	plain := errors.New("plain")
	if got := readable(plain); got != plain {
		t.Errorf("another error became %v", got)
	}
}

func TestExitCode(t *testing.T) {
	if got := ExitCode(fmt.Errorf("waiting: %w", context.Canceled)); got != 130 {
		t.Errorf("interrupted: %d", got)
	}
	if got := ExitCode(errors.New("no")); got != 1 {
		t.Errorf("failed: %d", got)
	}
}

func TestCredentialsAreFound(t *testing.T) {
	named, given := t.TempDir(), t.TempDir()
	for dir, region := range map[string]string{named: "Named", given: "Given"} {
		password := func() string { return "secret" }
		if _, _, err := clouds.Ensure(dir, "http://127.0.0.1/identity/v3", region, password); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("OS_CLIENT_CONFIG_FILE", filepath.Join(named, clouds.FileName))
	for name, c := range map[string]struct {
		as     credentials
		region string
	}{
		"by flag":     {credentials{cloud: clouds.Admin, dataDir: given}, "Given"},
		"by variable": {credentials{cloud: clouds.User}, "Named"},
	} {
		t.Run(name, func(t *testing.T) {
			cloud, err := c.as.read()
			if err != nil || cloud.RegionName != c.region || cloud.Auth.Password != "secret" {
				t.Errorf("got %+v, %v; want region %s", cloud, err, c.region)
			}
		})
	}
	if _, err := (&credentials{cloud: "other"}).read(); !errors.Is(err, errNoCloud) {
		t.Errorf("a cloud that is not there: %v", err)
	}
	if _, err := (&credentials{cloud: clouds.User, dataDir: t.TempDir()}).read(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory without a file: %v", err)
	}
}

func TestCommandsCheckTheirArguments(t *testing.T) {
	for _, line := range []string{
		"version extra", "lab up extra", "lab server start", "lab server stop a b",
		"lab exec", "lab exec a", "lab exec a true", "lab exec a --", "lab exec a b -- true",
	} {
		t.Run(line, func(t *testing.T) {
			root := &cobra.Command{Use: "poise", SilenceErrors: true, SilenceUsage: true}
			root.AddCommand(Commands()...)
			root.SetArgs(strings.Fields(line))
			if err := root.ExecuteContext(t.Context()); err == nil {
				t.Error("accepted")
			}
		})
	}
}

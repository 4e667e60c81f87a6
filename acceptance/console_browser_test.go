package acceptance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"poise/internal/clouds"
	"poise/internal/config"
)

// screenshotsVariable is the directory in which pictures are kept; none are when it is not set.
const screenshotsVariable = "POISE_SCREENSHOTS"

// browser is a Chromium in the hands of somebody who sees words and clicks on them. Whatever it complains of (scripts that
// fail, what the pages' policy forbids) fails the test.
type browser struct {
	*testing.T
	ctx  context.Context
	root string // the address of the server

	mu         sync.Mutex // guards complaints
	complaints []string
}

// openBrowser starts a browser; it ends with the test.
func (h *host) openBrowser() *browser {
	h.t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("/usr/bin/chromium"), chromedp.UserDataDir(filepath.Join(h.t.TempDir(), "browser")), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("force-prefers-reduced-motion", true), chromedp.WindowSize(1280, 900),
	)
	allocated, stop := chromedp.NewExecAllocator(context.WithoutCancel(h.t.Context()), options...)
	ctx, end := chromedp.NewContext(allocated)
	b := &browser{T: h.t, ctx: ctx, root: "http://" + config.Default().Listen}
	h.t.Cleanup(func() {
		if h.t.Failed() {
			b.describe()
		}
		end()
		stop()
	})
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		h.t.Fatal(err)
	}
	b.do("open the browser", chromedp.Navigate("about:blank"))
	return b
}

// listen notes what the browser complains of. Refused forms are no complaint: tests send them.
func (b *browser) listen(event any) {
	text := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text = e.ExceptionDetails.Text
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError && !strings.Contains(e.Entry.Text, "the server responded with a status of 4") {
			text = e.Entry.Text + " " + e.Entry.URL
		}
	}
	if text != "" {
		b.mu.Lock()
		b.complaints = append(b.complaints, text)
		b.mu.Unlock()
	}
}

// wantNoComplaints wants the browser to have been content so far.
func (b *browser) wantNoComplaints() {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.complaints) > 0 {
		b.Errorf("the browser complains:\n%s", strings.Join(b.complaints, "\n"))
	}
	b.complaints = nil
}

// do carries actions out in bounded time.
func (b *browser) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.Fatalf("%s: %v", what, err)
	}
}

// visit opens a page of the console.
func (b *browser) visit(path string) {
	b.Helper()
	b.do("open "+path, chromedp.Navigate(b.root+"/console"+path), chromedp.WaitReady("main"))
}

// signIn signs in as a user of clouds.yaml.
func (b *browser) signIn(h *host, cloud string) {
	b.Helper()
	file, err := clouds.Read(filepath.Join(h.dataDir, clouds.FileName))
	if err != nil {
		b.Fatal(err)
	}
	auth := file.Clouds[cloud].Auth
	b.do("open the server's root", chromedp.Navigate(b.root+"/"), chromedp.WaitVisible("#f-user"))
	b.fill("User name", auth.Username)
	b.fill("Password", auth.Password)
	b.fill("Project", auth.ProjectName)
	b.press("Sign in")
	b.see("Dashboard")
}

// top is the pane on top of all others, or the page when there is none.
const top = `(//section[contains(@class,"pane")][last()] | //body[not(.//section[contains(@class,"pane")])])`

// quote is a text as XPath takes it; the tests' own words hold no double quotes.
func quote(text string) string { return `"` + text + `"` }

// press clicks on a link or a button by its words, or by the label that stands in for them.
func (b *browser) press(words string) {
	b.Helper()
	b.pressIn(top, words)
}

// pressIn clicks on the first link or button in a part of the page that has the words and can be seen.
func (b *browser) pressIn(scope, words string) {
	b.Helper()
	path := fmt.Sprintf(`%s//*[self::a or self::button or self::summary][normalize-space()=%s or @aria-label=%s]`, scope, quote(words), quote(words))
	b.retry("for "+words+" to be pressed", fmt.Sprintf(calm+` && ((all) => {
		document.querySelectorAll("[data-press]").forEach((old) => old.removeAttribute("data-press"));
		for (let found = all.iterateNext(); found; found = all.iterateNext()) {
			if (!found.checkVisibility()) continue;
			found.setAttribute("data-press", "");
			return true;
		}
		return false;
	})(document.evaluate(%q, document))`, path))
	b.do("press "+words, chromedp.Click("[data-press]", chromedp.NodeVisible))
}

// control is what belongs to a label.
func control(label string) string {
	return fmt.Sprintf(`%s//label[normalize-space()=%s]/following-sibling::*[self::input or self::textarea or self::select]`, top, quote(label))
}

// fill types into a field in place of what is there.
func (b *browser) fill(label, text string) {
	b.Helper()
	b.fillAt(label, control(label), text)
}

// fillAt types into what an XPath finds.
func (b *browser) fillAt(what, path, text string) {
	b.Helper()
	b.retry("the field "+what, fmt.Sprintf(`((field) => {
		if (!field) return false;
		field.focus();
		field.select();
		return document.activeElement === field;
	})(document.evaluate(%q, document, null, XPathResult.FIRST_ORDERED_NODE_TYPE).singleNodeValue)`, path))
	b.do("fill in "+what, chromedp.KeyEvent(text))
}

// choose takes a line of a dropdown, by how it begins.
func (b *browser) choose(label, line string) {
	b.Helper()
	b.retry("the line "+line+" of "+label, fmt.Sprintf(`(() => {
		const found = document.evaluate(%q, document, null, XPathResult.FIRST_ORDERED_NODE_TYPE).singleNodeValue;
		const option = found && [...found.options].find((o) => o.text.trim().startsWith(%q));
		if (!option) return false;
		found.focus();
		found.value = option.value;
		found.dispatchEvent(new Event("change", { bubbles: true }));
		return true;
	})()`, control(label), line))
}

// tick clicks on a radio button or a checkbox by its words.
func (b *browser) tick(label string) {
	b.Helper()
	path := fmt.Sprintf(`%s//label[normalize-space()=%s]/input`, top, quote(label))
	b.do("tick "+label, chromedp.Click(path, chromedp.NodeVisible))
}

// calm is true once nothing moves and nothing is being fetched.
const calm = `document.getAnimations().length === 0 && !document.querySelector(".htmx-request, .htmx-swapping, .htmx-added, .htmx-settling")`

// pane waits until a pane has slid in.
func (b *browser) pane(title string) {
	b.Helper()
	b.retry("for the pane "+title, fmt.Sprintf(`%s && [...document.querySelectorAll("#panes > .pane")].pop()?.ariaLabel === %q`, calm, title))
}

// see waits until the page, or the pane on top, shows words.
func (b *browser) see(words string) {
	b.Helper()
	b.retry("to see "+words, fmt.Sprintf(`%s && ([...document.querySelectorAll("#panes > .pane")].pop() || document.body).innerText.replace(/\s+/g, " ").includes(%q)`, calm, words))
}

// seeIn waits until a part of the page shows words.
func (b *browser) seeIn(selector, words string) {
	b.Helper()
	b.retry("to see "+words+" in "+selector, fmt.Sprintf(calm+` && (document.querySelector(%q)?.innerText || "").replace(/\s+/g, " ").includes(%q)`, selector, words))
}

// closed waits until no pane is open.
func (b *browser) closed() {
	b.Helper()
	b.retry("for panes to close", calm+` && document.querySelectorAll("#panes > .pane").length === 0`)
}

// retry waits until an expression is true.
func (b *browser) retry(what, expression string) {
	b.Helper()
	deadline := time.Now().Add(patience)
	for {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](expression)) // fails while the page changes
		if ok && err == nil {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("waited in vain %s: %v", what, err)
		}
		b.do("wait", chromedp.Sleep(20*time.Millisecond))
	}
}

// describe logs what the browser shows, and keeps a picture of it where pictures are kept.
func (b *browser) describe() {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	text, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	b.Logf("the browser shows (%v):\n%s", err, text)
	if dir := os.Getenv(screenshotsVariable); dir != "" && err == nil {
		_ = os.WriteFile(filepath.Join(dir, "failed-"+b.Name()+".png"), picture, 0o644)
	}
}

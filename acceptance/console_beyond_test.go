package acceptance

import (
	_ "embed"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"poise/internal/testpki"
)

// pagesBeyond are those of which the guide knows nothing, with what fillBeyond has made.
func pagesBeyond() []consolePage {
	policies := then(row("shop-frontend", "Listeners"), "L7 policies of listener shop-web")
	return []consolePage{
		{"balancer-traffic", "/load-balancers", func(b *browser) {
			row("mylb", "Traffic")(b)
			b.retry("to see charts", `document.querySelectorAll(".charts canvas").length === 2 && document.querySelectorAll(".map-box").length > 5`)
		}},
		{"balancer-traffic-none", "/load-balancers", row("paused", "Traffic")},
		{"balancer-history", "/load-balancers", func(b *browser) {
			row("mylb", "History")(b)
			b.seeIn(".history", "connection refused by 10.15.25.58:61235")
		}},
		{"member-health", "/load-balancers", func(b *browser) {
			members(b)
			b.do("press the timeline", chromedp.Click(".members tr:last-child .timeline-link"))
			b.see("connection refused by 10.15.25.58:61235")
		}},
		{"policies", "/load-balancers", policies},
		{"policy-create", "/load-balancers", then(policies, "Create an L7 Policy")},
		{"policy-rules", "/load-balancers", then(policies, "Rules of L7 policy static-files")},
		{"listener-tls", "/load-balancers", then(row("shop-frontend", "Listeners"), "Modify listener shop-tls", "TLS", "Clients with certificates", "Headers for the members")},
		{"listener-copy", "/load-balancers", func(b *browser) {
			then(row("mylb", "Listeners"), "Create a Listener", "Copy as")(b)
			b.see("openstack loadbalancer listener create")
			b.do("go to the end", chromedp.Evaluate[chromedp.Void](`document.querySelector(".copy-as").scrollIntoView()`))
		}},
		{"certificates", "/certificates", nil},
		{"certificate-store", "/certificates", then(func(*browser) {}, "Store a certificate")},
		{"certificate-bundle", "/certificates", func(b *browser) {
			b.press("Store a certificate")
			b.pane("Store a certificate")
			b.tick("PKCS #12 file")
			b.see("without a passphrase")
		}},
		{"certificate-replace", "/certificates", then(func(*browser) {}, "Replace certificate shop")},
		{"certificate-delete", "/certificates", then(func(*browser) {}, "Delete certificate shop")},
		{"flavors", "/flavors", nil},
		{"quotas", "/quotas", nil},
	}
}

// fillBeyond makes what the pages beyond the guide's show.
func (h *host) fillBeyond() {
	h.t.Helper()
	pair := testpki.NewAuthority(h.t, "Example Authority").Issue(h.t, "shop.example.org")
	certificate, key := pair.WriteFiles(h.t)
	for _, command := range []string{
		"openstack secret container create --type=certificate --name=shop " +
			"--secret=certificate=$(openstack secret store --name=shop-certificate --secret-type=certificate --payload-content-type=text/plain --payload=\"$(cat " + certificate + ")\" -c 'Secret href' -f value) " +
			"--secret=private_key=$(openstack secret store --name=shop-key --secret-type=private --payload-content-type=text/plain --payload=\"$(cat " + key + ")\" -c 'Secret href' -f value)",
		"openstack loadbalancer listener create --name shop-web --protocol HTTP --protocol-port 80 shop-frontend",
		"openstack loadbalancer listener create --name shop-tls --protocol TERMINATED_HTTPS --protocol-port 443 --default-tls-container-ref $(openstack secret container list --name shop -c 'Container href' -f value) shop-frontend",
		"openstack loadbalancer pool create --name shop-pool --lb-algorithm ROUND_ROBIN --listener shop-web --protocol HTTP",
		"openstack loadbalancer pool create --name shop-static --lb-algorithm ROUND_ROBIN --loadbalancer shop-frontend --protocol HTTP",
		"openstack loadbalancer l7policy create --name static-files --action REDIRECT_TO_POOL --redirect-pool shop-static shop-web",
		"openstack loadbalancer l7rule create --type PATH --compare-type STARTS_WITH --value /static static-files",
		"openstack --os-cloud poise-admin loadbalancer flavorprofile create --name small --provider poise --flavor-data '{}'",
		"openstack --os-cloud poise-admin loadbalancer flavor create --name small --flavorprofile small --description 'for small sites' --enable",
		"openstack --os-cloud poise-admin loadbalancer quota set --loadbalancer 10 --listener 4 --pool 100 demo",
		"for i in $(seq 50); do ncat --recv-only 198.51.100.129 61234; done",
	} {
		h.run(command)
	}
}

// axe looks at a page for what keeps people out (axe-core, docs/dependencies.md). It is put into the page by the browser, past
// the page's policy, and never by the server.
//
//go:embed testdata/axe.min.js
var axe string

// wantAccessible wants nothing serious or critical on the page that is shown.
func (b *browser) wantAccessible(name string) {
	b.Helper()
	b.do("look at "+name, chromedp.Evaluate[chromedp.Void](axe+";undefined"))
	found, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`axe.run(document, { resultTypes: ["violations"] }).then((result) => result.violations
		.filter((found) => found.impact === "serious" || found.impact === "critical")
		.map((found) => found.id + ": " + found.nodes.map((node) => node.html.slice(0, 200) + "\n  " + node.failureSummary).join("\n")).join("\n"))`,
		chromedp.EvalAwaitPromise))
	if err != nil {
		b.Fatalf("axe-core at %s: %v", name, err)
	}
	if found != "" {
		b.Errorf("%s keeps people out:\n%s", name, found)
	}
}

// What a form shows as commands does what the form would do; the page shows it by itself.
func TestConsoleCopyAs(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	h := newHost(t, "linux", nil)
	h.run("poise lab up")
	b := h.openBrowser()
	b.signIn(h, "poise")
	const name = `it's "${my}" $(lb)`

	b.press("Create a Load Balancer")
	b.pane("Create a Load Balancer")
	b.fill("Name", name)
	b.tick("Subnet")
	b.choose("Subnet", "subnet-regionone")
	h.run(b.command("--name='it'\\''s"))
	b.leave()
	b.press("Load Balancers")
	b.seeIn("#balancers", name)
	b.do("expand it", chromedp.Click(".name-link"))

	b.pressIn(`//div[@role="tablist"]`, "Listeners")
	b.press("Create a Listener")
	b.pane("Create a Listener")
	b.fill("Name", "web")
	b.choose("Protocol", "HTTP")
	b.see("Headers for the members")
	b.fill("Port", "61234")
	b.fill("Allowed CIDRs", "0.0.0.0/0")
	h.run(b.command("--allowed-cidr=0.0.0.0/0"))
	b.leave()
	b.seeIn(".inner", "61234")

	b.pressIn(`//div[@role="tablist"]`, "Pools")
	b.press("Create a Pool")
	b.pane("Create a Pool")
	b.fill("Name", "servers")
	b.choose("Protocol", "HTTP")
	b.choose("Listener", "web")
	b.choose("Session persistence", "APP_COOKIE")
	b.fill("Cookie name", "sid")
	h.run(b.command("cookie_name=sid"))
	b.leave()
	b.seeIn(".pools", "APP_COOKIE")

	b.press("Modify members of pool servers")
	b.press("Add srv-lbaas-1 10.15.25.105")
	b.see("Members 1")
	h.run(b.command("--address=10.15.25.105"))
	b.leave()
	b.seeIn(".pools", "1 / 1")

	b.press("Modify pool servers")
	b.press("Create a Healthmonitor")
	b.pane("Create a Healthmonitor")
	b.fill("Name", "check")
	h.run(b.command("--name=check"))
	b.leave()
	b.leave()

	b.pressIn(`//div[@role="tablist"]`, "Listeners")
	b.press("L7 policies of listener web")
	b.press("Create an L7 Policy")
	b.pane("Create an L7 Policy")
	b.fill("Name", "go-away")
	h.run(b.command("--name=go-away"))
	b.leave()
	b.leave()
	b.press("L7 policies of listener web")
	b.press("Rules of L7 policy go-away")
	b.pane("Rules of go-away")
	b.fill("Value", "/secret")
	h.run(b.command("--value=/secret"))
	b.leave()
	b.leave()

	b.do("open the menu", chromedp.Click(".balancers details.menu summary"))
	b.press("Modify Load Balancer")
	b.pane("Modify Load Balancer")
	b.fill("Name", "renamed")
	h.run(b.command("--name=renamed"))
	b.leave()
	b.seeIn("#balancers", "renamed")
	if rules := h.run("openstack loadbalancer l7rule list go-away -f value -c value"); !strings.Contains(rules, "/secret") {
		t.Errorf("rules %q", rules)
	}
	b.wantNoComplaints()
}

// command opens the section "Copy as" of the pane on top, and reads the commands once they have what was typed.
func (b *browser) command(part string) string {
	b.Helper()
	b.press("Copy as")
	read := `([...document.querySelectorAll("#panes > .pane")].pop()?.querySelector("[data-says*=Commands]")?.dataset.copy || "")`
	b.retry("for commands with "+part, fmt.Sprintf(`%s.includes(%q)`, read, part))
	command, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](read))
	if err != nil {
		b.Fatal(err)
	}
	return command
}

// leave closes the pane on top without doing what it is for.
func (b *browser) leave() {
	b.Helper()
	before := `document.querySelectorAll("#panes > .pane").length`
	count, err := chromedp.Run(b.ctx, chromedp.Evaluate[int](before))
	if err != nil {
		b.Fatal(err)
	}
	b.do("close the pane", chromedp.Evaluate[chromedp.Void](`((pane) => {
		delete pane.dataset.touched; // what was typed may go
		(pane.querySelector("[data-back]") || pane.querySelector("[data-close]")).click();
	})([...document.querySelectorAll("#panes > .pane")].pop())`))
	b.retry("for the pane to close", fmt.Sprintf("%s === %d || %s === 0", before, count-1, before))
}

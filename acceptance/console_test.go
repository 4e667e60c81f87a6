package acceptance

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
)

// A person follows the graphical tabs of the guide, click by click, and the load balancer works.
func TestConsoleGuide(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	h := newHost(t, "linux", nil)
	h.run("poise lab up")
	b := h.openBrowser()
	b.signIn(h, "poise")
	b.createBalancer()
	b.createListener()
	b.createPool()
	b.addMembers()
	b.seeIn("#balancers", "ONLINE")
	b.assignFloatingIP()
	h.waitForServer("srv-lbaas-1")
	h.wantTurns()
	h.run("poise lab server stop srv-lbaas-1")
	h.wantOnly("srv-lbaas-2")
	h.run("poise lab server start srv-lbaas-1")
	h.waitForServer("srv-lbaas-1")
	b.createMonitor("")
	b.seeIn(".members", "ONLINE")
	h.wantTurns()
	b.wantNoComplaints()
}

// A server fails and comes back, and the page says it by itself.
func TestConsoleShowsFailureAndRecovery(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	h := newHost(t, "linux", nil)
	h.run("poise lab up")
	b := h.openBrowser()
	b.signIn(h, "poise")
	b.createBalancer()
	b.createListener()
	b.createPool()
	b.addMembers()
	b.createMonitor("1")
	b.seeIn(".members", "ONLINE")
	b.do("mark the page", chromedp.Evaluate[chromedp.Void](`window.isTheSamePage = true`))

	b.timeErrors(h.run("openstack token issue -f value -c id"), h.run("openstack loadbalancer pool show mylb-pool -f value -c id"))
	h.run("poise lab server stop srv-lbaas-1")
	b.seeIn(".members", "ERROR")
	b.retry("the page to show it within a second of the API", `seen.api && seen.page && seen.page - seen.api < 1000`)
	b.seeIn(".members", "refused")
	b.seeIn(".pools", "DEGRADED")
	h.run("poise lab server start srv-lbaas-1")
	b.retry("both members to be ONLINE", `[...document.querySelectorAll(".members .status")].filter((s) => s.innerText.trim() === "ONLINE").length === 2`)
	b.retry("the load balancer to be ONLINE", `document.querySelector(".balancers .row .status").innerText.trim() === "ONLINE"`)
	b.retry("the page never to have been loaded again", `window.isTheSamePage === true`)
	b.wantNoComplaints()
}

// timeErrors notes when the API first says that a member is in ERROR, and when the page does.
func (b *browser) timeErrors(token, pool string) {
	b.Helper()
	b.do("watch for errors", chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`(() => {
		window.seen = {};
		const ask = async () => {
			const answer = await fetch("/load-balancer/v2.0/lbaas/pools/" + %q + "/members", { headers: { "X-Auth-Token": %q } });
			if ((await answer.json()).members.some((m) => m.operating_status === "ERROR")) seen.api = performance.now();
			else setTimeout(ask, 50);
		};
		ask();
		new MutationObserver(() => {
			if (!seen.page && document.querySelector(".members .status-bad")) seen.page = performance.now();
		}).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
	})()`, pool, token)))
}

// Somebody else's load balancer is not there, whatever is typed into the address.
func TestConsoleIsolation(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	h := newHost(t, "linux", nil)
	h.run("poise lab up")
	h.run("openstack loadbalancer create --name the-secret-plan --vip-subnet-id subnet-regionone")
	id := h.run("openstack loadbalancer show the-secret-plan -f value -c id")
	for _, command := range []string{
		"project create other", "user create --password other-password --project other other", "role add --user other --project other member",
	} {
		h.run("openstack --os-cloud poise-admin " + command)
	}
	b := h.openBrowser()
	b.do("open the server's root", chromedp.Navigate(b.root+"/"), chromedp.WaitVisible("#f-user"))
	b.fill("User name", "other")
	b.fill("Password", "other-password")
	b.press("Sign in")
	b.see("No Load Balancers in this region")
	for _, path := range []string{"", "/modify", "/listeners/new", "/pools/new"} {
		b.visit("/load-balancers/RegionOne/" + id + path)
		b.retry("nothing of it to be shown at "+path, calm+` && !document.body.innerText.includes("the-secret-plan")`)
		if path != "" {
			b.see("not found")
		}
	}
	b.visit("/load-balancers/delete?id=RegionOne/" + id)
	b.see("not found")
}

// createBalancer is the guide's "Creating a load balancer".
func (b *browser) createBalancer() {
	b.Helper()
	b.press("Create …")
	b.pane("Create")
	b.do("press the box", chromedp.Click(top+`//a[contains(@class,"box")][contains(.,"Load Balancer")]`))
	b.pane("Create a Load Balancer")
	b.fill("Name", "mylb")
	b.choose("Region", "RegionOne")
	b.fill("Description", "made by hand")
	b.tick("Subnet")
	b.choose("Subnet", "subnet-regionone")
	b.press("Create")
	b.closed()
	b.press("Load Balancers")
	b.seeIn("#balancers", "mylb")
	b.seeIn("#balancers", "10.15.25.")
	b.press("Actions of mylb")
	b.press("View details")
	for _, words := range []string{"Details", "Listeners", "Pools", "made by hand", "Provider"} {
		b.seeIn("#balancers", words)
	}
}

// createListener is the guide's "Creating a listener".
func (b *browser) createListener() {
	b.Helper()
	b.pressIn(`//div[@role="tablist"]`, "Listeners")
	b.seeIn("#balancers", "No Listeners for this LoadBalancer")
	b.press("Create a Listener")
	b.pane("Create a Listener")
	b.fill("Name", "mylb-listener")
	b.choose("Protocol", "TCP")
	b.fill("Port", "61234")
	b.press("Create")
	b.closed()
	b.seeIn(".inner", "mylb-listener")
	b.seeIn(".inner", "61234")
}

// createPool is the guide's "Creating a pool".
func (b *browser) createPool() {
	b.Helper()
	b.pressIn(`//div[@role="tablist"]`, "Pools")
	b.seeIn("#balancers", "No Pools for this LoadBalancer")
	b.press("Create a Pool")
	b.pane("Create a Pool")
	b.fill("Name", "mylb-pool")
	b.choose("Algorithm", "ROUND_ROBIN")
	b.choose("Protocol", "TCP")
	b.choose("Listener", "mylb-listener")
	b.press("Create")
	b.closed()
	b.seeIn(".pools", "mylb-pool")
	b.seeIn(".pools", "0 / 1")
	b.pressIn(`//div[@role="tablist"]`, "Listeners")
	b.seeIn(".inner", "mylb-pool")
	b.pressIn(`//div[@role="tablist"]`, "Pools")
	b.seeIn(".pools", "mylb-pool")
}

// addMembers is the guide's "Adding members to the pool".
func (b *browser) addMembers() {
	b.Helper()
	b.press("Modify members of pool mylb-pool")
	b.pane("Modify Pool Members")
	b.see("srv-lbaas-3")
	for i, address := range []string{"10.15.25.105", "10.15.25.236"} {
		b.press(fmt.Sprintf("Add srv-lbaas-%d %s", i+1, address))
		b.see(fmt.Sprintf("Members %d", i+1))
		b.press("Edit port and weight of " + address)
		b.fillAt("the port", top+`//label[contains(.,"Port")]/input[@name="m_port"]`, "61234")
		b.press("Edit port and weight of " + address)
		b.retry("the line to be closed", `!document.querySelector(".pane .tight")`)
	}
	b.press("Update")
	b.closed()
	b.seeIn(".pools", "2 / 1")
}

// assignFloatingIP is the guide's "Assigning a floating IP".
func (b *browser) assignFloatingIP() {
	b.Helper()
	b.press("Actions of mylb")
	b.press("Modify Load Balancer")
	b.pane("Modify Load Balancer")
	b.choose("Floating IP", "Create and attach IP")
	b.pane("Create a Floating IP")
	b.choose("Region", "RegionOne")
	b.choose("External Network", "ext-net")
	b.choose("Assign to", "Load Balancer")
	b.choose("LoadBalancer", "mylb")
	b.press("Create and Assign")
	b.closed()
	b.seeIn("#balancers", "198.51.100.129")
}

// createMonitor is the guide's "Adding a health monitor"; delay is "" for what the form proposes.
func (b *browser) createMonitor(delay string) {
	b.Helper()
	b.seeIn(".pools", "mylb-pool")
	b.press("Modify pool mylb-pool")
	b.see("No health monitor created")
	b.press("Create a Healthmonitor")
	b.pane("Create a Healthmonitor")
	b.fill("Name", "mylb-pool-healthmon")
	b.choose("Type", "TCP")
	if delay != "" {
		b.fill("Delay", delay)
		b.fill("Timeout", delay)
		b.fill("Max retries down", "1")
	}
	b.press("Create")
	b.closed()
	b.seeIn(".pools", "1")
	b.do("press the count", chromedp.Click(`a[id^="monitor-"]`))
	b.seeIn("#balancers", "Operating Status")
}

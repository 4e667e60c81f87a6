package acceptance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// consolePage is a page of the console as somebody comes to it: an address, and what is done there.
type consolePage struct {
	name, path string
	act        func(*browser)
}

// row expands a load balancer in the list, and shows tabs of it one after the other.
func row(name string, tabs ...string) func(*browser) {
	return func(b *browser) {
		b.press(name)
		b.seeIn("#balancers", "Provider")
		for _, tab := range tabs {
			b.pressIn(`//div[@role="tablist"]`, tab)
		}
		b.retry("for the page to be calm", calm)
	}
}

// then presses one thing after the other.
func then(first func(*browser), presses ...string) func(*browser) {
	return func(b *browser) {
		first(b)
		for _, words := range presses {
			b.press(words)
			b.retry("for the page to be calm", calm)
		}
	}
}

// members shows those of mylb's pool.
func members(b *browser) {
	row("mylb", "Pools")(b)
	b.do("press the count", chromedp.Click(`a[id^="monitor-"]`))
	b.retry("to see members", `!!document.querySelector("table.members")`)
}

// consolePages are all of them, with a load balancer mylb that has a listener, a pool, members and a health monitor.
func consolePages() []consolePage {
	return append([]consolePage{
		{"dashboard", "/", nil},
		{"create", "/", then(func(*browser) {}, "Create …")},
		{"balancers", "/load-balancers", nil},
		{"balancers-filtered", "/load-balancers?q=nothing-like-it", nil},
		{"balancer-create", "/load-balancers", then(func(*browser) {}, "Create a Load Balancer")},
		{"balancer-create-page", "/load-balancers/new", nil},
		{"balancer-details", "/load-balancers", row("mylb")},
		{"balancer-listeners", "/load-balancers", row("mylb", "Listeners")},
		{"balancer-pools", "/load-balancers", row("mylb", "Pools")},
		{"balancer-members", "/load-balancers", members},
		{"balancer-menu", "/load-balancers", then(func(*browser) {}, "Actions of mylb")},
		{"balancers-selected", "/load-balancers", func(b *browser) {
			b.do("select one", chromedp.Click("[data-one]"))
			b.see("1 selected")
		}},
		{"balancer-modify", "/load-balancers", then(func(*browser) {}, "Actions of mylb", "Modify Load Balancer")},
		{"balancer-delete", "/load-balancers", then(func(*browser) {}, "Actions of mylb", "Delete")},
		{"listener-create", "/load-balancers", then(row("mylb", "Listeners"), "Create a Listener")},
		{"listener-refused", "/load-balancers", then(row("mylb", "Listeners"), "Create a Listener", "Create")},
		{"pool-create", "/load-balancers", then(row("mylb", "Pools"), "Create a Pool")},
		{"pool-modify", "/load-balancers", then(row("mylb", "Pools"), "Modify pool mylb-pool")},
		{"pool-members", "/load-balancers", then(row("mylb", "Pools"), "Modify members of pool mylb-pool", "Edit port and weight of 10.15.25.105")},
		{"monitor-modify", "/load-balancers", then(row("mylb", "Pools"), "Modify pool mylb-pool", "Modify health monitor")},
		{"floating-ips", "/floating-ips", nil},
		{"floating-ip-create", "/floating-ips", then(func(*browser) {}, "Create a Floating IP")},
		{"networks", "/networks", nil},
		{"ports", "/ports", nil},
		{"servers", "/servers", nil},
		{"not-found", "/load-balancers/RegionOne/no-such-id", nil},
	}, pagesBeyond()...)
}

// Every page is shown as it should be, wide and narrow, light and dark: nothing in it offends the pages' policy, and nothing is
// wider than the screen. Where pictures are kept, they are taken.
func TestConsolePages(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	h := newHost(t, "linux", nil)
	h.run("poise lab up")
	h.fillProject()
	h.fillBeyond()
	b := h.openBrowser()
	b.do("open the sign-in", chromedp.Navigate(b.root+"/console/sign-in"), chromedp.WaitVisible("#f-user"))
	looks(func(name string) { b.picture("sign-in" + name) }, b)
	b.signIn(h, "poise")
	for _, p := range consolePages() {
		looks(func(name string) {
			b.visit(p.path)
			if p.act != nil {
				p.act(b)
			}
			b.retry("for the page to be calm", calm)
			b.retry(p.name+name+" to fit the screen", `document.documentElement.scrollWidth <= window.innerWidth`)
			b.picture(p.name + name)
			if name == "-1280-light" || name == "-390-dark" {
				b.wantAccessible(p.name + name)
			}
		}, b)
	}
	b.wantNoComplaints()
}

// look is a width and a theme in which pages are shown.
type look struct {
	width int64
	theme string
}

// allLooks begins with two that hold each width and each theme. The others add pictures, and nothing that the pages' style could
// get wrong only there: they are left out where no pictures are kept.
func allLooks() []look {
	all := []look{{1280, "light"}, {390, "dark"}, {1280, "dark"}, {390, "light"}}
	if os.Getenv(screenshotsVariable) == "" {
		return all[:2]
	}
	return all
}

// looks does something in every look of the pages.
func looks(do func(name string), b *browser) {
	for _, l := range allLooks() {
		b.do("set the look", chromedp.EmulateViewport(l.width, 900), chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
			_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.theme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
			})
			return err
		}))
		do(fmt.Sprintf("-%d-%s", l.width, l.theme))
	}
}

// picture keeps what the browser shows, where pictures are kept.
func (b *browser) picture(name string) {
	b.Helper()
	dir := os.Getenv(screenshotsVariable)
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.Fatalf("picture of %s: %v", name, err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil {
		b.Fatal(err)
	}
}

// fillProject makes load balancers that are well, not well, and empty.
func (h *host) fillProject() {
	h.t.Helper()
	for _, command := range []string{
		"openstack loadbalancer create --name mylb --vip-subnet-id subnet-regionone --description 'greets visitors'",
		"openstack loadbalancer listener create --name mylb-listener --protocol TCP --protocol-port 61234 mylb",
		"openstack loadbalancer pool create --name mylb-pool --lb-algorithm ROUND_ROBIN --listener mylb-listener --protocol TCP",
		"openstack loadbalancer healthmonitor create --name=mylb-pool-healthmon --type=TCP --delay=1 --timeout=1 --max-retries=1 --max-retries-down=1 mylb-pool",
		"openstack loadbalancer member create --name srv-lbaas-1 --address 10.15.25.105 --protocol-port 61234 mylb-pool",
		"openstack loadbalancer member create --name srv-lbaas-2 --address 10.15.25.236 --protocol-port 61234 mylb-pool",
		"openstack loadbalancer member create --name spare --address 10.15.25.58 --protocol-port 61235 mylb-pool",
		"openstack floating ip create --port $(openstack loadbalancer show mylb -c vip_port_id -f value) ext-net",
		"openstack floating ip create ext-net",
		"openstack loadbalancer create --name shop-frontend --vip-subnet-id subnet-regionone",
		"openstack loadbalancer create --name a-load-balancer-with-a-rather-long-name-for-the-order-service-in-production --vip-subnet-id subnet-regionone",
		"openstack loadbalancer create --name paused --disable --vip-subnet-id subnet-regionone",
	} {
		h.run(command)
	}
}

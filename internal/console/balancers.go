package console

import (
	"cmp"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

var balancerPages = []page{
	{method: "GET", pattern: "/load-balancers", handle: (*view).showBalancers},
	{method: "GET", pattern: "/load-balancers/{region}/{id}", handle: (*view).showBalancer},
}

// balancersPath is the page with the list.
const balancersPath = Base + "/load-balancers"

// opened is a row of the list that is expanded: which tab it shows, and which pool's members.
type opened struct{ id, tab, pool string }

// text is how a form carries it; ids and tabs are free of the separator.
func (o opened) text() string { return o.id + "~" + o.tab + "~" + o.pool }

func readOpened(text string) opened {
	parts := append(strings.SplitN(text, "~", 3), "", "")
	return opened{parts[0], parts[1], parts[2]}
}

// listing is what the page with the list shows.
type listing struct {
	filter     string
	sort       string
	descending bool
	open       map[string]opened
	regions    []regionList
}

// regionList is the part of a region; problem says why it is not there.
type regionList struct {
	name    string
	total   int // before the filter
	rows    []row
	problem string
}

// row is a load balancer with what else its line shows.
type row struct {
	*balancer
	address string // the floating IP's
	opened  *opened
	members []member           // of the opened pool
	healths map[string]*health // of those, as far as the cloud tells
	traffic *traffic           // of the opened tab
	history *history           // of the opened tab
}

func (r row) path(parts ...string) string {
	return balancersPath + "/" + url.PathEscape(r.region) + "/" + url.PathEscape(r.ID) + strings.Join(parts, "")
}

// tabPath leads to a tab of the expanded row.
func (r row) tabPath(tab, pool string) string {
	query := url.Values{"tab": {tab}}
	if pool != "" {
		query.Set("pool", pool)
	}
	return r.path("?", query.Encode())
}

// here is the address of the row as it is.
func (r row) here() string {
	if r.opened == nil {
		return r.path()
	}
	return r.tabPath(r.opened.tab, r.opened.pool)
}

func (v *view) showBalancers() error {
	l, err := v.listing()
	if err != nil {
		return err
	}
	return v.render(v.balancersPage(l))
}

// showBalancer is one row, or without JavaScript the list with that row expanded.
func (v *view) showBalancer() error {
	o := opened{id: v.r.PathValue("id"), tab: v.r.FormValue("tab"), pool: v.r.FormValue("pool")}
	b, err := v.balancer(v.r.PathValue("region"), o.id)
	if err != nil {
		return err
	}
	if !v.isFragment() {
		if o.tab == "" && !v.r.Form.Has("tab") {
			o.tab = tabDetails
		}
		l, err := v.listing(o)
		if err != nil {
			return err
		}
		return v.render(v.balancersPage(l))
	}
	shown, err := v.row(b, o)
	if err != nil {
		return err
	}
	v.noteOpened(o)
	return v.render(v.balancerRow(shown))
}

// noteOpened has the browser's address say which rows are expanded, so that they still are when the page is loaded again.
func (v *view) noteOpened(o opened) {
	page, err := url.Parse(v.r.Header.Get("HX-Current-URL"))
	if err != nil || page.Path != balancersPath || v.r.Header.Get(refreshHeader) != "" {
		return
	}
	query := page.Query()
	query["open"] = slices.DeleteFunc(query["open"], func(text string) bool { return readOpened(text).id == o.id })
	if o.tab != "" {
		query.Add("open", o.text())
	}
	v.w.Header().Set("HX-Replace-Url", balancersPath+"?"+query.Encode())
}

// balancer finds a load balancer of the person's project.
func (v *view) balancer(region, id string) (*balancer, error) {
	w, err := v.watch(region)
	if err != nil {
		return nil, err
	}
	return w.find(v.r.Context(), id)
}

// listing reads what the address asks for, with more rows opened.
func (v *view) listing(also ...opened) (listing, error) {
	l := listing{
		filter: strings.TrimSpace(v.r.FormValue("q")), sort: v.r.FormValue("sort"), descending: v.r.FormValue("dir") == "desc",
		open: map[string]opened{},
	}
	for _, text := range v.r.Form["open"] {
		o := readOpened(text)
		l.open[o.id] = o
	}
	for _, o := range also {
		if o.tab != "" {
			l.open[o.id] = o
		}
	}
	for _, region := range v.person.Regions {
		part, err := v.regionList(region, l)
		if err != nil && statusOf(err) == 401 {
			return listing{}, err
		}
		if err != nil {
			_, part.problem = v.explain(err)
		}
		l.regions = append(l.regions, part)
	}
	return l, nil
}

// regionList reads one region. One that does not answer does not hide the others.
func (v *view) regionList(region string, l listing) (regionList, error) {
	part := regionList{name: region}
	w, all, err := v.balancers(region)
	if err != nil {
		return part, err
	}
	part.total = len(all)
	floating, err := w.floating(v.r.Context())
	if err != nil {
		return part, err
	}
	for _, b := range all {
		r := row{balancer: b, address: floating[b.VIPPortID].Address}
		if !r.matches(l.filter) {
			continue
		}
		if o, ok := l.open[b.ID]; ok {
			if r, err = v.expand(r, w, o); err != nil {
				return part, err
			}
		}
		part.rows = append(part.rows, r)
	}
	slices.SortStableFunc(part.rows, l.compare)
	return part, nil
}

// balancers are all of a region. A watch that somebody else's token ended is begun again with ours.
func (v *view) balancers(region string) (*watch, []*balancer, error) {
	for again := true; ; again = false {
		w, err := v.watch(region)
		if err != nil {
			return nil, nil, err
		}
		all, err := w.list(v.r.Context())
		if err == nil || !again || !w.isOver() {
			return w, all, err
		}
	}
}

// row is a load balancer as its line shows it.
func (v *view) row(b *balancer, o opened) (row, error) {
	w, err := v.watch(b.region)
	if err != nil {
		return row{}, err
	}
	floating, err := w.floating(v.r.Context())
	if err != nil {
		return row{}, err
	}
	r := row{balancer: b, address: floating[b.VIPPortID].Address}
	if o.tab == "" {
		return r, nil
	}
	return v.expand(r, w, o)
}

// expand shows what is below a row.
func (v *view) expand(r row, w *watch, o opened) (row, error) {
	if !slices.Contains(tabs, o.tab) {
		o.tab = tabDetails
	}
	r.opened = &o
	c, err := v.open(r.region)
	if err != nil {
		return r, err
	}
	switch o.tab {
	case tabTraffic:
		r.traffic, err = v.traffic(c, r.balancer, w)
		return r, err
	case tabHistory:
		r.history, err = c.history(v.r.Context(), r.ID)
		return r, err
	}
	if _, ok := r.pool(o.pool); !ok || o.tab != tabPools {
		o.pool = ""
		return r, nil
	}
	if r.members, err = w.poolMembers(v.r.Context(), o.pool); err != nil {
		return r, err
	}
	r.healths, err = c.healths(v.r.Context(), o.pool, r.members)
	return r, err
}

// The tabs of an expanded row.
const (
	tabDetails   = "details"
	tabListeners = "listeners"
	tabPools     = "pools"
	tabTraffic   = "traffic"
	tabHistory   = "history"
)

var tabs = []string{tabDetails, tabListeners, tabPools, tabTraffic, tabHistory}

// matches tells whether any of what the row shows has the filter's words in it.
func (r row) matches(filter string) bool {
	if filter == "" {
		return true
	}
	all := []string{r.Name, r.ID, r.address, r.VIPAddress, r.Operating, r.Provisioning, r.Description, r.region}
	for _, more := range r.AdditionalVIPs {
		all = append(all, more.Address)
	}
	shown := strings.ToLower(strings.Join(all, "\n"))
	return !slices.ContainsFunc(strings.Fields(strings.ToLower(filter)), func(word string) bool { return !strings.Contains(shown, word) })
}

// columns are what a list can be sorted by.
var columns = map[string]func(a, b row) int{
	"status":    func(a, b row) int { return strings.Compare(a.Operating, b.Operating) },
	"name":      func(a, b row) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) },
	"id":        func(a, b row) int { return strings.Compare(a.ID, b.ID) },
	"address":   func(a, b row) int { return compareAddresses(a.address, b.address) },
	"vip":       func(a, b row) int { return compareAddresses(a.VIPAddress, b.VIPAddress) },
	"listeners": func(a, b row) int { return cmp.Compare(len(a.listeners), len(b.listeners)) },
	"pools":     func(a, b row) int { return cmp.Compare(len(a.pools), len(b.pools)) },
}

func (l listing) compare(a, b row) int {
	by, ok := columns[l.sort]
	switch {
	case !ok:
		return 0
	case l.descending:
		return by(b, a)
	default:
		return by(a, b)
	}
}

// path is the address of the list, sorted by another column; the column that it is sorted by turns around.
func (l listing) path(column string) string {
	query := url.Values{}
	if l.filter != "" {
		query.Set("q", l.filter)
	}
	if column != "" {
		query.Set("sort", column)
	}
	if column != "" && column == l.sort && !l.descending {
		query.Set("dir", "desc")
	}
	if len(query) == 0 {
		return balancersPath
	}
	return balancersPath + "?" + query.Encode()
}

// here is the address of the list as it is.
func (l listing) here() string {
	l.descending = !l.descending
	return l.path(l.sort)
}

// sorted is how a column is sorted, for screen readers.
func (l listing) sorted(column string) string {
	switch {
	case l.sort != column:
		return "none"
	case l.descending:
		return "descending"
	default:
		return "ascending"
	}
}

// compareAddresses puts addresses into the order of their numbers; none comes first.
func compareAddresses(a, b string) int {
	first, _ := netip.ParseAddr(a)
	second, _ := netip.ParseAddr(b)
	return first.Compare(second)
}

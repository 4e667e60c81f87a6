package console

var dashboardPages = []page{{method: "GET", pattern: "/{$}", handle: (*view).showDashboard}}

// summary is how the load balancers of a region are.
type summary struct {
	regionList
	byTone map[string]int
	unwell []row // those with something to explain
}

// tones are the kinds of status in the order in which the dashboard counts them.
var tones = []option{{"ok", "Online"}, {"warn", "Degraded"}, {"bad", "Error"}, {"busy", "Changing"}, {"off", "Offline"}}

func (v *view) showDashboard() error {
	l, err := v.listing()
	if err != nil {
		return err
	}
	all := make([]summary, len(l.regions))
	for i, region := range l.regions {
		s := summary{regionList: region, byTone: map[string]int{}}
		for _, r := range region.rows {
			s.byTone[r.tone()]++
			if isUnwell(r.object) {
				s.unwell = append(s.unwell, r)
			}
		}
		all[i] = s
	}
	return v.render(v.dashboardPage(all))
}

// tone is how a load balancer is as a whole.
func (b *balancer) tone() string {
	if provisioning := toneOf(b.Provisioning); provisioning == "busy" || provisioning == "bad" {
		return provisioning
	}
	return toneOf(b.Operating)
}

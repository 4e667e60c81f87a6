package console

import (
	"github.com/a-h/templ"
)

// component is anything that renders itself.
type component = templ.Component

var createPages = []page{
	{method: "GET", pattern: "/create", handle: (*view).showCreate},
	{method: "GET", pattern: "/load-balancers/new", handle: (*view).createBalancer},
	{method: "POST", pattern: "/load-balancers/new", handle: (*view).createBalancer},
}

// creatable is a box of the Create pane.
type creatable struct{ title, text, address, icon string }

var creatables = []creatable{
	{"Load Balancer", "Spreads connections over servers.", balancersPath + "/new", "balancer"},
	{"Floating IP", "An address that is reached from outside.", Base + "/floating-ips/new", "address"},
	{"Certificate", "With its key, for listeners with TLS.", certificatesPath + "/new", "certificate"},
}

func (v *view) showCreate() error { return v.render(v.createPane()) }

// The ways to connect a new load balancer, and the attribute of each.
var connections = []option{{"network", "Network"}, {"subnet", "Subnet"}, {"port", "Port"}}

// balancerChoices are the lines of the dropdowns for a new load balancer.
type balancerChoices struct{ regions, networks, subnets, ports, flavors []option }

func (v *view) createBalancer() error {
	f := v.form()
	f.preset(map[string]string{"region": v.person.Region, "connect": "network"})
	if v.isPost() && f.value("name") == "" {
		f.refuse("name", "A load balancer needs a name, so that you find it again.")
	}
	c, err := v.open(f.value("region"))
	if err != nil {
		return err
	}
	if v.isPost() {
		o := order{kind: balancerKind, in: newBalancer(f)}
		if v.isCopy() {
			return v.renderCopy(o)
		}
		var made map[string]balancer
		ok, err := f.send(func() error { return c.carryOut(v.r.Context(), o, &made) })
		if err != nil {
			return err
		}
		created := made["loadbalancer"]
		if ok && f.value("another") == "" {
			return v.done("Load balancer "+created.label()+" is being created.", c.region, created.ID)
		}
		if ok {
			v.settle(c.region, created.ID)
			f = v.another(f, "Load balancer "+created.label()+" is being created.", "region", "connect", "vip_subnet_id", "vip_network_id")
		}
	}
	choices, err := v.balancerChoices(c)
	if err != nil {
		return err
	}
	return v.renderForm(f, v.createBalancerPane(f, choices))
}

// another is the form for the next object: what was kept of the last one, and that it went well.
func (v *view) another(last *form, notice string, keep ...string) *form {
	f := &form{values: map[string][]string{}, errors: map[string]string{}, notice: notice}
	for _, name := range keep {
		f.values.Set(name, last.value(name))
	}
	return f
}

// newBalancer is the body for a new load balancer: of the three ways to connect it, the chosen one.
func newBalancer(f *form) body {
	in := body{}
	f.text(in, "name")
	f.text(in, "description")
	attribute := "vip_" + f.value("connect") + "_id"
	f.choice(in, attribute)
	if f.value(attribute) == "" {
		f.refuse(attribute, "Choose where to connect the load balancer.")
	}
	if f.value("custom") != "" {
		f.choice(in, "vip_address")
	}
	f.choice(in, "flavor_id")
	return in
}

func (v *view) balancerChoices(c *cloud) (balancerChoices, error) {
	ctx := v.r.Context()
	networks, err := c.networks(ctx)
	if err != nil {
		return balancerChoices{}, err
	}
	subnets, err := c.subnets(ctx)
	if err != nil {
		return balancerChoices{}, err
	}
	ports, err := c.ports(ctx)
	if err != nil {
		return balancerChoices{}, err
	}
	flavors, err := c.flavors(ctx)
	if err != nil {
		return balancerChoices{}, err
	}
	return balancerChoices{
		flavors: flavorOptions(flavors), regions: same(v.person.Regions...),
		networks: networkOptions(networks, func(n network) bool { return len(n.Subnets) > 0 }),
		subnets:  subnetOptions(subnets), ports: freePortOptions(ports),
	}, nil
}

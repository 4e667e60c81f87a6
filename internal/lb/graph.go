package lb

// populate makes everything below a load balancer that is created in one call (octavia-resources.md §13): first the pools,
// wherever the request defines them, then the listeners.
func (t *LoadBalancer) populate(in LoadBalancerCreate) error {
	defined, err := definedPools(in)
	if err != nil {
		return err
	}
	ids := map[string]string{} // of pools by their names
	for _, p := range defined {
		ids[p.Name.Value] = p.ID
		if err := t.createPoolTree(p); err != nil {
			return err
		}
	}
	for _, l := range in.Listeners {
		if err := t.createListenerTree(l, ids); err != nil {
			return err
		}
	}
	return nil
}

// definedPools are the pools that the request defines, each once; names that refer to none are refused.
func definedPools(in LoadBalancerCreate) ([]PoolCreate, error) {
	var defined []PoolCreate
	names := map[string]bool{}
	all := in.mentionedPools()
	for _, p := range all {
		name := p.Name.Or("")
		switch {
		case name == "":
			return nil, ErrValidation("name", "Pools must be named when creating a fully populated loadbalancer.")
		case p.NameOnly:
		case names[name]:
			return nil, ErrValidation("name", "Pool names must be unique when creating a fully populated loadbalancer.")
		default:
			names[name] = true
			defined = append(defined, p)
		}
	}
	for _, p := range all {
		if !names[p.Name.Value] {
			return nil, ErrValidation("name", "Pool '%s' was referenced but no full definition was found.", p.Name.Value)
		}
	}
	for _, p := range defined {
		if missing := p.missing(); missing != "" {
			return nil, ErrValidation(missing, "Pool definition for '%s' missing required attribute: %s", p.Name.Value, missing)
		}
	}
	return defined, nil
}

// mentionedPools are all pools of the request: on its own level, and in its listeners and policies.
func (in LoadBalancerCreate) mentionedPools() []PoolCreate {
	all := append([]PoolCreate{}, in.Pools...)
	for _, l := range in.Listeners {
		if l.DefaultPool != nil {
			all = append(all, *l.DefaultPool)
		}
		for _, p := range l.Policies {
			if p.RedirectPool != nil {
				all = append(all, *p.RedirectPool)
			}
		}
	}
	return all
}

// missing is the attribute that a pool lacks to be one.
func (in PoolCreate) missing() string {
	switch {
	case in.Protocol == "":
		return "protocol"
	case in.Algorithm.Or("") == "":
		return "lb_algorithm"
	default:
		return ""
	}
}

func (t *LoadBalancer) createPoolTree(in PoolCreate) error {
	p, err := t.CreatePool(in)
	if err != nil {
		return err
	}
	if in.Monitor != nil {
		if _, err := t.CreateHealthMonitor(p.ID, *in.Monitor); err != nil {
			return err
		}
	}
	existing := p.byAddress()
	for _, m := range in.Members {
		if _, err := t.addMember(p, m, existing); err != nil {
			return err
		}
	}
	return nil
}

func (t *LoadBalancer) createListenerTree(in ListenerCreate, pools map[string]string) error {
	if in.DefaultPool != nil {
		in.DefaultPoolID = Some(pools[in.DefaultPool.Name.Value])
	}
	l, err := t.CreateListener(in)
	if err != nil {
		return err
	}
	for _, p := range in.Policies {
		if p.RedirectPool != nil {
			p.RedirectPoolID = Some(pools[p.RedirectPool.Name.Value])
		}
		policy, err := t.CreateL7Policy(l.ID, p)
		if err != nil {
			return err
		}
		for _, r := range p.Rules {
			if _, err := t.CreateL7Rule(policy.ID, r); err != nil {
				return err
			}
		}
	}
	return nil
}

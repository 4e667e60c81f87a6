package neutron

func balancerDevice(id string) string { return "lb-" + id }

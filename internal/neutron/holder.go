package neutron

import (
	"context"
	"net/netip"

	"poise/internal/rest"
)

// ownerServer is the device owner of a server's ports, as Nova writes it.
const ownerServer = "compute:nova"

// hold makes the port that of a load balancer or a server.
func (p *port) hold(device, owner string) {
	p.Holder, p.DeviceID, p.DeviceOwner, p.GroupsGiven = device, device, owner, false
}

// isTaken tells whether somebody has the port, or says so in its attributes.
func (p *port) isTaken() bool { return p.DeviceID != "" || p.Holder != "" || p.RouterID != "" }

func (c *change) hand(ctx context.Context, p *port, device, owner string) error {
	p.hold(device, owner)
	return c.save(ctx, p)
}

// release deletes the ports that were made for a holder and gives the others back.
func (s *Service) release(ctx context.Context, holder string) error {
	return s.change(ctx, admin, func(ctx context.Context, c *change) error {
		ports, err := selectPorts(ctx, c.tx, admin, where("p.holder = ?", holder))
		if err != nil {
			return err
		}
		for _, p := range ports {
			if err := c.releasePort(ctx, p); err != nil {
				return err
			}
		}
		c.devices = nil // the holder is going: nothing is to be plugged again
		return nil
	})
}

func (c *change) releasePort(ctx context.Context, p *port) error {
	if p.HolderMade {
		return c.deletePort(ctx, p)
	}
	if p.DeviceID == p.Holder {
		p.DeviceID, p.DeviceOwner = "", ""
	}
	p.Holder, p.GroupsGiven = "", false
	if err := c.setGroups(ctx, p, byBalancer, []string{}); err != nil {
		return err
	}
	return c.save(ctx, p)
}

// TakeServerPort gives a port that nobody has to a server, and returns the port's project.
func (s *Service) TakeServerPort(ctx context.Context, caller rest.Caller, serverID, portID string) (projectID string, err error) {
	err = s.change(ctx, caller, func(ctx context.Context, c *change) error {
		p, err := findPort(ctx, c.tx, caller, portID)
		if err != nil {
			return err
		}
		if _, err := c.lock(ctx, p.NetworkID); err != nil {
			return err
		}
		if p, err = findPort(ctx, c.tx, caller, portID); err != nil {
			return err
		}
		if p.isTaken() {
			return conflict("PortInUse", "Port %s is still in use.", portID)
		}
		projectID = p.ProjectID
		return c.hand(ctx, p, serverID, ownerServer)
	})
	return projectID, err
}

// MakeServerPort makes a port for a server, with the address given or, when it is the zero Addr, free ones.
func (s *Service) MakeServerPort(ctx context.Context, caller rest.Caller, serverID, projectID, networkID string, a netip.Addr) (portID string, err error) {
	err = s.change(ctx, caller, func(ctx context.Context, c *change) error {
		n, err := findNetwork(ctx, c.tx, caller, networkID)
		if err != nil {
			return err
		}
		p := newPort(projectID, networkID)
		p.PortSecurity = n.PortSecurity
		p.hold(serverID, ownerServer)
		p.HolderMade = true
		portID = p.ID
		var wanted []wantedIP
		if a.IsValid() {
			wanted = []wantedIP{{Address: a.String()}}
		}
		if err := c.addPort(ctx, p, wanted); err != nil {
			return err
		}
		return c.secure(ctx, p, nil)
	})
	return portID, err
}

// ReleaseServerPorts deletes the ports that were made for the server and gives the others back. It is fine when there
// are none.
func (s *Service) ReleaseServerPorts(ctx context.Context, serverID string) error {
	return s.release(ctx, serverID)
}

// NetworkName is the name of a network, under which a server shows its addresses.
func (s *Service) NetworkName(ctx context.Context, networkID string) (string, error) {
	n, err := findNetwork(ctx, s.db, admin, networkID)
	if err != nil {
		return "", err
	}
	return n.Name, nil
}

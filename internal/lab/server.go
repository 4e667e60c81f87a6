package lab

import (
	"context"
	"fmt"
	"strconv"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
)

// The metadata by which the compute service is told what a server of the lab does.
const (
	metadataPort    = "greet_port" // a TCP port
	metadataService = "service"    // serviceOn or serviceOff
	metadataProgram = "program"    // a [Program]; absent for [Builtin]

	serviceOn  = "on"
	serviceOff = "off"
)

// metadataOf are the metadata of a new server, whose service is on.
func metadataOf(program Program) map[string]string {
	metadata := map[string]string{metadataPort: strconv.Itoa(GreetPort), metadataService: serviceOn}
	if program != Builtin {
		metadata[metadataProgram] = string(program)
	}
	return metadata
}

func (l *Lab) setProgram(ctx context.Context, serverID string, program Program) error {
	if program == Builtin {
		return servers.DeleteMetadatum(ctx, l.compute, serverID, metadataProgram).ExtractErr()
	}
	return l.setMetadata(ctx, serverID, metadataProgram, string(program))
}

// StartService opens the greeter's port of a server.
func (l *Lab) StartService(ctx context.Context, name string) error {
	return l.setService(ctx, name, serviceOn)
}

// StopService closes the greeter's port of a server, which stays up.
func (l *Lab) StopService(ctx context.Context, name string) error {
	return l.setService(ctx, name, serviceOff)
}

func (l *Lab) setService(ctx context.Context, name, service string) error {
	server, err := l.findServer(ctx, name)
	if err != nil {
		return err
	}
	if err := l.setMetadata(ctx, server.ID, metadataService, service); err != nil {
		return fmt.Errorf("server %s: %w", name, err)
	}
	l.tell("server", name, "service "+service)
	return nil
}

func (l *Lab) setMetadata(ctx context.Context, serverID, key, value string) error {
	_, err := servers.UpdateMetadata(ctx, l.compute, serverID, servers.MetadataOpts{key: value}).Extract()
	return err
}

// Namespace is the name below /run/netns of the server's network; "" when that is the host's own.
func (l *Lab) Namespace(ctx context.Context, name string) (string, error) {
	server, err := l.findServer(ctx, name)
	if err != nil {
		return "", err
	}
	return server.InstanceName, nil
}

func (l *Lab) findServer(ctx context.Context, name string) (*servers.Server, error) {
	p, err := l.survey(ctx)
	if err != nil {
		return nil, err
	}
	if len(p.servers) == 0 {
		return nil, fmt.Errorf("server %s: %w", name, ErrMissing)
	}
	server := p.server(name)
	if server == nil {
		return nil, fmt.Errorf("the lab has no server %s", name)
	}
	return server, nil
}

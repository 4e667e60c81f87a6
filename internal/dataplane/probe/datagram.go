package probe

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
)

// maxUnreachableWait is for how long a check waits for the word that nobody listens. It comes within a round trip, or
// not at all, so that waiting for the whole of a long timeout would tell nothing more.
const maxUnreachableWait = time.Second

// checkUDPConnect fails when a datagram comes back as "port unreachable". Silence is good: few servers answer to what they
// do not understand. But it must not be that of a host that does not exist: the kernel then still asks who it is.
func checkUDPConnect(ctx context.Context, network dataplane.Net, _ *way, at netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, maxUnreachableWait)
	defer cancel()
	c, err := dial(ctx, network, unix.SOCK_DGRAM, at)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte{0}); err != nil {
		return err
	}
	if _, err := c.Read(make([]byte, 1)); errors.Is(err, unix.ECONNREFUSED) {
		return failure("port unreachable: nobody listens on " + at.String())
	}
	absent, err := unresolved(network, at.Addr())
	if err == nil && absent.IsValid() {
		return failure("nobody has the address " + absent.String())
	}
	return err
}

package probe

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
)

const (
	// unreachableWait is for how long a check waits for the word that nobody listens. It comes within a round trip, or not at
	// all, so that waiting for the whole of a long timeout would tell nothing more.
	unreachableWait = time.Second
	// routedWait is as much for a member behind a router. The router says that the host does not exist when it has asked for it
	// in vain: those of the linux fabric after 1.5 s (its sysctl.go), others after 3 s, which is not waited for.
	routedWait = 2 * time.Second
)

// checkUDPConnect fails when a datagram comes back as "port unreachable" or "host unreachable". Silence is good: few servers
// answer to what they do not understand. But it must not be that of a host that does not exist, or whose router does not: the
// kernel then still asks who it is.
func checkUDPConnect(ctx context.Context, network dataplane.Net, w *way, at netip.AddrPort) error {
	c, err := dial(ctx, network, unix.SOCK_DGRAM, at)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.hearUnreachable(); err != nil {
		return err
	}
	if _, err := c.Write([]byte{0}); err != nil {
		return err
	}
	began := time.Now()
	if err := c.listen(ctx, began.Add(unreachableWait)); err != nil {
		return err
	}
	hop, absent, err := neighbourOf(network, at.Addr())
	switch {
	case err != nil:
		return err
	case absent:
		return errAbsent(hop, at.Addr(), w.subject(at))
	case !hop.IsValid() || hop == at.Addr().Unmap():
		return nil
	}
	return c.listen(ctx, began.Add(routedWait))
}

// listen waits until then for an answer, or for what comes back instead; that nothing comes is no error.
func (c *connection) listen(ctx context.Context, until time.Time) error {
	if err := c.SetReadDeadline(until); err != nil {
		return err
	}
	if ctx.Err() != nil { // the deadline that its end has set is gone
		return nil
	}
	_, err := c.Read(make([]byte, 1))
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return failure("port unreachable: nobody listens on " + c.peer.String())
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH):
		return err
	}
	return nil
}

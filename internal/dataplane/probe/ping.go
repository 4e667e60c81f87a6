package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
)

// The types of ICMP messages (RFC 792 and RFC 4443).
const (
	icmpEchoReply    = 0
	icmpEchoRequest  = 8
	icmp6EchoRequest = 128
	icmp6EchoReply   = 129
)

const (
	echoHeader = 8 // type, code, checksum, identifier, sequence number
	echoToken  = 16
)

// errNoPings tells the operator what to do.
const errNoPings = unable("this process may not send pings: let it with sysctl net.ipv4.ping_group_range=\"0 2147483647\"")

// checkPing succeeds when an ICMP echo is answered.
func checkPing(ctx context.Context, network dataplane.Net, _ *way, at netip.AddrPort) error {
	c, err := dial(ctx, network, dataplane.EchoSocket, netip.AddrPortFrom(at.Addr(), 0))
	if errors.Is(err, unix.EACCES) {
		return errNoPings
	}
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.hearUnreachable(); err != nil {
		return err
	}
	request, reply := newEcho(at.Addr())
	if _, err := c.Write(request); err != nil {
		return err
	}
	buffer := make([]byte, len(request))
	for {
		n, err := c.Read(buffer)
		if err != nil {
			return err
		}
		if isReply(buffer[:n], reply) {
			return nil
		}
	}
}

// newEcho makes a request, and what its reply must be but for checksum and identifier, which the kernel fills in. Only
// who has seen the request knows its token.
func newEcho(to netip.Addr) (request, reply []byte) {
	request = make([]byte, echoHeader, echoHeader+echoToken)
	request = binary.NativeEndian.AppendUint64(request, rand.Uint64())
	request = binary.NativeEndian.AppendUint64(request, rand.Uint64())
	reply = bytes.Clone(request)
	request[0], reply[0] = icmpEchoRequest, icmpEchoReply
	if !to.Unmap().Is4() {
		request[0], reply[0] = icmp6EchoRequest, icmp6EchoReply
	}
	return request, reply
}

func isReply(got, want []byte) bool {
	return len(got) == len(want) && got[0] == want[0] && got[1] == want[1] && bytes.Equal(got[echoHeader:], want[echoHeader:])
}

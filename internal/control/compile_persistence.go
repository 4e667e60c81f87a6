package control

import (
	"math/bits"
	"net/netip"
	"time"

	"poise/internal/dataplane"
	"poise/internal/lb"
)

// defaultPersistence is how long a silent client of a UDP pool is remembered when nobody says (octavia-dataplane.md §4.1).
const defaultPersistence = 360 * time.Second

// compilePersistence compiles the session persistence that a pool has. Timeout and granularity are those of pools without
// connections.
func compilePersistence(p *lb.Pool) *dataplane.Persistence {
	persistence := &dataplane.Persistence{Type: dataplane.PersistenceType(p.Persistence.Type), Cookie: p.Persistence.CookieName}
	if p.Protocol != lb.UDP {
		return persistence
	}
	persistence.Timeout = defaultPersistence
	if seconds := p.Persistence.TimeoutSec; seconds != nil && *seconds > 0 {
		persistence.Timeout = time.Duration(*seconds) * time.Second
	}
	persistence.MaskBits = maskBits(p.Persistence.Granularity)
	return persistence
}

// maskBits are the leading ones of a mask, 0 when it is full or missing. A mask of nothing but zeros counts as one bit: the
// data plane's word for all clients being one is another.
func maskBits(mask netip.Addr) int {
	ones := 0
	for _, octet := range mask.AsSlice() {
		leading := bits.LeadingZeros8(^octet)
		ones += leading
		if leading < 8 {
			break
		}
	}
	if !mask.IsValid() || ones == mask.BitLen() {
		return 0
	}
	return max(1, ones)
}

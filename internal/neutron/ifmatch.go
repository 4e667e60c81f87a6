package neutron

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/uptrace/bun"
)

// heedIfMatch refuses the change when its request is constrained to another revision of the object than there is
// (Neutron's extension revision-if-match: "If-Match: revision_number=3"). The object is locked first, so that the revision
// is still the same when the change is written.
func (c *change) heedIfMatch(ctx context.Context, k kind, id string, header http.Header) error {
	wanted, constrained, err := wantedRevision(header)
	if err != nil || !constrained {
		return err
	}
	if err := c.lockObject(ctx, k, id); err != nil {
		return err
	}
	found, err := k.list(ctx, c.tx, c.caller, byID(id))
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return errMissing[k.name](id)
	}
	if is := found[0]["revision_number"]; is != wanted {
		return &refusal{
			http.StatusPreconditionFailed, "RevisionNumberConstraintFailed",
			fmt.Sprintf("Constrained to %d, but current revision is %d", wanted, is),
		}
	}
	return nil
}

// lockObject makes the transaction the only one that changes the object.
func (c *change) lockObject(ctx context.Context, k kind, id string) error {
	_, err := c.tx.NewRaw("UPDATE ? SET revision = revision WHERE id = ?", bun.Ident("neutron_"+tableOf[k.name]), id).Exec(ctx)
	if err != nil {
		return fmt.Errorf("lock of %s %s: %w", k.name, id, err)
	}
	return nil
}

// wantedRevision reads the header, which is a list of tags (RFC 9110 §13.1.1); those without a revision mean nothing here.
func wantedRevision(header http.Header) (revision int64, given bool, err error) {
	for _, line := range header.Values("If-Match") {
		for tag := range strings.SplitSeq(line, ",") {
			text, isRevision := strings.CutPrefix(strings.Trim(strings.TrimSpace(tag), `"`), "revision_number=")
			if !isRevision {
				continue
			}
			if given {
				return 0, false, badRequest("BadRequest", "Bad if-match request: Multiple revision_number etags are not supported.")
			}
			if revision, err = strconv.ParseInt(text, 10, 64); err != nil {
				return 0, false, badRequest("BadRequest",
					"Bad if-match request: Revision number etag must be in the format of revision_number=<int>.")
			}
			given = true
		}
	}
	return revision, given, nil
}

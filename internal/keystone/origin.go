package keystone

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"poise/internal/rest"
)

const (
	// originLifetime is for how long a source or a browser is known after a login with the right password.
	originLifetime = 30 * 24 * time.Hour
	// originRefresh is how old its last login may be without being written anew.
	originRefresh = 24 * time.Hour
	// maxOrigins is how many an account has at most; another one takes the place of that which was seen longest ago.
	maxOrigins = 64
	// BrowserHeader carries the token of a browser: the console sends what its cookie has, and keeps what it is answered.
	BrowserHeader = "Poise-Browser"
)

// originRow is where a user has signed in.
type originRow struct {
	bun.BaseModel `bun:"table:keystone_origin,alias:o"`

	UserID string `bun:",pk"`
	Origin string `bun:",pk"`
	SeenAt int64
}

// origin is where a login comes from.
type origin struct {
	source  string
	browser string // the token of the browser, "" for none
}

func (r *request) origin() origin {
	o := origin{source: rest.Source(r.Context())}
	if len(r.Header.Values(BrowserHeader)) > 0 {
		if o.browser = r.Header.Get(BrowserHeader); len(o.browser) != browserTokenLength {
			o.browser = randomText(tokenBytes)
		}
	}
	return o
}

// browserTokenLength is the length of 32 bytes in base64.
const browserTokenLength = 43

// names are under what an origin is kept, the surer one first.
func (o origin) names() (names []string) {
	if o.browser != "" {
		names = append(names, "browser "+tokenHash(o.browser))
	}
	if o.source != "" {
		names = append(names, "source "+o.source)
	}
	return names
}

// attempt is a login at an account from the origin.
func (s *Service) attempt(ctx context.Context, account, userID string, from origin) (attempt, error) {
	a := attempt{account: account, source: from.source}
	if userID == "" || len(from.names()) == 0 {
		return a, nil
	}
	var known []originRow
	err := s.db.NewSelect().Model(&known).Where("o.user_id = ? AND o.origin IN (?)", userID, bun.In(from.names())).
		Where("o.seen_at > ?", time.Now().Add(-originLifetime).UnixMicro()).Scan(ctx)
	if err != nil {
		return a, fmt.Errorf("origins of user %s: %w", userID, err)
	}
	for _, name := range from.names() {
		for _, row := range known {
			if row.Origin == name && a.known == "" {
				a.known = name
			}
		}
	}
	return a, nil
}

// remember keeps where a user has signed in. What cannot be kept costs no more than a limit that is stricter later.
func (s *Service) remember(ctx context.Context, userID string, from origin) {
	now := time.Now()
	for _, name := range from.names() {
		row := originRow{UserID: userID, Origin: name, SeenAt: now.UnixMicro()}
		fresh, err := s.db.NewSelect().Model((*originRow)(nil)).
			Where("user_id = ? AND origin = ? AND seen_at > ?", userID, name, now.Add(-originRefresh).UnixMicro()).Exists(ctx)
		if fresh {
			continue
		}
		if err == nil {
			err = s.db.Tx(ctx, func(ctx context.Context, tx bun.Tx) error { return row.store(ctx, tx) })
		}
		if s.unremembered.isNew(err) {
			s.log.WarnContext(ctx, "where users have signed in is not remembered", "err", err)
		}
	}
}

// reasons has each reason for a failure logged once until it succeeds again.
type reasons struct {
	mu    sync.Mutex // guards known
	known []string   // maxReasons at most
}

const maxReasons = 8

// isNew tells whether err is to be logged. Success, nil, ends the reasons before.
func (r *reasons) isNew(err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.known = nil
		return false
	}
	if len(r.known) >= maxReasons || slices.Contains(r.known, err.Error()) {
		return false
	}
	r.known = append(r.known, err.Error())
	return true
}

func (row *originRow) store(ctx context.Context, tx bun.Tx) error {
	_, err := tx.NewInsert().Model(row).On("CONFLICT (user_id, origin) DO UPDATE").Set("seen_at = EXCLUDED.seen_at").Exec(ctx)
	if err != nil {
		return err
	}
	kept := tx.NewSelect().Model((*originRow)(nil)).Column("origin").Where("user_id = ?", row.UserID).
		Order("seen_at DESC", "origin").Limit(maxOrigins)
	_, err = tx.NewDelete().Model((*originRow)(nil)).Where("user_id = ? AND origin NOT IN (?)", row.UserID, kept).Exec(ctx)
	return err
}

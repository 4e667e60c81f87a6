package keystone

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"poise/internal/database"
)

const (
	// maxUnsaved bounds the tokens that are not saved, maxUnsavedOfUser those of one user, whose
	// oldest gives way.
	maxUnsaved       = 4096
	maxUnsavedOfUser = 64
	// saveEvery is how often it is tried to save them.
	saveEvery = 5 * time.Second
)

// unsavedTokens are those of sign-ins while the database could be read, but not written to (a full
// disk). They are as good as others until the process ends, and are saved as soon as that is
// possible.
//
// What a change revokes must not live on here. So a successful change of users, roles or projects
// ends them all, and what was read before or during a change is not put in, nor saved: a change
// begins a new era, and so does its success.
type unsavedTokens struct {
	mu     sync.Mutex // guards what follows
	era    uint64
	tokens map[string]tokenRow // by hash
}

func (u *unsavedTokens) now() uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.era
}

// newEra begins a change.
func (u *unsavedTokens) newEra() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.era++
}

// clear ends all tokens, after a change.
func (u *unsavedTokens) clear() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.era++
	clear(u.tokens)
}

// put adds a token that was made in the era. It fails when there was a change since, or there is no
// place.
func (u *unsavedTokens) put(era uint64, row tokenRow) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	var own []tokenRow
	for hash, t := range u.tokens {
		switch {
		case t.ExpiresAt <= row.IssuedAt:
			delete(u.tokens, hash)
		case t.UserID == row.UserID:
			own = append(own, t)
		}
	}
	if len(own) >= maxUnsavedOfUser {
		oldest := slices.MinFunc(own, func(a, b tokenRow) int { return int(a.ExpiresAt - b.ExpiresAt) })
		delete(u.tokens, oldest.Hash)
	}
	if era != u.era || len(u.tokens) >= maxUnsaved {
		return false
	}
	u.tokens[row.Hash] = row
	return true
}

func (u *unsavedTokens) get(hash string) (row tokenRow, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	row, ok = u.tokens[hash]
	return row, ok
}

// remove removes a token, and tells whether it was there.
func (u *unsavedTokens) remove(hash string) (was bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, was = u.tokens[hash]
	delete(u.tokens, hash)
	return was
}

func (u *unsavedTokens) all() (rows []tokenRow, era uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, row := range u.tokens {
		rows = append(rows, row)
	}
	return rows, u.era
}

// save saves what is not saved, as far as the database takes it.
func (s *Service) save(ctx context.Context) {
	rows, era := s.unsaved.all()
	for _, row := range rows {
		err := s.db.Tx(ctx, func(ctx context.Context, tx bun.Tx) error {
			if err := lockUser(ctx, tx, row.UserID); err != nil {
				return err
			}
			if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
				return err
			}
			if s.unsaved.now() != era {
				return errUnauthorized // a change has begun; the next attempt sees what became of it
			}
			return nil
		})
		switch {
		case err == nil && !s.unsaved.remove(row.Hash): // signed out meanwhile
			err = s.db.Tx(ctx, func(ctx context.Context, tx bun.Tx) error { return revoke(ctx, tx, "hash", row.Hash) })
			if err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, "a token that was given back stays until it expires", "user", row.UserID, "err", err)
			}
		case err != nil:
			return
		}
	}
}

// runSaving saves tokens from time to time until ctx ends.
func (s *Service) runSaving(ctx context.Context) {
	ticker := time.NewTicker(saveEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.save(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// issueUnsaved makes a token that is not saved, after saving it has failed. The era is that of
// before the attempt.
func (s *Service) issueUnsaved(ctx context.Context, who identity, row tokenRow, era uint64, now time.Time) (*session, error) {
	if err := s.holds(ctx, s.db, who); err != nil {
		return nil, err
	}
	signedIn, err := s.readSession(ctx, s.db, unsavedToken(row), row.Hash, now)
	if err != nil {
		return nil, err
	}
	if !s.unsaved.put(era, row) {
		return nil, errBusy
	}
	return signedIn, nil
}

// unsavedToken is a table with the one token.
func unsavedToken(row tokenRow) any {
	return bun.SafeQuery(`(SELECT ? AS hash, ? AS user_id, ? AS project_id, ? AS domain_id, ? AS credential_id, ? AS methods, ? AS audit_ids,
		? AS issued_at, ? AS expires_at)`, row.Hash, row.UserID, row.ProjectID, row.DomainID, row.CredentialID, row.Methods, row.AuditIDs,
		row.IssuedAt, row.ExpiresAt)
}

// cannotSave tells whether err is of a database that can be read, but not written to.
func cannotSave(err error) bool { return err != nil && database.IsFull(err) }

package barbican

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"poise/internal/rest"

	"github.com/uptrace/bun"

	"poise/internal/database"
)

var metadataKey = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)

// checkMetadatum gives the key its stored form, which is in lower case.
func checkMetadatum(key, value string) (string, error) {
	if !metadataKey.MatchString(key) {
		return "", errBadField("key", "it has to be 1 to %d letters, digits, '_' or '-'", maxName)
	}
	if utf8.RuneCountInString(value) > maxName || !rest.IsText(value) {
		return "", errBadField("value", "it has to be text of at most %d characters", maxName)
	}
	return strings.ToLower(key), nil
}

func (s *Service) listMetadata(ctx context.Context, r *request) (answer, error) {
	e, _, err := s.readable(ctx, secrets, r.caller, r.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	var rows []metadataRow
	if err := s.db.NewSelect().Model(&rows).Where("m.secret_id = ?", e.ID).Scan(ctx); err != nil {
		return answer{}, fmt.Errorf("metadata of secret %s: %w", e.ID, err)
	}
	metadata := map[string]string{}
	for _, row := range rows {
		metadata[row.Key] = row.Value
	}
	return ok(object{"metadata": metadata})
}

// replaceMetadata puts the given metadata in the place of all that there was.
func (s *Service) replaceMetadata(ctx context.Context, r *request) (answer, error) {
	e, _, err := s.changeable(ctx, secrets, r.caller, r.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	var body struct {
		Metadata map[string]string `json:"metadata"`
	}
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	rows, err := metadataRows(e.ID, body.Metadata)
	if err != nil {
		return answer{}, err
	}
	err = s.db.Tx(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := secrets.touch(ctx, tx, e.ID); err != nil {
			return err
		}
		if _, err := tx.NewDelete().Model((*metadataRow)(nil)).Where("secret_id = ?", e.ID).Exec(ctx); err != nil || len(rows) == 0 {
			return err
		}
		_, err := tx.NewInsert().Model(&rows).Exec(ctx)
		return err
	})
	if err != nil {
		return answer{}, fmt.Errorf("metadata of secret %s: %w", e.ID, err)
	}
	return created("", object{"metadata_ref": s.href(secrets, e.ID) + "/metadata"})
}

// metadataRows are in order. Of keys that differ only in case, one stays.
func metadataRows(secretID string, given map[string]string) ([]metadataRow, error) {
	if given == nil {
		return nil, errBadField("metadata", "it is required")
	}
	if len(given) > maxMetadata {
		return nil, errQuota("metadata of a secret", maxMetadata)
	}
	kept := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		key, err := checkMetadatum(name, given[name])
		if err != nil {
			return nil, err
		}
		kept[key] = given[name]
	}
	var rows []metadataRow
	for _, key := range slices.Sorted(maps.Keys(kept)) {
		rows = append(rows, metadataRow{SecretID: secretID, Key: key, Value: kept[key]})
	}
	return rows, nil
}

// metadatumRequest is the body of a change of one.
type metadatumRequest struct {
	Key   *string `json:"key"`
	Value *string `json:"value"`
}

// metadatum reads one from the body.
func (r *request) metadatum(secretID string) (metadataRow, error) {
	var body metadatumRequest
	if err := r.decodeStrict(&body); err != nil {
		return metadataRow{}, err
	}
	if body.Key == nil || body.Value == nil {
		return metadataRow{}, errBad("Both 'key' and 'value' are required.")
	}
	key, err := checkMetadatum(*body.Key, *body.Value)
	return metadataRow{SecretID: secretID, Key: key, Value: *body.Value}, err
}

func (s *Service) createMetadatum(ctx context.Context, r *request) (answer, error) {
	e, _, err := s.changeable(ctx, secrets, r.caller, r.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	row, err := r.metadatum(e.ID)
	if err != nil {
		return answer{}, err
	}
	err = s.db.Tx(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := secrets.touch(ctx, tx, e.ID); err != nil {
			return err
		}
		count, err := tx.NewSelect().Model((*metadataRow)(nil)).Where("m.secret_id = ?", e.ID).Count(ctx)
		if err != nil {
			return err
		}
		if count >= maxMetadata {
			return errQuota("metadata of a secret", maxMetadata)
		}
		_, err = tx.NewInsert().Model(&row).Exec(ctx)
		return err
	})
	if database.IsDuplicate(err) {
		return answer{}, errConflict("The secret's metadata has this key already.")
	}
	if err != nil {
		return answer{}, fmt.Errorf("metadata of secret %s: %w", e.ID, err)
	}
	return created(s.href(secrets, e.ID)+"/metadata/"+row.Key, object{"key": row.Key, "value": row.Value})
}

func (s *Service) showMetadatum(ctx context.Context, r *request) (answer, error) {
	e, _, err := s.readable(ctx, secrets, r.caller, r.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	var rows []metadataRow
	err = s.db.NewSelect().Model(&rows).Where("m.secret_id = ? AND m.key = ?", e.ID, r.PathValue("key")).Scan(ctx)
	if err != nil {
		return answer{}, fmt.Errorf("metadata of secret %s: %w", e.ID, err)
	}
	if len(rows) == 0 {
		return answer{}, errMissing("Secret metadata")
	}
	return ok(object{"key": rows[0].Key, "value": rows[0].Value})
}

func (s *Service) updateMetadatum(ctx context.Context, r *request) (answer, error) {
	e, _, err := s.changeable(ctx, secrets, r.caller, r.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	row, err := r.metadatum(e.ID)
	if err != nil {
		return answer{}, err
	}
	if row.Key != r.PathValue("key") {
		return answer{}, errConflict("The key in the body is not the one in the address.")
	}
	query := s.db.NewUpdate().Model(&row).Column("value").Where("secret_id = ? AND key = ?", e.ID, row.Key)
	if err := mustChange(ctx, query, errMissing("Secret metadata")); err != nil {
		return answer{}, fmt.Errorf("metadata of secret %s: %w", e.ID, err)
	}
	return ok(object{"key": row.Key, "value": row.Value})
}

func (s *Service) deleteMetadatum(ctx context.Context, r *request) (answer, error) {
	e, _, err := s.changeable(ctx, secrets, r.caller, r.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	query := s.db.NewDelete().Model((*metadataRow)(nil)).Where("secret_id = ? AND key = ?", e.ID, r.PathValue("key"))
	if err := mustChange(ctx, query, errMissing("Secret metadata")); err != nil {
		return answer{}, fmt.Errorf("metadata of secret %s: %w", e.ID, err)
	}
	return noContent, nil
}

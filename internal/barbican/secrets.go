package barbican

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"poise/internal/rest"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

const (
	maxName      = 255 // characters, also of algorithm and mode
	maxBitLength = 32767
	// wireTime is Barbican's form of a time, in UTC.
	wireTime = "2006-01-02T15:04:05.000000"
)

const typeOpaque = "opaque"

var secretTypes = []string{"symmetric", "public", "private", "certificate", "passphrase", typeOpaque}

// secretRequest is the body of a create.
type secretRequest struct {
	Name            *string `json:"name"`
	Algorithm       *string `json:"algorithm"`
	BitLength       *int    `json:"bit_length"`
	Mode            *string `json:"mode"`
	Expiration      *string `json:"expiration"`
	SecretType      *string `json:"secret_type"`
	Payload         *string `json:"payload"`
	ContentType     *string `json:"payload_content_type"`
	ContentEncoding *string `json:"payload_content_encoding"`
	TransportKey    *string `json:"transport_key_id"`
}

// createSecret makes a secret, with its payload or (in the first of two steps) without.
func (s *Service) createSecret(ctx context.Context, r *request) (answer, error) {
	if !mayCreate(r.caller) {
		return answer{}, errForbidden("store secrets in this project")
	}
	var body secretRequest
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	row := secretRow{SecretType: typeOpaque, entity: newEntity(r)}
	payload, err := body.apply(&row)
	if err != nil {
		return answer{}, err
	}
	if payload != nil {
		if row.sealed, err = s.keys.seal(row.ID, row.ProjectID, payload); err != nil {
			return answer{}, err
		}
	}
	err = s.db.Tx(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := secrets.checkQuota(ctx, tx, row.ProjectID); err != nil {
			return err
		}
		_, err := tx.NewInsert().Model(&row).Exec(ctx)
		return err
	})
	if err != nil {
		return answer{}, fmt.Errorf("secret: %w", err)
	}
	href := s.href(secrets, row.ID)
	return created(href, object{"secret_ref": href})
}

// newEntity is the beginning of what the caller makes.
func newEntity(r *request) entity {
	at := now()
	return entity{ID: uuid.NewString(), ProjectID: r.caller.ProjectID, CreatorID: r.caller.UserID, CreatedAt: at, UpdatedAt: at}
}

func (k kind) checkQuota(ctx context.Context, tx bun.Tx, projectID string) error {
	count, err := tx.NewSelect().TableExpr("? AS e", k.table).Where("e.project_id = ?", projectID).Count(ctx)
	if err == nil && count >= maxPerProject {
		return errQuota(k.path+" in a project", maxPerProject)
	}
	return err
}

// apply puts what the request gives into the secret and returns the payload, nil if there is none.
func (b secretRequest) apply(row *secretRow) (payload []byte, err error) {
	if b.TransportKey != nil {
		return nil, errBadField("transport_key_id", "this key manager has no transport keys")
	}
	for _, text := range []struct {
		field         string
		given, stored *string
	}{{"name", b.Name, &row.Name}, {"algorithm", b.Algorithm, &row.Algorithm}, {"mode", b.Mode, &row.Mode}} {
		if err := setText(text.field, text.given, text.stored); err != nil {
			return nil, err
		}
	}
	if b.BitLength != nil {
		if row.BitLength = *b.BitLength; row.BitLength < 1 || row.BitLength > maxBitLength {
			return nil, errBadField("bit_length", "it is not between 1 and %d", maxBitLength)
		}
	}
	if b.SecretType != nil {
		if row.SecretType = *b.SecretType; !slices.Contains(secretTypes, row.SecretType) {
			return nil, errBadField("secret_type", "it is not one of %s", strings.Join(secretTypes, ", "))
		}
	}
	if row.ExpiresAt, err = parseExpiration(b.Expiration, time.Now()); err != nil {
		return nil, err
	}
	if b.Payload == nil {
		if b.ContentType != nil || b.ContentEncoding != nil {
			return nil, errBadField("payload", "it is required with a content type or encoding")
		}
		return nil, nil
	}
	payload, row.ContentType, err = payloadOfJSON(b.Payload, b.ContentType, b.ContentEncoding)
	return payload, err
}

// setText checks the text that a request gives, if it does, and stores it.
func setText(field string, given, stored *string) error {
	if given == nil {
		return nil
	}
	text := strings.TrimSpace(*given)
	if utf8.RuneCountInString(text) > maxName {
		return errBadField(field, "it is longer than %d characters", maxName)
	}
	if !rest.IsText(text) {
		return errBadField(field, "it is not valid text")
	}
	*stored = text
	return nil
}

// parseExpiration returns microseconds since 1970, 0 for never.
func parseExpiration(given *string, now time.Time) (int64, error) {
	if given == nil || strings.TrimSpace(*given) == "" {
		return 0, nil
	}
	at, err := parseTime(strings.TrimSpace(*given))
	if err != nil {
		return 0, errBadField("expiration", "it is not a time like 2030-12-31T23:59:59")
	}
	if !at.After(now) {
		return 0, errBadField("expiration", "it is in the past")
	}
	return at.UnixMicro(), nil
}

// parseTime reads ISO 8601 with or without fraction (which Go takes unasked), zone and time of day. UTC is assumed.
func parseTime(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05", "2006-01-02T15:04"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return time.Parse(time.DateOnly, text)
}

// showSecret answers with the attributes of a secret, or with its payload to a client that accepts no JSON (a form that
// Barbican has deprecated and old clients use).
func (s *Service) showSecret(ctx context.Context, r *request) (answer, error) {
	if accept := r.Header.Get("Accept"); accept != "" && !strings.Contains(accept, "application/json") && !strings.Contains(accept, "*/*") {
		return s.showPayload(ctx, r)
	}
	e, _, err := s.readable(ctx, secrets, r.caller, r.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	reply, err := s.secretByID(ctx, r, e.ID)
	if err != nil {
		return answer{}, err
	}
	return ok(reply)
}

// secretByID is the attributes of one secret.
func (s *Service) secretByID(ctx context.Context, r *request, id string) (object, error) {
	var row secretRow
	err := s.db.NewSelect().Model(&row).Column(withoutPayload...).Where("e.id = ?", id).Scan(ctx)
	if err := secrets.found(err, id); err != nil {
		return nil, err
	}
	consumers, err := s.consumersFor(ctx, secrets, []string{id})
	if err != nil {
		return nil, err
	}
	return s.secretJSON(r, row, consumers[id]), nil
}

func (s *Service) secretJSON(r *request, row secretRow, consumers []object) object {
	reply := s.entityJSON(secrets, row.entity)
	reply["secret_type"] = row.SecretType
	reply["algorithm"] = orNull(row.Algorithm)
	reply["bit_length"] = orNull(row.BitLength)
	reply["mode"] = orNull(row.Mode)
	reply["expiration"] = nil
	if row.ExpiresAt != 0 {
		reply["expiration"] = timeJSON(row.ExpiresAt)
	}
	if row.ContentType != "" {
		reply["content_types"] = object{"default": row.ContentType}
	}
	if r.version >= withConsumers {
		reply["consumers"] = consumers
	}
	return reply
}

// entityJSON is the attributes that secrets and containers have in common.
func (s *Service) entityJSON(k kind, e entity) object {
	return object{
		k.ref: s.href(k, e.ID), "name": orNull(e.Name), "status": "ACTIVE", "creator_id": orNull(e.CreatorID),
		"created": timeJSON(e.CreatedAt), "updated": timeJSON(e.UpdatedAt),
	}
}

func timeJSON(micro int64) string { return time.UnixMicro(micro).UTC().Format(wireTime) }

// orNull is JSON's null for what was not given.
func orNull[T comparable](value T) any {
	var nothing T
	if value == nothing {
		return nil
	}
	return value
}

// putPayload is the second of two steps, or replaces the payload that the secret has by another of the same content type, so
// that what uses the secret gets the new one. Barbican refuses to replace one.
func (s *Service) putPayload(ctx context.Context, r *request) (answer, error) {
	e, _, err := s.changeable(ctx, secrets, r.caller, r.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	payload, contentType, err := payloadOfBody(r.body, r.Header.Get("Content-Type"), r.Header.Get("Content-Encoding"))
	if err != nil {
		return answer{}, err
	}
	box, err := s.keys.seal(e.ID, e.ProjectID, payload)
	if err != nil {
		return answer{}, err
	}
	query := s.db.NewUpdate().Model((*secretRow)(nil)).
		Set("content_type = ?", contentType).Set("key_id = ?", box.KeyID).Set("updated_at = ?", now()).
		Set("wrapped_key = ?", box.WrappedKey).Set("sealed = ?", box.Sealed).
		Where("id = ? AND (content_type IS NULL OR content_type = ?)", e.ID, contentType)
	isAnother := errConflict("The payload of a secret can be replaced only by one of the same content type.")
	if err := mustChange(ctx, query, isAnother); err != nil {
		return answer{}, fmt.Errorf("payload of secret %s: %w", e.ID, err)
	}
	return noContent, s.changed(ctx, secrets, e.ID)
}

func (s *Service) showPayload(ctx context.Context, r *request) (answer, error) {
	payload, own, err := s.payload(ctx, r.caller, r.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	contentType, err := acceptedType(r.Header.Get("Accept"), own, payload)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, content: payload, contentType: contentType}, nil
}

// deleteSecret takes the secret out of the containers that have it, too.
func (s *Service) deleteSecret(ctx context.Context, r *request) (answer, error) {
	e, _, err := s.changeable(ctx, secrets, r.caller, r.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	if err := s.refuseInUse(ctx, r, e.ID); err != nil {
		return answer{}, err
	}
	return noContent, s.remove(ctx, secrets, e.ID)
}

// refuseInUse guards a secret that has consumers, for clients that know of them.
func (s *Service) refuseInUse(ctx context.Context, r *request, id string) error {
	if r.version < guardedConsumers {
		return nil
	}
	if asked := r.URL.Query().Get("force"); asked != "" {
		isForced, err := strconv.ParseBool(asked)
		if err != nil {
			return errBad("The query parameter 'force' has to be true or false.")
		}
		if isForced {
			return nil
		}
	}
	count, err := s.db.NewSelect().Model((*consumerRow)(nil)).Where("entity_id = ?", id).Count(ctx)
	if err != nil {
		return fmt.Errorf("consumers of secret %s: %w", id, err)
	}
	if count > 0 {
		return errBad("The secret has consumers; it is deleted only with force=true.")
	}
	return nil
}

func (s *Service) remove(ctx context.Context, k kind, id string) error {
	using, err := s.using(ctx, k, id)
	if err != nil {
		return err
	}
	err = s.db.Tx(ctx, func(ctx context.Context, tx bun.Tx) error { return k.remove(ctx, tx, id) })
	if err != nil {
		return fmt.Errorf("%s %s: %w", k.path, id, err)
	}
	s.onChange(using...)
	return nil
}

package barbican

import (
	"context"
	"fmt"
	"unicode/utf8"

	"poise/internal/rest"

	"github.com/uptrace/bun"
)

// maxConsumerName is the longest name of a container's consumer in characters; Barbican's own limit.
const maxConsumerName = 36

// consumerRequest is the body of a change: the first two for a container, the others for a secret.
type consumerRequest struct {
	Name string `json:"name"`
	URL  string `json:"URL"`

	Service      string `json:"service"`
	ResourceType string `json:"resource_type"`
	ResourceID   string `json:"resource_id"`
}

// consumer reads one from the body.
func (r *request) consumer(k kind, id string) (consumerRow, error) {
	var body consumerRequest
	if err := r.decode(&body); err != nil {
		return consumerRow{}, err
	}
	row := consumerRow{EntityID: id, ProjectID: r.caller.ProjectID, CreatedAt: now()}
	type text struct {
		field, given string
		longest      int
		stored       *string
	}
	texts := []text{
		{"service", body.Service, maxName, &row.Service},
		{"resource_type", body.ResourceType, maxName, &row.ResourceType},
		{"resource_id", body.ResourceID, maxName, &row.ResourceID},
	}
	if k == containers {
		texts = []text{{"name", body.Name, maxConsumerName, &row.Service}, {"URL", body.URL, maxName, &row.ResourceID}}
	}
	for _, text := range texts {
		if length := utf8.RuneCountInString(text.given); length == 0 || length > text.longest || !rest.IsText(text.given) {
			return consumerRow{}, errBadField(text.field, "it has to be text of 1 to %d characters", text.longest)
		}
		*text.stored = text.given
	}
	return row, nil
}

// same keeps of a query the consumer that is the same as this one, whoever registered it.
func (c consumerRow) same() (condition string, values []any) {
	return "entity_id = ? AND service = ? AND resource_type = ? AND resource_id = ?",
		[]any{c.EntityID, c.Service, c.ResourceType, c.ResourceID}
}

func consumerJSON(k kind, c consumerRow) object {
	if k == containers {
		return object{"name": c.Service, "URL": c.ResourceID}
	}
	return object{"service": c.Service, "resource_type": c.ResourceType, "resource_id": c.ResourceID}
}

// consumersFor reads the consumers of some entities, by the id of the entity.
func (s *Service) consumersFor(ctx context.Context, k kind, ids []string) (map[string][]object, error) {
	byID := map[string][]object{}
	for _, id := range ids {
		byID[id] = []object{} // in JSON an empty list
	}
	if len(ids) == 0 {
		return byID, nil
	}
	var rows []consumerRow
	err := s.db.NewSelect().Model(&rows).Where("c.entity_id IN (?)", bun.List(ids)).Order("service", "resource_type", "resource_id").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("consumers of %s: %w", k.path, err)
	}
	for _, row := range rows {
		byID[row.EntityID] = append(byID[row.EntityID], consumerJSON(k, row))
	}
	return byID, nil
}

func (s *Service) listConsumers(k kind) handler {
	return func(ctx context.Context, r *request) (answer, error) {
		e, _, err := s.readable(ctx, k, r.caller, r.PathValue("id"))
		if err != nil {
			return answer{}, err
		}
		var rows []consumerRow
		p := askedPage(r.URL.Query())
		total, err := s.db.NewSelect().Model(&rows).Where("c.entity_id = ?", e.ID).
			Order("service", "resource_type", "resource_id").Limit(p.limit).Offset(p.offset).ScanAndCount(ctx)
		if err != nil {
			return answer{}, fmt.Errorf("consumers of %s %s: %w", k.path, e.ID, err)
		}
		items := make([]object, len(rows))
		for i, row := range rows {
			items[i] = consumerJSON(k, row)
			items[i]["status"], items[i]["created"], items[i]["updated"] = "ACTIVE", timeJSON(row.CreatedAt), timeJSON(row.CreatedAt)
		}
		return ok(s.pageJSON(r, p, "consumers", items, total))
	}
}

// addConsumer notes a consumer; one who may read the entity may use it. Doing it twice changes nothing.
func (s *Service) addConsumer(k kind) handler {
	return func(ctx context.Context, r *request) (answer, error) {
		e, _, err := s.readable(ctx, k, r.caller, r.PathValue("id"))
		if err != nil {
			return answer{}, err
		}
		row, err := r.consumer(k, e.ID)
		if err != nil {
			return answer{}, err
		}
		err = s.db.Tx(ctx, func(ctx context.Context, tx bun.Tx) error {
			if err := k.touch(ctx, tx, e.ID); err != nil {
				return err
			}
			count, err := tx.NewSelect().Model((*consumerRow)(nil)).Where("entity_id = ?", e.ID).Count(ctx)
			if err != nil {
				return err
			}
			if count >= maxConsumers {
				return errQuota("consumers", maxConsumers)
			}
			_, err = tx.NewInsert().Model(&row).On("CONFLICT DO NOTHING").Exec(ctx)
			return err
		})
		if err != nil {
			return answer{}, fmt.Errorf("consumer of %s %s: %w", k.path, e.ID, err)
		}
		return s.entityAnswer(ctx, k, r, e.ID)
	}
}

// removeConsumer lets the project that registered a consumer, or the one that owns the entity, take it off.
func (s *Service) removeConsumer(k kind) handler {
	return func(ctx context.Context, r *request) (answer, error) {
		e, _, err := s.readable(ctx, k, r.caller, r.PathValue("id"))
		if err != nil {
			return answer{}, err
		}
		row, err := r.consumer(k, e.ID)
		if err != nil {
			return answer{}, err
		}
		condition, values := row.same()
		var found []consumerRow
		if err := s.db.NewSelect().Model(&found).Where(condition, values...).Scan(ctx); err != nil {
			return answer{}, fmt.Errorf("consumer of %s %s: %w", k.path, e.ID, err)
		}
		if len(found) == 0 {
			return answer{}, errMissing("Consumer")
		}
		if r.caller.ProjectID != e.ProjectID && r.caller.ProjectID != found[0].ProjectID {
			return answer{}, errForbidden("remove a consumer of another project")
		}
		query := s.db.NewDelete().Model((*consumerRow)(nil)).Where(condition, values...)
		if err := mustChange(ctx, query, errMissing("Consumer")); err != nil {
			return answer{}, fmt.Errorf("consumer of %s %s: %w", k.path, e.ID, err)
		}
		return s.entityAnswer(ctx, k, r, e.ID)
	}
}

// entityAnswer is the entity as a show has it.
func (s *Service) entityAnswer(ctx context.Context, k kind, r *request, id string) (answer, error) {
	show := s.secretByID
	if k == containers {
		show = s.containerByID
	}
	reply, err := show(ctx, r, id)
	if err != nil {
		return answer{}, err
	}
	return ok(reply)
}

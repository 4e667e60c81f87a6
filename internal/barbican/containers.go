package barbican

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"poise/internal/database"
	"poise/internal/rest"
)

// The types of containers.
const (
	typeGeneric     = "generic"
	typeRSA         = "rsa"
	typeCertificate = "certificate"
)

// parts are the names of the secrets in a container of a fixed form. The first ones are required.
type parts struct {
	names    []string
	required int
}

var containerTypes = map[string]parts{
	typeGeneric:     {},
	typeRSA:         {[]string{"public_key", "private_key", "private_key_passphrase"}, 2},
	typeCertificate: {[]string{"certificate", "private_key", "private_key_passphrase", "intermediates"}, 1},
}

type secretRef struct {
	Name *string `json:"name"`
	Ref  string  `json:"secret_ref"`
}

// containerRequest is the body of a create.
type containerRequest struct {
	Name       *string     `json:"name"`
	Type       string      `json:"type"`
	SecretRefs []secretRef `json:"secret_refs"`
}

func (s *Service) createContainer(ctx context.Context, r *request) (answer, error) {
	if !mayCreate(r.caller) {
		return answer{}, errForbidden("make containers in this project")
	}
	var body containerRequest
	if err := r.decode(&body); err != nil {
		return answer{}, err
	}
	row := containerRow{entity: newEntity(r), Type: body.Type}
	members, err := body.apply(&row)
	if err != nil {
		return answer{}, err
	}
	err = s.db.Tx(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := containers.checkQuota(ctx, tx, row.ProjectID); err != nil {
			return err
		}
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			return err
		}
		return addMembers(ctx, tx, row.ProjectID, members)
	})
	if err != nil {
		return answer{}, fmt.Errorf("container: %w", err)
	}
	href := s.href(containers, row.ID)
	return created(href, object{"container_ref": href})
}

// apply puts what the request gives into the container and returns what is in it.
func (b containerRequest) apply(row *containerRow) ([]containerSecretRow, error) {
	form, known := containerTypes[b.Type]
	if !known {
		return nil, errBadField("type", "it is not one of generic, rsa, certificate")
	}
	if err := setText("name", b.Name, &row.Name); err != nil {
		return nil, err
	}
	if len(b.SecretRefs) > maxContainerSecrets {
		return nil, errQuota("secrets in a container", maxContainerSecrets)
	}
	var members []containerSecretRow
	names, ids := map[string]bool{}, map[string]bool{}
	for _, ref := range b.SecretRefs {
		member, err := ref.member(row.ID)
		if err != nil {
			return nil, err
		}
		if names[member.Name] || ids[member.SecretID] {
			return nil, errBadField("secret_refs", "a name or a secret stands there twice")
		}
		names[member.Name], ids[member.SecretID] = true, true
		members = append(members, member)
	}
	return members, form.check(b.Type, names)
}

// check holds the names of a container against its form. An empty one is taken as well, as in Barbican.
func (p parts) check(containerType string, names map[string]bool) error {
	if len(p.names) == 0 || len(names) == 0 {
		return nil
	}
	for name := range names {
		if !slices.Contains(p.names, name) {
			return errBadField("secret_refs", "a container of type %s has only %s", containerType, strings.Join(p.names, ", "))
		}
	}
	for _, name := range p.names[:p.required] {
		if !names[name] {
			return errBadField("secret_refs", "a container of type %s needs %s", containerType, strings.Join(p.names[:p.required], " and "))
		}
	}
	return nil
}

func (ref secretRef) member(containerID string) (containerSecretRow, error) {
	row := containerSecretRow{ContainerID: containerID}
	if err := setText("secret_refs.name", ref.Name, &row.Name); err != nil {
		return row, err
	}
	var isOne bool
	if row.SecretID, isOne = secrets.idOf(ref.Ref); !isOne {
		return row, errBadField("secret_refs.secret_ref", "it is not the address of a secret")
	}
	return row, nil
}

// addMembers puts secrets into a container. They have to be of its project.
func addMembers(ctx context.Context, tx bun.Tx, projectID string, members []containerSecretRow) error {
	for _, member := range members {
		e, err := secrets.find(ctx, tx, member.SecretID)
		if err != nil && !isNotFound(err) {
			return err
		}
		if err != nil || e.ProjectID != projectID {
			return errMissing(strings.TrimSpace("The secret " + member.Name))
		}
		if _, err := tx.NewInsert().Model(&member).Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) listContainers(ctx context.Context, r *request) (answer, error) {
	if !mayList(r.caller) {
		return answer{}, errForbidden("list containers of this project")
	}
	var rows []containerRow
	asked := r.URL.Query()
	query := s.db.NewSelect().Model(&rows).Where("e.project_id = ?", r.caller.ProjectID).OrderExpr("e.created_at, e.id")
	hideUnreadable(query, r.caller)
	for _, column := range []string{"name", "type"} {
		if value := asked.Get(column); value != "" {
			query.Where("e.? = ?", bun.Ident(column), value)
		}
	}
	p := askedPage(asked)
	total, err := query.Limit(p.limit).Offset(p.offset).ScanAndCount(ctx)
	if err != nil {
		return answer{}, fmt.Errorf("containers: %w", err)
	}
	items, err := s.containersJSON(ctx, rows)
	if err != nil {
		return answer{}, err
	}
	return ok(s.pageJSON(r, p, "containers", items, total))
}

func (s *Service) showContainer(ctx context.Context, r *request) (answer, error) {
	e, _, err := s.readable(ctx, containers, r.caller, r.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	return s.entityAnswer(ctx, containers, r, e.ID)
}

// containerByID is the attributes of one container.
func (s *Service) containerByID(ctx context.Context, _ *request, id string) (object, error) {
	row, err := s.containerRow(ctx, id)
	if err != nil {
		return nil, err
	}
	items, err := s.containersJSON(ctx, []containerRow{row})
	if err != nil {
		return nil, err
	}
	return items[0], nil
}

// readContainer reads a container for a caller who may.
func (s *Service) readContainer(ctx context.Context, caller rest.Caller, id string) (containerRow, error) {
	if _, _, err := s.readable(ctx, containers, caller, id); err != nil {
		return containerRow{}, err
	}
	return s.containerRow(ctx, id)
}

func (s *Service) containerRow(ctx context.Context, id string) (containerRow, error) {
	var row containerRow
	err := s.db.NewSelect().Model(&row).Where("e.id = ?", id).Scan(ctx)
	return row, containers.found(err, id)
}

// containersJSON is the attributes of some containers.
func (s *Service) containersJSON(ctx context.Context, rows []containerRow) ([]object, error) {
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	members, err := s.secretsOf(ctx, ids)
	if err != nil {
		return nil, err
	}
	consumers, err := s.consumersFor(ctx, containers, ids)
	if err != nil {
		return nil, err
	}
	items := make([]object, len(rows))
	for i, row := range rows {
		refs := []object{}
		for _, member := range members[row.ID] {
			refs = append(refs, object{"name": orNull(member.Name), "secret_ref": s.href(secrets, member.SecretID)})
		}
		items[i] = s.entityJSON(containers, row.entity)
		items[i]["type"], items[i]["secret_refs"], items[i]["consumers"] = row.Type, refs, consumers[row.ID]
	}
	return items, nil
}

// secretsOf reads what is in some containers, by the id of the container.
func (s *Service) secretsOf(ctx context.Context, ids []string) (map[string][]containerSecretRow, error) {
	byID := map[string][]containerSecretRow{}
	if len(ids) == 0 {
		return byID, nil
	}
	var rows []containerSecretRow
	err := s.db.NewSelect().Model(&rows).Where("cs.container_id IN (?)", bun.List(ids)).Order("name", "secret_id").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("secrets of containers: %w", err)
	}
	for _, row := range rows {
		byID[row.ContainerID] = append(byID[row.ContainerID], row)
	}
	return byID, nil
}

// deleteContainer leaves the secrets that were in it.
func (s *Service) deleteContainer(ctx context.Context, r *request) (answer, error) {
	e, _, err := s.changeable(ctx, containers, r.caller, r.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	return noContent, s.remove(ctx, containers, e.ID)
}

// changeContainer finds the generic container of the path and the secret of the body.
func (s *Service) changeContainer(ctx context.Context, r *request) (containerRow, containerSecretRow, error) {
	e, _, err := s.changeable(ctx, containers, r.caller, r.PathValue("id"))
	if err != nil {
		return containerRow{}, containerSecretRow{}, err
	}
	row, err := s.containerRow(ctx, e.ID)
	if err != nil {
		return row, containerSecretRow{}, err
	}
	if row.Type != typeGeneric {
		return row, containerSecretRow{}, errBad("Only a container of type generic can be changed.")
	}
	var body secretRef
	if err := r.decode(&body); err != nil {
		return row, containerSecretRow{}, err
	}
	member, err := body.member(row.ID)
	return row, member, err
}

func (s *Service) addContainerSecret(ctx context.Context, r *request) (answer, error) {
	row, member, err := s.changeContainer(ctx, r)
	if err != nil {
		return answer{}, err
	}
	err = s.db.Tx(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := containers.touch(ctx, tx, row.ID); err != nil {
			return err
		}
		count, err := tx.NewSelect().Model((*containerSecretRow)(nil)).Where("cs.container_id = ?", row.ID).Count(ctx)
		if err != nil {
			return err
		}
		if count >= maxContainerSecrets {
			return errQuota("secrets in a container", maxContainerSecrets)
		}
		return addMembers(ctx, tx, row.ProjectID, []containerSecretRow{member})
	})
	if database.IsDuplicate(err) {
		return answer{}, errConflict("The container has this secret under this name already.")
	}
	if err != nil {
		return answer{}, fmt.Errorf("container %s: %w", row.ID, err)
	}
	href := s.href(containers, row.ID)
	return created(href, object{"container_ref": href})
}

func (s *Service) removeContainerSecret(ctx context.Context, r *request) (answer, error) {
	row, member, err := s.changeContainer(ctx, r)
	if err != nil {
		return answer{}, err
	}
	err = s.db.Tx(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := containers.touch(ctx, tx, row.ID); err != nil {
			return err
		}
		query := tx.NewDelete().Model((*containerSecretRow)(nil)).
			Where("container_id = ? AND secret_id = ? AND name = ?", row.ID, member.SecretID, member.Name)
		return mustChange(ctx, query, errMissing("Secret in this container"))
	})
	if err != nil {
		return answer{}, fmt.Errorf("container %s: %w", row.ID, err)
	}
	return noContent, nil
}

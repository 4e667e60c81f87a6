package barbican

import (
	"context"
	"fmt"
	"slices"

	"github.com/uptrace/bun"
)

// aclRequest is the body of a change. Barbican knows of reading only; so do we.
type aclRequest struct {
	Read *struct {
		ProjectAccess *bool     `json:"project-access"`
		Users         *[]string `json:"users"`
	} `json:"read"`
}

func (s *Service) showACL(k kind) handler {
	return func(ctx context.Context, r *request) (answer, error) {
		_, list, err := s.changeable(ctx, k, r.caller, r.PathValue("id"))
		if err != nil {
			return answer{}, err
		}
		read := object{"project-access": list.projectAccess}
		if list.createdAt != 0 {
			read["created"], read["updated"] = timeJSON(list.createdAt), timeJSON(list.updatedAt)
			read["users"] = append([]string{}, list.users...)
		}
		return ok(object{"read": read})
	}
}

// replaceACL starts from the default: what the request does not give is as without an access list.
func (s *Service) replaceACL(k kind) handler {
	return func(ctx context.Context, r *request) (answer, error) {
		id, _, body, err := s.aclChange(ctx, k, r)
		switch {
		case err != nil:
			return answer{}, err
		case body.Read == nil:
			return s.aclAnswer(k, id, s.storeACL(ctx, k, id, nil))
		default:
			return s.setACL(ctx, k, id, acl{projectAccess: true}, body)
		}
	}
}

// updateACL starts from what there is.
func (s *Service) updateACL(k kind) handler {
	return func(ctx context.Context, r *request) (answer, error) {
		id, list, body, err := s.aclChange(ctx, k, r)
		switch {
		case err != nil:
			return answer{}, err
		case body.Read == nil:
			return s.aclAnswer(k, id, nil)
		default:
			return s.setACL(ctx, k, id, list, body)
		}
	}
}

// aclChange is the entity whose access list is to be changed, its list so far, and what the request says.
func (s *Service) aclChange(ctx context.Context, k kind, r *request) (id string, list acl, body aclRequest, err error) {
	e, list, err := s.changeable(ctx, k, r.caller, r.PathValue("id"))
	if err != nil {
		return "", acl{}, aclRequest{}, err
	}
	err = r.decodeStrict(&body)
	return e.ID, list, body, err
}

func (s *Service) deleteACL(k kind) handler {
	return func(ctx context.Context, r *request) (answer, error) {
		e, _, err := s.changeable(ctx, k, r.caller, r.PathValue("id"))
		if err != nil {
			return answer{}, err
		}
		if err := s.storeACL(ctx, k, e.ID, nil); err != nil {
			return answer{}, err
		}
		return ok(nil) // Barbican says 200, and clients wait for that
	}
}

// setACL puts what the request gives into the list and stores it.
func (s *Service) setACL(ctx context.Context, k kind, id string, list acl, body aclRequest) (answer, error) {
	if body.Read.ProjectAccess != nil {
		list.projectAccess = *body.Read.ProjectAccess
	}
	if body.Read.Users != nil {
		list.users = *body.Read.Users
	}
	if len(list.users) > maxReaders {
		return answer{}, errQuota("users in an access list", maxReaders)
	}
	for i := range list.users {
		if err := setText("users", &list.users[i], &list.users[i]); err != nil {
			return answer{}, err
		}
		if list.users[i] == "" {
			return answer{}, errBadField("users", "an id is empty")
		}
	}
	return s.aclAnswer(k, id, s.storeACL(ctx, k, id, &list))
}

func (s *Service) aclAnswer(k kind, id string, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	return ok(object{"acl_ref": s.href(k, id) + "/acl"})
}

// storeACL makes the list the access list of the entity; with nil it has none.
func (s *Service) storeACL(ctx context.Context, k kind, id string, list *acl) error {
	err := s.db.Tx(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := k.touch(ctx, tx, id); err != nil {
			return err
		}
		if _, err := tx.NewDelete().Model((*aclRow)(nil)).Where("entity_id = ?", id).Exec(ctx); err != nil || list == nil {
			return err
		}
		row := aclRow{EntityID: id, ProjectAccess: list.projectAccess, CreatedAt: list.createdAt, UpdatedAt: now()}
		if row.CreatedAt == 0 {
			row.CreatedAt = row.UpdatedAt
		}
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil || len(list.users) == 0 {
			return err
		}
		_, err := tx.NewInsert().Model(readersOf(id, list.users)).Exec(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("access list of %s %s: %w", k.path, id, err)
	}
	return s.changed(ctx, k, id)
}

func readersOf(id string, users []string) *[]aclUserRow {
	rows := []aclUserRow{}
	for _, user := range slices.Compact(slices.Sorted(slices.Values(users))) {
		rows = append(rows, aclUserRow{EntityID: id, UserID: user})
	}
	return &rows
}

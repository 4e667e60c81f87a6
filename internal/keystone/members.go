package keystone

import (
	"context"
	"fmt"
)

// UsersOf are the ids of the users who have a role in the project.
func (s *Service) UsersOf(ctx context.Context, projectID string) (ids []string, err error) {
	err = s.db.NewSelect().Model((*assignmentRow)(nil)).Distinct().Column("user_id").
		Where("a.project_id = ?", projectID).Order("user_id").Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("users of project %s: %w", projectID, err)
	}
	return ids, nil
}

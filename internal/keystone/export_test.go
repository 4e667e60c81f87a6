package keystone

import "context"

// SaveNow saves tokens at once instead of from time to time.
func (s *Service) SaveNow(ctx context.Context) { s.save(ctx) }

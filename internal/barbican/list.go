package barbican

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"

	"github.com/uptrace/bun"
)

// The page of a list; Barbican's own numbers.
const (
	defaultLimit = 10
	maxLimit     = 100
)

// page is the part of a list that is asked for.
type page struct{ limit, offset int64 }

// askedPage is lenient, as Barbican is: what makes no sense is as if not asked.
func askedPage(asked url.Values) page {
	p := page{limit: defaultLimit}
	if limit, err := strconv.ParseInt(asked.Get("limit"), 10, 64); err == nil {
		p.limit = min(max(limit, 1), maxLimit)
	}
	if offset, err := strconv.ParseInt(asked.Get("offset"), 10, 64); err == nil {
		p.offset = min(max(offset, 0), math.MaxInt32)
	}
	return p
}

// pageJSON is the answer to a list request: one page, how many there are, and where the pages beside it are.
func (s *Service) pageJSON(r *request, p page, name string, items []object, total int64) object {
	reply := object{name: items, "total": total}
	link := func(offset int64) string {
		filters := r.URL.Query()
		filters.Del("limit")
		filters.Del("offset")
		address := fmt.Sprintf("%s%s?limit=%d&offset=%d", s.publicURL, r.URL.Path, p.limit, offset)
		if len(filters) > 0 {
			address += "&" + filters.Encode()
		}
		return address
	}
	if len(items) > 0 && p.offset > 0 {
		reply["previous"] = link(max(0, p.offset-p.limit))
	}
	if len(items) > 0 && total > p.offset+p.limit {
		reply["next"] = link(p.offset + p.limit)
	}
	return reply
}

func (s *Service) listSecrets(ctx context.Context, r *request) (answer, error) {
	if !mayList(r.caller) {
		return answer{}, errForbidden("list secrets of this project")
	}
	var rows []secretRow
	query := s.db.NewSelect().Model(&rows).Column(withoutPayload...)
	asked := r.URL.Query()
	if strings.EqualFold(asked.Get("acl_only"), "true") {
		query.Where("EXISTS (SELECT 1 FROM barbican_acl_user AS au WHERE au.entity_id = e.id AND au.user_id = ?)", r.caller.UserID)
	} else {
		query.Where("e.project_id = ?", r.caller.ProjectID)
		hideUnreadable(query, r.caller)
	}
	if err := narrow(unexpired(query), asked); err != nil {
		return answer{}, err
	}
	if err := sort(query, asked.Get("sort")); err != nil {
		return answer{}, err
	}
	p := askedPage(asked)
	total, err := query.Limit(p.limit).Offset(p.offset).ScanAndCount(ctx)
	if err != nil {
		return answer{}, fmt.Errorf("secrets: %w", err)
	}
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	consumers, err := s.consumersFor(ctx, secrets, ids)
	if err != nil {
		return answer{}, err
	}
	items := make([]object, len(rows))
	for i, row := range rows {
		items[i] = s.secretJSON(r, row, consumers[row.ID])
	}
	return ok(s.pageJSON(r, p, "secrets", items, total))
}

// narrow keeps the secrets that the filters ask for. Texts have to be equal.
func narrow(query *bun.SelectQuery, asked url.Values) error {
	for parameter, column := range map[string]bun.Ident{"name": "e.name", "alg": "e.algorithm", "mode": "e.mode", "secret_type": "e.secret_type"} {
		if value := asked.Get(parameter); value != "" {
			query.Where("? = ?", column, value)
		}
	}
	if bits, err := strconv.ParseInt(asked.Get("bits"), 10, 32); err == nil && bits > 0 {
		query.Where("e.bit_length = ?", bits)
	}
	for parameter, column := range map[string]bun.Ident{"created": "e.created_at", "updated": "e.updated_at", "expiration": "e.expires_at"} {
		if value := asked.Get(parameter); value != "" {
			if err := narrowTime(query, column, parameter, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxTimes is how many comparisons of one time make sense: from and to.
const maxTimes = 2

// narrowTime reads "gte:2026-01-01T00:00:00,lt:2027-01-01T00:00:00". Without an operator the times have to be equal.
func narrowTime(query *bun.SelectQuery, column bun.Ident, parameter, value string) error {
	comparisons := strings.Split(value, ",")
	if len(comparisons) > maxTimes {
		return errBad("The query parameter '%s' has more than %d comparisons.", parameter, maxTimes)
	}
	for _, comparison := range comparisons {
		operator := "="
		for prefix, known := range map[string]string{"gt:": ">", "gte:": ">=", "lt:": "<", "lte:": "<="} {
			if text, found := strings.CutPrefix(comparison, prefix); found {
				operator, comparison = known, text
				break
			}
		}
		at, err := parseTime(comparison)
		if err != nil {
			return errBad("The query parameter '%s' is not a time like gt:2026-12-31T23:59:59.", parameter)
		}
		query.Where("? "+operator+" ?", column, at.UnixMicro())
		if column == "e.expires_at" {
			query.Where("e.expires_at <> 0")
		}
	}
	return nil
}

var sortColumns = map[string]bun.Ident{
	"algorithm": "e.algorithm", "bit_length": "e.bit_length", "created": "e.created_at", "expiration": "e.expires_at",
	"mode": "e.mode", "name": "e.name", "secret_type": "e.secret_type", "updated": "e.updated_at",
}

// sort reads "name:asc,created:desc". What it leaves open is in the order of creation.
func sort(query *bun.SelectQuery, asked string) error {
	var keys []string
	if asked != "" {
		keys = strings.Split(asked, ",")
	}
	sorted := map[string]bool{}
	for _, key := range keys {
		key, direction, hasDirection := strings.Cut(key, ":")
		column, known := sortColumns[key]
		switch {
		case !known && key != "status": // which is the same for all
			return errBad("The query parameter 'sort' has the unknown key %q.", key)
		case sorted[key], hasDirection && direction != "asc" && direction != "desc":
			return errBad("The query parameter 'sort' is not like name:asc,created:desc.")
		case direction == "desc" && known:
			query.OrderExpr("? DESC NULLS LAST", column) // both databases alike
		case known:
			query.OrderExpr("? ASC NULLS FIRST", column)
		}
		sorted[key] = true
	}
	query.OrderExpr("e.created_at, e.id")
	return nil
}

package keystone

import (
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/uptrace/bun"
)

// The longest names and texts, in characters; Keystone's own limits.
const (
	maxDomainName     = 64
	maxProjectName    = 64
	maxUserName       = 255
	maxRoleName       = 255
	maxCredentialName = 255
	maxDescription    = 4096
	maxEmail          = 255
	maxID             = 64
)

func ok(body any) (answer, error) {
	return answer{status: http.StatusOK, body: body}, nil
}

func created(body any) (answer, error) {
	return answer{status: http.StatusCreated, body: body}, nil
}

// list is the answer to a list request; everything that was asked for is on its one page.
func (s *Service) list(r *request, name string, items any) (answer, error) {
	address := s.publicURL + r.URL.Path
	if r.URL.RawQuery != "" {
		address += "?" + r.URL.RawQuery
	}
	return ok(map[string]any{
		name: items, "links": map[string]any{"self": address, "previous": nil, "next": nil},
	})
}

func (s *Service) selfLink(path string) map[string]string {
	return map[string]string{"self": s.publicURL + "/v3/" + path}
}

// whereAsked narrows a list to the columns whose name stands in the query of the request, alone (name=x) or with a comparison
// (name__contains=x). "enabled" is false for "false" and "0" and true for all else, as in Keystone.
func whereAsked(query *bun.SelectQuery, r *request, columns ...string) {
	asked := r.URL.Query()
	for _, column := range columns {
		whereCompared(query, asked, column)
		if !asked.Has(column) {
			continue
		}
		if column == "enabled" {
			value := strings.ToLower(asked.Get(column))
			query.Where("?TableAlias.enabled = ?", value != "false" && value != "0")
			continue
		}
		query.Where("?TableAlias.? = ?", bun.Ident(column), asked.Get(column))
	}
}

// comparisons are Keystone's inexact filters, as SQL that both engines know. With an i before it (name__icontains) each ignores
// case, as far as the engine does: SQLite folds ASCII only.
var comparisons = map[string]string{
	"equals":     "?0 = ?1",
	"contains":   "(?1 = '' OR replace(?0, ?1, '') <> ?0)",
	"startswith": "substr(?0, 1, length(?1)) = ?1",
	"endswith":   "(length(?0) >= length(?1) AND substr(?0, length(?0) - length(?1) + 1) = ?1)",
}

// whereCompared narrows a list by the comparisons with column that the query asks for. Unknown ones are ignored, as Keystone
// ignores them.
func whereCompared(query *bun.SelectQuery, asked url.Values, column string) {
	for key, values := range asked {
		name, comparison, found := strings.Cut(key, "__")
		if !found || name != column || column == "enabled" {
			continue
		}
		stored, given := bun.SafeQuery("?TableAlias.?", bun.Ident(column)), bun.SafeQuery("CAST(? AS text)", values[0])
		condition, known := comparisons[comparison]
		if folded, ok := strings.CutPrefix(comparison, "i"); !known && ok {
			condition, known = comparisons[folded]
			stored, given = bun.SafeQuery("lower(?)", stored), bun.SafeQuery("lower(?)", given)
		}
		if known {
			query.Where(condition, stored, given)
		}
	}
}

// setText checks the text that a request gives, if it does, and stores it.
func setText(field string, given, stored *string, longest int) error {
	if given == nil {
		return nil
	}
	if utf8.RuneCountInString(*given) > longest {
		return errBadField(field, "is longer than %d characters", longest)
	}
	*stored = *given
	return nil
}

// setName is setText for a name, which must not be blank.
func setName(field string, given, stored *string, longest int) error {
	if given != nil && strings.TrimSpace(*given) == "" {
		return errBadField(field, "must not be empty")
	}
	if given == nil && *stored == "" {
		return errBadField(field, "is required")
	}
	return setText(field, given, stored, longest)
}

// setIf stores what a request gives, if it does.
func setIf[T any](given, stored *T) {
	if given != nil {
		*stored = *given
	}
}

// unusedAttributes are attributes that clients send by habit, with nothing in them.
type unusedAttributes struct {
	Tags    []string  `json:"tags"`
	Options *struct{} `json:"options"` // none are known
}

func (u unusedAttributes) check() error {
	if len(u.Tags) > 0 {
		return errBadField("tags", "this service keeps no tags")
	}
	return nil
}

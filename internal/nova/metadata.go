package nova

import (
	"maps"
	"net/http"

	"poise/internal/rest"
)

func (s *Service) serveMetadata(w http.ResponseWriter, r *http.Request) error {
	row, err := s.find(r.Context(), s.db, rest.CallerFrom(r.Context()), r.PathValue("id"))
	if err != nil {
		return err
	}
	rest.WriteJSON(w, http.StatusOK, object{"metadata": row.Metadata})
	return nil
}

// serveMetadataChange adds to the metadata (POST) or replaces them (PUT).
func (s *Service) serveMetadataChange(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Metadata map[string]string `json:"metadata"`
	}
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	if body.Metadata == nil {
		return badRequest("metadata is missing")
	}
	row, err := s.edit(r.Context(), rest.CallerFrom(r.Context()), r.PathValue("id"), func(row *server) error {
		if r.Method == http.MethodPut {
			row.Metadata = map[string]string{}
		}
		maps.Copy(row.Metadata, body.Metadata)
		return checkMetadata(row.Metadata)
	})
	if err != nil {
		return err
	}
	rest.WriteJSON(w, http.StatusOK, object{"metadata": row.Metadata})
	return nil
}

func (s *Service) serveMetadataItem(w http.ResponseWriter, r *http.Request) error {
	row, err := s.find(r.Context(), s.db, rest.CallerFrom(r.Context()), r.PathValue("id"))
	if err != nil {
		return err
	}
	value, ok := row.Metadata[r.PathValue("key")]
	if !ok {
		return errItem
	}
	rest.WriteJSON(w, http.StatusOK, object{"meta": object{r.PathValue("key"): value}})
	return nil
}

var errItem = notFound("Metadata item was not found")

func (s *Service) serveMetadataItemChange(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Meta map[string]string `json:"meta"`
	}
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	key := r.PathValue("key")
	value, ok := body.Meta[key]
	if !ok || len(body.Meta) != 1 {
		return badRequest("Request body and URI mismatch")
	}
	_, err := s.edit(r.Context(), rest.CallerFrom(r.Context()), r.PathValue("id"), func(row *server) error {
		row.Metadata[key] = value
		return checkMetadata(row.Metadata)
	})
	if err != nil {
		return err
	}
	rest.WriteJSON(w, http.StatusOK, object{"meta": body.Meta})
	return nil
}

func (s *Service) serveMetadataItemDelete(w http.ResponseWriter, r *http.Request) error {
	_, err := s.edit(r.Context(), rest.CallerFrom(r.Context()), r.PathValue("id"), func(row *server) error {
		if _, ok := row.Metadata[r.PathValue("key")]; !ok {
			return errItem
		}
		delete(row.Metadata, r.PathValue("key"))
		return nil
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

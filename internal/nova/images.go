package nova

import (
	"net/http"

	"poise/internal/rest"
)

// ImageHandler is an image service without images. The openstack client refuses to list servers when the catalogue names
// no image service; servers here are made of none. It stands behind [rest.Authenticate] at imageURL, its public address
// without a trailing slash ("http://127.0.0.1:9876/image").
func (s *Service) ImageHandler(imageURL string) http.Handler {
	return rest.Routes([]rest.Route{
		{Method: http.MethodGet, Pattern: "/", Handler: func(w http.ResponseWriter, _ *http.Request) error {
			rest.WriteJSON(w, http.StatusOK, object{"versions": []object{{
				"id": "v2.0", "status": "CURRENT", "links": []object{{"rel": "self", "href": imageURL + "/v2/"}},
			}}})
			return nil
		}},
		{Method: http.MethodGet, Pattern: "/v2/images", Handler: func(w http.ResponseWriter, _ *http.Request) error {
			rest.WriteJSON(w, http.StatusOK, object{"images": []object{}, "first": "/v2/images", "schema": "/v2/schemas/images"})
			return nil
		}},
		{Method: http.MethodGet, Pattern: "/v2/images/{id}", Handler: func(_ http.ResponseWriter, r *http.Request) error {
			return notFound("No image found with ID %s", r.PathValue("id"))
		}},
	}, s.fault)
}

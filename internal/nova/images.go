package nova

import (
	"net/http"

	"poise/internal/rest"
)

// imageID and imageName name the one image, of which every server is made: the greeter.
const (
	imageID   = "6c6f7261-696d-4067-8065-677265657465"
	imageName = "greeter"
)

// imageMade is when the image was made, as far as clients are told.
const imageMade = "2026-11-01T00:00:00Z"

func image() object {
	return object{
		"id": imageID, "name": imageName, "status": "active", "visibility": "public", "protected": true, "owner": nil, "tags": []string{},
		"disk_format": "raw", "container_format": "bare", "min_disk": 0, "min_ram": 0, "size": 0, "virtual_size": nil, "checksum": nil,
		"created_at": imageMade, "updated_at": imageMade, "os_hidden": false,
		"self": "/v2/images/" + imageID, "file": "/v2/images/" + imageID + "/file", "schema": "/v2/schemas/image",
	}
}

// ImageHandler is an image service with one image. The openstack client refuses to list servers when the catalogue names no
// image service. It stands behind [rest.Authenticate] at imageURL, its public address without a trailing slash
// ("http://127.0.0.1:9876/image").
func (s *Service) ImageHandler(imageURL string) http.Handler {
	return rest.Routes([]rest.Route{
		{Method: http.MethodGet, Pattern: "/", Handler: func(w http.ResponseWriter, _ *http.Request) error {
			rest.WriteJSON(w, http.StatusOK, object{"versions": []object{{
				"id": "v2.0", "status": "CURRENT", "links": []object{{"rel": "self", "href": imageURL + "/v2/"}},
			}}})
			return nil
		}},
		{Method: http.MethodGet, Pattern: "/v2/images", Handler: serveImages},
		{Method: http.MethodGet, Pattern: "/v2/images/{id}", Handler: func(w http.ResponseWriter, r *http.Request) error {
			if r.PathValue("id") != imageID {
				return notFound("No image found with ID %s", r.PathValue("id"))
			}
			rest.WriteJSON(w, http.StatusOK, image())
			return nil
		}},
	}, s.fault)
}

// serveImages lists the image unless a filter leaves it out, or it was on the page before.
func serveImages(w http.ResponseWriter, r *http.Request) error {
	images := []object{image()}
	q := r.URL.Query()
	for filter, is := range map[string]string{"name": imageName, "id": imageID, "status": "active", "visibility": "public", "marker": ""} {
		if q.Get(filter) != "" && q.Get(filter) != is {
			images = []object{}
		}
	}
	rest.WriteJSON(w, http.StatusOK, object{"images": images, "first": "/v2/images", "schema": "/v2/schemas/images"})
	return nil
}

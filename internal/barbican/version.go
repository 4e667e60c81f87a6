package barbican

import (
	"context"
	"net/http"
	"strconv"
	"strings"
)

// microversion is the minor number of the API's version that a request asks for: 1.1 brought the consumers of secrets
// into their attributes, 1.2 the refusal to delete a secret that has some.
type microversion int

const (
	maxMicroversion  microversion = 2
	withConsumers    microversion = 1
	guardedConsumers microversion = 2
)

// askedVersion reads "OpenStack-API-Version: key-manager 1.1". Without it the version is 1.0.
func askedVersion(header http.Header) (microversion, error) {
	for line := range strings.SplitSeq(strings.Join(header.Values("OpenStack-API-Version"), ","), ",") {
		asked, isOurs := strings.CutPrefix(strings.TrimSpace(line), "key-manager ")
		if !isOurs {
			continue
		}
		if asked == "latest" {
			return maxMicroversion, nil
		}
		minor, found := strings.CutPrefix(asked, "1.")
		number, err := strconv.ParseUint(minor, 10, 8)
		if !found || err != nil || microversion(number) > maxMicroversion {
			return 0, errNotAcceptable("Version %q of the API is not supported; there are 1.0 to 1.%d.", asked, maxMicroversion)
		}
		return microversion(number), nil
	}
	return 0, nil
}

// announce says in the answer by which version it was made.
func (m microversion) announce(header http.Header) {
	header.Set("OpenStack-API-Version", "key-manager 1."+strconv.Itoa(int(m)))
	header.Add("Vary", "OpenStack-API-Version")
}

// listVersions answers 300, as a choice of one.
func (s *Service) listVersions(_ context.Context, r *request) (answer, error) {
	body := object{"versions": object{"values": []any{s.versionJSON(r)}}}
	if r.version >= withConsumers {
		body = object{"versions": []any{s.versionJSON(r)}}
	}
	return answer{status: http.StatusMultipleChoices, body: body}, nil
}

func (s *Service) showVersion(_ context.Context, r *request) (answer, error) {
	return ok(object{"version": s.versionJSON(r)})
}

func (s *Service) versionJSON(r *request) object {
	version := object{
		"id": "v1", "status": "stable",
		"links":       []object{{"rel": "self", "href": s.publicURL + "/v1/"}},
		"media-types": []object{{"base": "application/json", "type": "application/vnd.openstack.key-manager-v1+json"}},
	}
	if r.version >= withConsumers { // from before microversions, clients know none
		version["status"], version["min_version"], version["max_version"] = "CURRENT", "1.0", "1."+strconv.Itoa(int(maxMicroversion))
		delete(version, "media-types")
	}
	return version
}

package octavia

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"poise/internal/dataplane/accesslog"
	"poise/internal/rest"
)

// schema is a JSON Schema, or any other part of the OpenAPI document.
type schema = map[string]any

// shape is what the document says of one kind of resource.
type shape struct {
	path, envelope, plural, links string
	attributes                    attributes
}

// shapes are all resources with an attribute table.
func shapes() []shape {
	all := []shape{
		{"/quotas", quotaEnvelope, "quotas", "quotas_links", quotaAttributes},
		{"/octavia/amphorae", "amphora", "amphorae", "amphorae_links", amphoraAttributes},
	}
	for _, res := range []*resource{loadBalancers, listeners, pools, members, healthMonitors, l7Policies, l7Rules} {
		all = append(all, shape{res.path, res.envelope, res.plural, res.plural + "_links", res.attributes})
	}
	for _, k := range catalogues {
		all = append(all, shape{k.path, k.envelope, k.plural, k.links, k.attributes})
	}
	return all
}

// typesOf are the JSON types of attributes by name; all others are strings.
var typesOf = func() map[string]schema {
	types := map[string]schema{"http_version": {"type": []string{"number", "null"}}}
	for names, of := range map[string]schema{
		"admin_state_up backup hsts_include_subdomains hsts_preload tls_enabled invert enabled cert_busy request_sriov": {"type": []string{"boolean", "null"}},
		"protocol_port connection_limit timeout_client_data timeout_member_connect timeout_member_data timeout_tcp_inspect weight " +
			"monitor_port delay timeout max_retries max_retries_down hsts_max_age position redirect_http_code vrrp_id vrrp_priority " +
			"loadbalancer load_balancer listener member pool health_monitor l7policy l7rule": {"type": []string{"integer", "null"}},
		"tags vip_sg_ids sni_container_refs tls_versions alpn_protocols allowed_cidrs": {"type": []string{"array", "null"}, "items": schema{"type": "string"}},
		"listeners pools members loadbalancers l7policies rules additional_vips":       {"type": []string{"array", "null"}, "items": schema{"type": "object"}},
		"insert_headers session_persistence default_pool redirect_pool":                {"type": []string{"object", "null"}},
		"healthmonitor": {"type": []string{"object", "integer", "null"}}, // a pool's, or a quota's limit
		"id provisioning_status operating_status project_id tenant_id": {"type": "string"},
	} {
		for _, name := range strings.Fields(names) {
			types[name] = of
		}
	}
	return types
}()

func typeOf(name string) schema {
	if of, ok := typesOf[name]; ok {
		return of
	}
	return schema{"type": []string{"string", "null"}}
}

// typeInQuery is the JSON type of an attribute that is not null.
func typeInQuery(name string) string {
	switch of := typeOf(name)["type"].(type) {
	case []string:
		return of[0]
	default:
		return of.(string)
	}
}

// answer is the schema of one object in answers. Selected fields may leave any attribute out.
func (s shape) answer() schema {
	properties := schema{"status_reason": schema{"type": "string"}}
	for _, a := range s.attributes {
		if a.read != nil && a.use&hidden == 0 {
			properties[a.name] = typeOf(a.name)
		}
	}
	return schema{"type": "object", "properties": properties, "additionalProperties": false}
}

// request is the schema of a body for use, onCreate or onUpdate.
func (s shape) request(use use) schema {
	properties, needed := schema{}, []string{}
	for _, a := range s.attributes {
		if a.use&use == 0 {
			continue
		}
		properties[a.name] = typeOf(a.name)
		if use == onCreate && a.use&required != 0 {
			needed = append(needed, a.name)
		}
	}
	inner := schema{"type": "object", "properties": properties, "additionalProperties": false}
	if len(needed) > 0 {
		inner["required"] = needed
	}
	return enveloped(s.envelope, inner)
}

// enveloped is an object with one key.
func enveloped(key string, inner schema) schema {
	return schema{"type": "object", "properties": schema{key: inner}, "required": []string{key}, "additionalProperties": false}
}

func (s shape) list() schema {
	return schema{
		"type": "object", "required": []string{s.plural, s.links}, "additionalProperties": false,
		"properties": schema{
			s.plural: schema{"type": "array", "items": schema{"$ref": "#/components/schemas/" + s.envelope}},
			s.links: schema{"type": "array", "items": schema{
				"type": "object", "required": []string{"href", "rel"}, "additionalProperties": false,
				"properties": schema{"href": schema{"type": "string"}, "rel": schema{"enum": []string{"next", "previous"}}},
			}},
		},
	}
}

func (s shape) one() schema {
	return enveloped(s.envelope, schema{"$ref": "#/components/schemas/" + s.envelope})
}

// operation is what the document says of one route.
func operation(r route) schema {
	o := schema{
		"operationId": strings.ToLower(r.method) + strings.NewReplacer("/", "_", "{", "", "}", "").Replace(r.pattern),
		"responses":   responses(r),
	}
	if r.policy != "" {
		o["x-policy"] = "os_load-balancer_api:" + r.policy
	}
	var parameters []schema
	for _, part := range strings.Split(r.pattern, "/") {
		if name, isName := strings.CutPrefix(part, "{"); isName {
			parameters = append(parameters, schema{
				"name": strings.TrimSuffix(name, "}"), "in": "path", "required": true, "schema": schema{"type": "string"},
			})
		}
	}
	for _, p := range r.takes {
		parameters = append(parameters, schema{"name": p.name, "in": "query", "description": p.meaning, "schema": p.schema})
	}
	if len(parameters) > 0 {
		o["parameters"] = parameters
	}
	if body := requestOf(r); body != nil {
		o["requestBody"] = schema{"required": true, "content": inJSON(body)}
	}
	return o
}

func inJSON(s schema) schema { return schema{"application/json": schema{"schema": s}} }

// streamEvent is what the document says of one kind of event.
type streamEvent struct {
	name, meaning string
	data          schema
}

// eventsOf are the events of a route that answers with a stream, nil for all others.
func eventsOf(pattern string) []streamEvent {
	switch pattern {
	case watchPattern:
		return []streamEvent{
			{changedEvent, "A load balancer has changed, in what is wanted or in what became of it, or is gone.", schemaOf[balancerChanged]()},
			{resyncEvent, "The client was too slow to be told of each change: it has to look at everything.", schemaOf[struct{}]()},
		}
	case logPattern:
		return []streamEvent{
			{messageEvent, "A connection or a request has ended.", schemaOf[accesslog.Record]()},
			{droppedEvent, "The client was too slow: so many records are missing here.", schemaOf[recordsDropped]()},
		}
	}
	return nil
}

// inEvents is a stream of server-sent events. OpenAPI 3.1 has no words for what is in one: x-events tells of each event, by
// its name, with the schema of its data.
func inEvents(events []streamEvent) schema {
	all := schema{}
	for _, e := range events {
		all[e.name] = schema{"description": e.meaning, "data": e.data}
	}
	text := schema{"type": "string", "description": "Server-sent events; lines that begin with a colon are signs of life."}
	return schema{eventStream: schema{"schema": text, "x-events": all}}
}

// requestOf is the schema of a route's body, nil when it has none.
func requestOf(r route) schema {
	if r.method == http.MethodPut && r.pattern == members.path {
		return enveloped("members", schema{"type": "array", "items": schema{"type": "object"}})
	}
	for _, s := range shapes() {
		switch {
		case r.method == http.MethodPost && r.pattern == s.path:
			return s.request(onCreate)
		case r.method == http.MethodPut && r.pattern == s.path+"/{id}":
			return s.request(onUpdate)
		}
	}
	return nil
}

// responses are a route's answers: the one of success, and the faults.
func responses(r route) schema {
	status, body := success(r)
	ok := schema{"description": http.StatusText(status)}
	switch {
	case eventsOf(r.pattern) != nil:
		ok["content"] = inEvents(eventsOf(r.pattern))
	case body != nil:
		ok["content"] = inJSON(body)
	}
	return schema{
		strconv.Itoa(status): ok,
		"default":            schema{"description": "A fault", "content": inJSON(schema{"$ref": "#/components/schemas/fault"})},
	}
}

// success is the status and the schema of the answer to a route when all is well.
func success(r route) (status int, body schema) {
	object := schema{"type": "object"}
	for _, s := range shapes() {
		collection, single := r.pattern == s.path, r.pattern == s.path+"/{id}"
		quota := s.envelope == quotaEnvelope
		switch {
		case r.method == http.MethodGet && collection:
			return http.StatusOK, s.list()
		case r.method == http.MethodGet && (single || quota && strings.HasPrefix(r.pattern, s.path)):
			return http.StatusOK, s.one()
		case r.method == http.MethodPost && collection:
			return http.StatusCreated, s.one()
		case r.method == http.MethodPut && single && quota:
			return http.StatusAccepted, s.one()
		case r.method == http.MethodPut && single:
			return http.StatusOK, s.one()
		case r.method == http.MethodDelete && single && quota:
			return http.StatusAccepted, nil
		}
	}
	last := r.pattern[strings.LastIndex(r.pattern, "/")+1:]
	switch {
	case last == "events":
		return http.StatusOK, enveloped(last, schemaOf[[]event]())
	case last == "series":
		return http.StatusOK, enveloped(last, schemaOf[series]())
	case last == "health":
		return http.StatusOK, enveloped(last, schemaOf[health]())
	case r.method == http.MethodDelete:
		return http.StatusNoContent, nil
	case r.method == http.MethodPut:
		return http.StatusAccepted, nil
	case last == "octavia":
		return http.StatusOK, schema{"type": "string"}
	case r.pattern == "/octavia/amphorae/{id}/stats":
		return http.StatusOK, enveloped("amphora_stats", schema{"type": "array", "items": object})
	case last == "stats":
		return http.StatusOK, enveloped("stats", schema{"type": "object", "additionalProperties": schema{"type": "integer"}})
	case last == "status" || last == "statuses":
		return http.StatusOK, enveloped("statuses", object)
	default: // providers and their capabilities
		return http.StatusOK, enveloped(last, schema{"type": "array", "items": object})
	}
}

// document is the OpenAPI 3.1 document of the whole API, made of the route table and the attribute tables.
func document() schema {
	paths, schemas := schema{}, schema{"fault": fault()}
	for _, r := range table() {
		if r.policy == "" && r.method != http.MethodGet { // there only to be refused in Octavia's words
			continue
		}
		path, _ := paths[r.pattern].(schema)
		if path == nil {
			path = schema{}
			paths[r.pattern] = path
		}
		path[strings.ToLower(r.method)] = operation(r)
	}
	for _, s := range shapes() {
		schemas[s.envelope] = s.answer()
	}
	return schema{
		"openapi": "3.1.0",
		"info":    schema{"title": "OpenStack Load Balancer API (Octavia v2), as poise serves it", "version": versions[len(versions)-1].id},
		"servers": []schema{{"url": "v2.0"}, {"url": "v2.0/lbaas"}}, // relative to where the document is
		"paths":   paths,
		"components": schema{
			"schemas":         schemas,
			"securitySchemes": schema{"token": schema{"type": "apiKey", "in": "header", "name": "X-Auth-Token"}},
		},
		"security": []schema{{"token": []string{}}},
	}
}

// fault is the schema of both forms of error.
func fault() schema {
	text := schema{"type": []string{"string", "null"}}
	form := func(properties schema, needed ...string) schema {
		return schema{"type": "object", "properties": properties, "required": slices.Clone(needed)}
	}
	return schema{"anyOf": []schema{
		form(schema{"faultcode": schema{"enum": []string{"Client", "Server"}}, "faultstring": text, "debuginfo": text}, "faultcode", "faultstring"),
		form(schema{"code": schema{"type": "integer"}, "title": text, "description": text, "faultstring": text}, "code", "title"),
		form(schema{"error": schema{"type": "object"}}, "error"),
	}}
}

// theDocument is made at the first request for it; it never changes.
var theDocument = sync.OnceValue(document)

// describe answers with the OpenAPI document.
func describe(w http.ResponseWriter, _ *http.Request) error {
	rest.WriteJSON(w, http.StatusOK, theDocument())
	return nil
}

package openapi

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/access"
	"github.com/stead-io/stead/controlplane/httpapi"
)

var updateDocs = flag.Bool("update-docs", false, "write docs/api/openapi.json anew")

const documentFile = "../../docs/api/openapi.json"

// TestDocumentIsCurrent: docs/api/openapi.json is what routes, types, codes and operations make.
func TestDocumentIsCurrent(t *testing.T) {
	want := encode(t, generate(t))
	if *updateDocs {
		if err := os.WriteFile(documentFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(documentFile)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%s is not what the code says (%v); run go test ./tests/openapi -update-docs", documentFile, err)
	}
}

// TestOperationsAreTheEndpoints: in both directions.
func TestOperationsAreTheEndpoints(t *testing.T) {
	served := map[string]bool{}
	for _, endpoint := range httpapi.Endpoints() {
		name := endpoint.Method + " " + endpoint.Path
		served[name] = true
		if !slices.ContainsFunc(operations, func(o operation) bool { return o.endpoint == name }) {
			t.Errorf("%s is served and not described: add a row to operations in tests/openapi, then run it with -update-docs", name)
		}
	}
	for _, o := range operations {
		if !served[o.endpoint] {
			t.Errorf("%s is described and not served: take its row out of operations in tests/openapi", o.endpoint)
		}
	}
}

func encode(t *testing.T, value any) []byte {
	t.Helper()
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// generate makes the document.
func generate(t *testing.T) *document {
	t.Helper()
	r := &reflector{source: readSource(t, "../../api"), strict: map[string]bool{}, schema: map[string]*schema{}, used: map[string]bool{}}
	for _, o := range operations {
		if o.body != nil && !o.open {
			r.markStrict(reflect.TypeOf(o.body))
		}
	}
	r.of(reflect.TypeFor[api.Problem]())
	doc := &document{
		OpenAPI: "3.1.0",
		Info: info{
			Title: "Stead control API", Version: "1", License: &named{"Apache-2.0"},
			Summary: "What every member of a Stead control plane serves.",
			Description: "Writes on a follower are passed to the leader. Unknown fields in operators' bodies are refused and named; beats ignore them. " +
				"A query with a parameter twice is refused. Bodies are at most 1 MiB. Every error is a problem (RFC 9457) with a stable code.",
		},
		Servers:  []server{{"http://127.0.0.1:7400", "A member on this machine; any member will do."}},
		Security: []requirement{{"certificate": {}}, {"token": {}}, {}},
		Tags:     tags,
		Paths:    map[string]map[string]described{},
	}
	doc.Components = components{SecuritySchemes: securitySchemes, Parameters: sharedParameters(), Headers: answerHeaders(), Responses: map[string]response{
		"Problem": problemResponse("Any other error; code says which."),
	}}
	for _, o := range operations {
		method, path, _ := strings.Cut(o.endpoint, " ")
		if doc.Paths[path] == nil {
			doc.Paths[path] = map[string]described{}
		}
		described := o.describe(r)
		if o.id == "livez" || o.id == "readyz" {
			described.Security = &[]requirement{}
		} else if rule, excepted := access.Exceptions[o.endpoint]; excepted {
			described.Description = "Where callers say who they are: for " + forWhom(rule) + "."
		}
		doc.Paths[path][strings.ToLower(method)] = described
	}
	doc.Components.Schemas = r.schema
	for field := range narrowed {
		if !r.used[field] {
			t.Errorf("narrowed names %s, which is no field of the contract", field)
		}
	}
	return doc
}

var securitySchemes = map[string]securityScheme{
	"certificate": {Type: "mutualTLS", Description: "A certificate of the cluster's CA, where members have --tls-cert. Its subject says which role its holder has."},
	"token": {Type: "http", Scheme: "bearer", Description: "A token, where members have --token-file. Without either nobody is asked. " +
		"Unless an operation says otherwise, every role may read, and operators may write; else 401 `unauthenticated` or 403 `forbidden`."},
}

// forWhom says in words who may make a request.
func forWhom(rule access.Rule) string {
	var words []string
	for _, role := range rule.Roles {
		words = append(words, string(role)+"s")
	}
	if rule.Self != "" {
		words = append(words, fmt.Sprintf("a %s that asks for itself", rule.Self))
	}
	return strings.Join(words, ", or ")
}

var pathParameter = regexp.MustCompile(`\{([a-z]+)\}`)

func (o operation) describe(r *reflector) described {
	d := described{OperationID: o.id, Tags: []string{o.tag}, Summary: o.summary, Responses: map[string]response{
		"default": {Ref: "#/components/responses/Problem"},
	}}
	for _, found := range pathParameter.FindAllStringSubmatch(o.endpoint, -1) {
		d.Parameters = append(d.Parameters, parameter{Name: found[1], In: "path", Required: true, Schema: &schema{Type: "string"}})
	}
	names := slices.Clone(o.query)
	if o.write {
		names = append(names, "Idempotency-Key", "If-Match", "Stead-Actor")
	}
	for _, name := range names {
		d.Parameters = append(d.Parameters, parameter{Ref: "#/components/parameters/" + name})
	}
	if o.body != nil {
		body := r.of(reflect.TypeOf(o.body))
		if reflect.TypeOf(o.body) == reflect.TypeFor[struct{}]() {
			body = &schema{Type: "object", AdditionalProperties: false}
		}
		d.RequestBody = &requestBody{Required: requires(r, body), Content: map[string]media{api.TypeJSON: {body}}}
	}
	if o.octets != "" {
		d.RequestBody = &requestBody{Content: map[string]media{o.octets: {}}}
	}
	for status, content := range o.answers {
		d.Responses[strconv.Itoa(status)] = answerOf(r, status, content)
	}
	for status, lines := range byStatus(o.codes) {
		d.Responses[status] = problemResponse(strings.Join(lines, "; ") + ".")
	}
	return d
}

// requires reports whether a body has a field that must be there.
func requires(r *reflector, body *schema) bool {
	if name, isRef := strings.CutPrefix(body.Ref, "#/components/schemas/"); isRef {
		return len(r.schema[name].Required) > 0
	}
	return len(body.Required) > 0
}

func answerOf(r *reflector, status int, content content) response {
	made := response{Description: http.StatusText(status), Headers: map[string]header{}}
	for name := range answerHeaders() {
		made.Headers[name] = header{Ref: "#/components/headers/" + name}
	}
	for kind, value := range content {
		if made.Content == nil {
			made.Content = map[string]media{}
		}
		switch {
		case value != nil:
			made.Content[kind] = media{r.of(reflect.TypeOf(value))}
		case strings.HasPrefix(kind, "text/"):
			made.Content[kind] = media{&schema{Type: "string"}}
		default:
			made.Content[kind] = media{} // octets
		}
	}
	return made
}

func byStatus(codes []api.Code) map[string][]string {
	lines := map[string][]string{}
	for _, code := range codes {
		facts := api.Codes[code]
		status := strconv.Itoa(facts.Status)
		lines[status] = append(lines[status], fmt.Sprintf("`%s`: %s", code, facts.Meaning))
	}
	return lines
}

func problemResponse(description string) response {
	return response{Description: description, Content: map[string]media{
		api.ProblemType: {&schema{Ref: "#/components/schemas/Problem"}},
	}}
}

// sharedParameters are those of parameters, and the headers that writes take.
func sharedParameters() map[string]parameter {
	shared := map[string]parameter{
		api.HeaderIdempotencyKey: {In: "header", Description: "Makes the write safe to repeat: 1 to 255 visible ASCII characters, unique to it.", Schema: &schema{Type: "string"}},
		"If-Match":               {In: "header", Description: `The id of the newest change in quotes, such as "41": the write is refused if there is a newer one.`, Schema: &schema{Type: "string", Pattern: `^"[0-9]+"$`}},
		"If-None-Match":          {In: "header", Description: "An ETag that was answered before, or *: 304 if it still stands.", Schema: &schema{Type: "string"}},
		"Last-Event-ID":          {In: "header", Description: "As after, and before it; browsers send it by themselves.", Schema: &schema{Type: "string"}},
		api.HeaderActor:          {In: "header", Description: "Who asks; history repeats it.", Schema: &schema{Type: "string"}},
	}
	for name, parameter := range parameters {
		parameter.In = "query"
		shared[name] = parameter
	}
	for name, parameter := range shared {
		if parameter.Name == "" {
			parameter.Name = name
		}
		shared[name] = parameter
	}
	return shared
}

func answerHeaders() map[string]header {
	return map[string]header{
		api.HeaderCluster: {Description: "The cluster's id.", Schema: &schema{Type: "string"}},
		api.HeaderIndex:   {Description: "Index of the last log entry the answering member has applied.", Schema: counted(0, integerMax)},
		api.HeaderLeader:  {Description: "Id of the member believed to lead; empty if none is known.", Schema: &schema{Type: "string"}},
	}
}

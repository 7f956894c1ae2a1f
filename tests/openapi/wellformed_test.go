package openapi

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

// TestDocumentIsWellFormed: what OpenAPI 3.1 asks of any document, read from the file as others read it.
func TestDocumentIsWellFormed(t *testing.T) {
	raw, err := os.ReadFile(documentFile)
	if err != nil {
		t.Fatal(err)
	}
	var doc document
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" || doc.Info.Title == "" || doc.Info.Version == "" || len(doc.Paths) == 0 {
		t.Errorf("it does not begin as OpenAPI 3.1 does: %q %+v", doc.OpenAPI, doc.Info)
	}
	ids := map[string]bool{}
	for path, methods := range doc.Paths {
		for method, operation := range methods {
			if operation.OperationID == "" || ids[operation.OperationID] {
				t.Errorf("%s %s: operationId %q is empty or stands twice", method, path, operation.OperationID)
			}
			ids[operation.OperationID] = true
			checkOperation(t, &doc, method+" "+path, operation)
		}
	}
	checkRefs(t, raw)
}

var statusOrDefault = regexp.MustCompile(`^([1-5][0-9][0-9]|default)$`)

func checkOperation(t *testing.T, doc *document, name string, operation described) {
	t.Helper()
	if !strings.HasSuffix(operation.Summary, ".") {
		t.Errorf("%s: the summary is no sentence", name)
	}
	for _, used := range operation.Tags {
		if !slices.ContainsFunc(doc.Tags, func(declared tag) bool { return declared.Name == used }) {
			t.Errorf("%s: tag %q is not declared", name, used)
		}
	}
	var inPath []string
	for _, parameter := range operation.Parameters {
		if parameter.In == "path" {
			inPath = append(inPath, "{"+parameter.Name+"}")
		}
	}
	if found := regexp.MustCompile(`\{[a-z]+\}`).FindAllString(name, -1); !slices.Equal(found, inPath) {
		t.Errorf("%s: its path parameters are %v", name, inPath)
	}
	for status, response := range operation.Responses {
		if !statusOrDefault.MatchString(status) || response.Ref == "" && response.Description == "" {
			t.Errorf("%s: response %q has no description, or is none", name, status)
		}
	}
}

// checkRefs: every $ref leads somewhere, and every component is led to.
func checkRefs(t *testing.T, raw []byte) {
	t.Helper()
	whole := decodeJSON(t, raw)
	used := map[string]bool{}
	var visit func(value any)
	visit = func(value any) {
		switch value := value.(type) {
		case map[string]any:
			if ref, isRef := value["$ref"].(string); isRef {
				used[ref] = true
				if follow(whole, ref) == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, scheme := range required(value) {
				used[scheme] = true
				if follow(whole, scheme) == nil {
					t.Errorf("%s is required and not declared", scheme)
				}
			}
			for _, element := range value {
				visit(element)
			}
		case []any:
			for _, element := range value {
				visit(element)
			}
		}
	}
	visit(whole)
	for kind, components := range follow(whole, "#/components").(map[string]any) {
		for name := range components.(map[string]any) {
			if ref := "#/components/" + kind + "/" + name; !used[ref] {
				t.Errorf("nothing leads to %s", ref)
			}
		}
	}
}

// required are the security schemes that an object asks for, as references.
func required(object map[string]any) (schemes []string) {
	requirements, _ := object["security"].([]any)
	for _, requirement := range requirements {
		for name := range requirement.(map[string]any) {
			schemes = append(schemes, "#/components/securitySchemes/"+name)
		}
	}
	return schemes
}

func follow(whole any, ref string) any {
	for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		object, _ := whole.(map[string]any)
		whole = object[name]
	}
	return whole
}

// TestPatternsAreTheCodesOwn: what the document lets through as an id or a duration, the code takes,
// and the other way round.
func TestPatternsAreTheCodesOwn(t *testing.T) {
	long := strings.Repeat("a", 65)
	for _, text := range []string{"n1", "a.b_c-d", "", "-a", "ä", "a b", long, long[1:], "0a", strings.Repeat("0a", 16), strings.Repeat("0A", 16), strings.Repeat("0a", 17)} {
		agree(t, text, namePattern, api.NodeID(text).Validate())
		agree(t, text, namePattern, api.ProxyID(text).Validate())
		agree(t, text, hex32Pattern, api.StoreID(text).Validate())
		agree(t, text, hex32Pattern, api.ClusterID(text).Validate())
	}
	for _, text := range []string{"2s", "250ms", "1h30m", "1.5s", "0s", "-1s", "2", "", "s", "2 s", "1d"} {
		_, err := time.ParseDuration(text)
		agree(t, text, durationPattern, err)
	}
}

func agree(t *testing.T, text, pattern string, err error) {
	t.Helper()
	if regexp.MustCompile(pattern).MatchString(text) != (err == nil) {
		t.Errorf("%q: %s and the code (%v) differ", text, pattern, err)
	}
}

// TestEveryMessageIsDescribed: a struct of package api that travels is in the document.
func TestEveryMessageIsDescribed(t *testing.T) {
	doc := generate(t)
	elsewhere := []string{
		"KeyRule", "CodeFacts", "SnapshotFacts", "SnapshotSchedule", // not on the wire
	}
	for name, fields := range readSource(t, "../../api").fields {
		if len(fields) > 0 && doc.Components.Schemas[name] == nil && !slices.Contains(elsewhere, name) {
			t.Errorf("api.%s is in no operation: name it in operations in tests/openapi, or among those that do not travel here", name)
		}
	}
	if reflect.TypeFor[api.Rebalance]().NumField() != 0 {
		t.Error("api.Rebalance has fields now")
	}
}

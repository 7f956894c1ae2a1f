package api_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
)

var updateDocs = flag.Bool("update-docs", false, "write docs/api/errors.md anew")

const errorsDoc = "../docs/api/errors.md"

// TestErrorsAreDocumented: docs/api/errors.md is the table of codes, to the letter.
func TestErrorsAreDocumented(t *testing.T) {
	want := errorsPage()
	if *updateDocs {
		if err := os.WriteFile(errorsDoc, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(errorsDoc)
	if err != nil || string(got) != want {
		t.Fatalf("%s is not the table of codes (%v); run go test ./api -update-docs", errorsDoc, err)
	}
}

func errorsPage() string {
	var page strings.Builder
	page.WriteString(`# Errors

Every error of the control API, the proxy and the guard in front of a node is one JSON object of type
` + "`application/problem+json`" + ` (RFC 9457):

` + "```json" + `
{"type": "urn:stead:problem:node_unknown", "title": "no node of that id is registered", "status": 404,
 "code": "node_unknown", "detail": "no node n9 is registered", "next": "stead nodes lists them"}
` + "```" + `

` + "`code`" + ` is stable: codes are added, never renamed. ` + "`detail`" + ` is for people. ` + "`field`" + ` names the field at
fault, ` + "`oldest`" + ` the oldest version or change kept (410), ` + "`next`" + ` what to do about it. *Again* says whether
the very same request may be sent again; such answers carry ` + "`Retry-After`" + ` in seconds. 502 and 504 carry it too: whether to repeat a request that may have been
applied is the client's to decide, and it says when there would be a point in it.

| code | status | again | meaning |
|---|---|---|---|
`)
	codes := make([]string, 0, len(api.Codes))
	for code := range api.Codes {
		codes = append(codes, string(code))
	}
	slices.Sort(codes)
	for _, code := range codes {
		facts := api.Codes[api.Code(code)]
		again := "no"
		if facts.Retry {
			again = "yes"
		}
		fmt.Fprintf(&page, "| `%s` | %d | %s | %s |\n", code, facts.Status, again, facts.Meaning)
	}
	return page.String()
}

package openapi

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// validate checks a JSON value, decoded with numbers kept as they stand, against a schema of the
// document. It knows what schema can say, and nothing else of JSON Schema.
func (d *document) validate(s *schema, value any) error {
	if s == nil {
		return nil
	}
	if s.Ref != "" {
		name := strings.TrimPrefix(s.Ref, "#/components/schemas/")
		return d.validate(d.Components.Schemas[name], value)
	}
	switch s.Type {
	case "object":
		return d.validateObject(s, value)
	case "array":
		elements, ok := value.([]any)
		if !ok {
			return fmt.Errorf("%v is no array", value)
		}
		for i, element := range elements {
			if err := d.validate(s.Items, element); err != nil {
				return fmt.Errorf("[%d]: %w", i, err)
			}
		}
	case "string":
		text, ok := value.(string)
		if !ok {
			return fmt.Errorf("%v is no string", value)
		}
		return validateText(s, text)
	case "integer", "number":
		return validateNumber(s, value)
	case "boolean":
		if _, ok := value.(bool); !ok {
			return fmt.Errorf("%v is neither true nor false", value)
		}
	}
	return nil
}

func (d *document) validateObject(s *schema, value any) error {
	object, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("%v is no object", value)
	}
	for _, name := range s.Required {
		if _, there := object[name]; !there {
			return fmt.Errorf("%s is missing", name)
		}
	}
	for name, element := range object {
		property := s.Properties[name]
		if property == nil {
			values, isMap := s.AdditionalProperties.(*schema)
			if !isMap {
				return fmt.Errorf("%s is not described", name) // answers must be described whole, open or not
			}
			property = values
		}
		if err := d.validate(property, element); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func validateText(s *schema, text string) error {
	switch {
	case len(s.Enum) > 0 && !slices.Contains(s.Enum, text):
		return fmt.Errorf("%q is none of %v", text, s.Enum)
	case s.Pattern != "" && !regexp.MustCompile(s.Pattern).MatchString(text):
		return fmt.Errorf("%q does not match %s", text, s.Pattern)
	case s.MaxLength != nil && utf8.RuneCountInString(text) > *s.MaxLength:
		return fmt.Errorf("%q is longer than %d", text, *s.MaxLength)
	case s.Format == "date-time":
		_, err := time.Parse(time.RFC3339, text)
		return err
	}
	return nil
}

func validateNumber(s *schema, value any) error {
	number, ok := value.(json.Number)
	if !ok {
		return fmt.Errorf("%v is no number", value)
	}
	if s.Type == "number" {
		return nil
	}
	whole, err := number.Int64()
	switch {
	case err != nil:
		return fmt.Errorf("%v is no whole number", value)
	case s.Minimum != nil && whole < *s.Minimum:
		return fmt.Errorf("%d is below %d", whole, *s.Minimum)
	case s.Maximum != nil && whole > *s.Maximum:
		return fmt.Errorf("%d is above %d", whole, *s.Maximum)
	}
	return nil
}

// TestValidate: the yardstick itself.
func TestValidate(t *testing.T) {
	inner := &schema{Type: "object", Properties: map[string]*schema{"n": counted(1, 9)}, Required: []string{"n"}}
	d := &document{Components: components{Schemas: map[string]*schema{"Inner": inner}}}
	f := func(s *schema, raw string, want string) {
		t.Helper()
		got := ""
		if err := d.validate(s, decodeJSON(t, []byte(raw))); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", raw, got, want)
		}
	}
	list := &schema{Type: "array", Items: &schema{Ref: "#/components/schemas/Inner"}}
	f(list, `[{"n":1}]`, "")
	f(list, `{}`, "map[] is no array")
	f(list, `null`, "<nil> is no array")
	f(list, `[{"n":1},{}]`, "[1]: n is missing")
	f(list, `[{"n":0}]`, "[0]: n: 0 is below 1")
	f(list, `[{"n":10}]`, "[0]: n: 10 is above 9")
	f(list, `[{"n":1.5}]`, "[0]: n: 1.5 is no whole number")
	f(list, `[{"n":1,"m":1}]`, "[0]: m is not described")
	f(&schema{Type: "string", Enum: []string{"a"}}, `"b"`, `"b" is none of [a]`)
	f(&schema{Type: "string", Pattern: "^a$"}, `"b"`, `"b" does not match ^a$`)
	f(&schema{Type: "boolean"}, `1`, "1 is neither true nor false")
	f(&schema{Type: "object", AdditionalProperties: &schema{Type: "string"}}, `{"x":1}`, "x: 1 is no string")
}

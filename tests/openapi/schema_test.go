package openapi

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/stead-io/stead/api"
)

// integerMax is 2^53-1: what every JSON reader takes exactly.
const integerMax = 1<<53 - 1

const (
	namePattern     = `^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`
	hex32Pattern    = `^[0-9a-f]{32}$`
	durationPattern = `^-?([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`
)

// plain are the types that travel as one JSON value of a form of their own.
var plain = map[reflect.Type]*schema{
	reflect.TypeFor[time.Time]():     {Type: "string", Format: "date-time"},
	reflect.TypeFor[api.Duration]():  {Type: "string", Pattern: durationPattern, Description: "A Go duration string: 250ms, 2s, 1h30m."},
	reflect.TypeFor[api.NodeID]():    {Type: "string", Pattern: namePattern},
	reflect.TypeFor[api.ProxyID]():   {Type: "string", Pattern: namePattern},
	reflect.TypeFor[api.ClusterID](): {Type: "string", Pattern: hex32Pattern},
	reflect.TypeFor[api.StoreID]():   {Type: "string", Pattern: hex32Pattern},
	reflect.TypeFor[api.MemberID]():  {Type: "string", Pattern: `^[A-Za-z0-9][A-Za-z0-9._-]{0,63}-[0-9a-f]{16}$`},
	reflect.TypeFor[api.SessionID](): {Type: "string", Pattern: `^[0-9]+-[0-9]+$`},
	reflect.TypeFor[api.EventID]():   {Type: "string", Pattern: `^[0-9]+-[0-9]+$`},
}

// narrowed are fields with bounds or a form that their Go type does not show.
var narrowed = map[string]func(*schema){
	"Registration.weight":    within(api.WeightMin, api.WeightMax),
	"Registration.slot_bits": within(0, api.SlotBitsMax),
	"Registration.address":   upTo(api.AddressMax),
	"Registration.nonce":     upTo(api.MetaTextMax),
	"NodePatch.weight":       within(api.WeightMin, api.WeightMax),
	"Settings.slot_bits":     within(api.SlotBitsMin, api.SlotBitsMax),
	"Settings.replicas":      within(1, api.ReplicasMax),
	"Settings.hash_key":      formed(hex32Pattern),
	"Settings.hash":          func(s *schema) { s.Enum = []string{api.HashSipHash24} },
	"Check.failures":         within(0, api.CheckFailuresMax),
	"Check.http":             formed(`^/`),
	"RingNode.id":            formed(`^([A-Za-z0-9][A-Za-z0-9._-]{0,63})?$`), // empty in a delta: the index is free
	"RingJSON.digest":        formed(`^[0-9a-f]{64}$`),
	"RingDelta.digest":       formed(`^[0-9a-f]{64}$`),
	"Location.key_hex":       formed(`^([0-9a-f]{2})+$`),
	"Location.hash":          formed(`^[0-9a-f]{16}$`),
	"Problem.status":         within(400, 599),
	"Problem.type":           formed(`^urn:stead:problem:[a-z_]+$`),
}

func within(least, most int64) func(*schema) {
	return func(s *schema) { s.Minimum, s.Maximum = &least, &most }
}

func upTo(length int) func(*schema) { return func(s *schema) { s.MaxLength = &length } }

func formed(pattern string) func(*schema) {
	return func(s *schema) { s.Ref, s.Type, s.Pattern = "", "string", pattern }
}

// reflector writes Go types as schemas; named types become components.
type reflector struct {
	source *source
	strict map[string]bool // components whose fields are all that may come
	schema map[string]*schema
	used   map[string]bool // keys of narrowed that applied
}

// of is the schema of a type, by reference where it has a name.
func (r *reflector) of(t reflect.Type) *schema {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Name() == "" || t.PkgPath() == "" {
		return r.unnamed(t)
	}
	if form, known := plain[t]; known && t.PkgPath() == "time" {
		return copied(form)
	}
	name := t.Name()
	if _, made := r.schema[name]; !made {
		r.schema[name] = nil // a type may contain itself
		r.schema[name] = r.named(t)
	}
	return &schema{Ref: "#/components/schemas/" + name}
}

func (r *reflector) named(t reflect.Type) *schema {
	made := &schema{}
	switch form, known := plain[t]; {
	case known:
		made = copied(form)
	case t.Kind() == reflect.Struct:
		made = r.object(t)
	default:
		made = r.unnamed(t)
	}
	if t.Kind() == reflect.String {
		made.Enum = r.source.values[t.Name()]
		slices.Sort(made.Enum)
	}
	if text := r.source.types[t.Name()]; text != "" {
		made.Description = text
	}
	return made
}

func (r *reflector) unnamed(t reflect.Type) *schema {
	bounded := func(most int64) *schema {
		return &schema{Type: "integer", Minimum: new(int64), Maximum: &most}
	}
	switch t.Kind() {
	case reflect.String:
		return &schema{Type: "string"}
	case reflect.Bool:
		return &schema{Type: "boolean"}
	case reflect.Float64:
		return &schema{Type: "number"}
	case reflect.Uint8, reflect.Uint16:
		return bounded(1<<t.Bits() - 1)
	case reflect.Int, reflect.Int64, reflect.Uint, reflect.Uint32, reflect.Uint64: // nothing here counts below zero
		return bounded(integerMax)
	case reflect.Slice:
		return &schema{Type: "array", Items: r.of(t.Elem())}
	case reflect.Map:
		return &schema{Type: "object", AdditionalProperties: r.of(t.Elem())}
	case reflect.Struct:
		return r.object(t)
	default:
		panic("tests/openapi does not know how " + t.String() + " travels: add it to plain")
	}
}

// object lists the fields of a struct, those of embedded ones among them. A field is required unless
// Go may leave it out.
func (r *reflector) object(t reflect.Type) *schema {
	made := &schema{Type: "object", Properties: map[string]*schema{}}
	r.addFields(made, t)
	slices.Sort(made.Required)
	if r.strict[t.Name()] {
		made.AdditionalProperties = false
	}
	return made
}

func (r *reflector) addFields(object *schema, t reflect.Type) {
	for i := range t.NumField() {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case field.Anonymous:
			r.addFields(object, field.Type)
			continue
		case name == "-" || !field.IsExported():
			continue
		case name == "":
			panic(t.String() + "." + field.Name + " travels without a json tag")
		}
		property := copied(r.of(field.Type))
		if text := r.source.comment(t, field); text != "" {
			property.Description = text
		}
		if narrow := narrowed[t.Name()+"."+name]; narrow != nil {
			narrow(property)
			r.used[t.Name()+"."+name] = true
		}
		object.Properties[name] = property
		if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") {
			object.Required = append(object.Required, name)
		}
	}
}

func copied(from *schema) *schema {
	to := *from
	return &to
}

// markStrict notes a request's type, and those inside it, as closed.
func (r *reflector) markStrict(t reflect.Type) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || plain[t] != nil || r.strict[t.Name()] {
		return
	}
	r.strict[t.Name()] = true
	for i := range t.NumField() {
		r.markStrict(t.Field(i).Type)
	}
}

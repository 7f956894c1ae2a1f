package shardkey

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stead-io/stead/api"
)

// node is a value as encoding/json reads it: a scalar, or the entries of an object or array in order,
// those that stand twice too.
type node struct {
	scalar  any
	object  bool
	names   []string
	entries []node
}

func readNode(decoder *json.Decoder) node {
	token, err := decoder.Token()
	if err != nil {
		panic(err) // the text is valid
	}
	delim, nested := token.(json.Delim)
	if !nested {
		return node{scalar: token}
	}
	n := node{object: delim == '{'}
	for decoder.More() {
		if n.object {
			name, _ := decoder.Token()
			n.names = append(n.names, name.(string))
		}
		n.entries = append(n.entries, readNode(decoder))
	}
	_, _ = decoder.Token()
	return n
}

// follow walks a pointer; clash says that a name on the way fits more than one member, or one but for
// its case.
func (n node) follow(pointer string) (value *node, clash bool) {
	if pointer == "" {
		return &n, false
	}
	token, rest, more := strings.Cut(pointer[1:], "/")
	if more {
		rest = "/" + rest
	}
	token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
	if !n.object {
		index, err := strconv.Atoi(token)
		if err != nil || strconv.Itoa(index) != token || index < 0 || index >= len(n.entries) {
			return nil, false
		}
		return n.entries[index].follow(rest)
	}
	met := false
	for i, name := range n.names {
		switch {
		case name == token && !met:
			met = true
			value, clash = n.entries[i].follow(rest)
		case strings.EqualFold(name, token):
			clash = true
		}
		if clash {
			return nil, true
		}
	}
	return value, false
}

// expected is what Extract has to say of a body by encoding/json's reading of it.
func expected(pointer, body string) string {
	if !json.Valid([]byte(body)) || !utf8.ValidString(body) {
		return "bad_key"
	}
	decoder := json.NewDecoder(strings.NewReader(body))
	decoder.UseNumber()
	value, clash := readNode(decoder).follow(pointer)
	switch {
	case clash:
		return "bad_key"
	case value == nil:
		return "no_key"
	}
	key := ""
	switch scalar := value.scalar.(type) {
	case string:
		key = scalar
	case json.Number:
		number, err := scalar.Int64()
		if err != nil || number > 1<<53-1 || number < -(1<<53-1) || scalar == "-0" {
			return "bad_key"
		}
		key = scalar.String()
	default:
		return "bad_key"
	}
	if key == "" || len(key) > api.KeyLengthMax || strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c == 0x7F }) {
		return "bad_key"
	}
	return "0:" + key
}

// FuzzJSONKey holds the reading of a body against encoding/json's, for every body and pointer.
func FuzzJSONKey(f *testing.F) {
	f.Add("/user/id", `{"user":{"id":"acme","ID":1},"a":[1,2.5e-3,true,null,"\u00fc\ud83d\udd11"]}`)
	f.Add("/a/1", `{"a":["x","y"],"\u0061":1}`)
	f.Add("/a~1b/~0", `{"a/b":{"~":-17}}`)
	f.Add("/", `{"":9007199254740992} `)
	f.Add("/id", `{"id":"\ud800","x":[[[{}]]]}`)
	f.Fuzz(func(t *testing.T, pointer, body string) {
		rule, err := api.ParseKeyRule("json:" + pointer)
		if err != nil || body == "" || len(body) > BodyMax {
			return
		}
		got, want := outcome([]api.KeyRule{rule}, bodied(body)), expected(pointer, body)
		if got == want {
			return
		}
		// What encoding/json lets through: deep nesting, and halves of surrogate pairs.
		deep := deepest(body) > depthMax
		half := strings.Contains(strings.ToLower(body), `\ud`)
		if got != "bad_key" || !deep && !half {
			t.Fatalf("%s in %q: got %q, encoding/json has %q", pointer, body, got, want)
		}
	})
}

// deepest is how deep a valid text nests.
func deepest(text string) (most int) {
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	depth := 0
	for {
		token, err := decoder.Token()
		if err != nil {
			return most
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
			most = max(most, depth)
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
}

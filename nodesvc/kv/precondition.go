package kv

import (
	"net/http"
	"slices"
	"strings"

	"github.com/stead-io/stead/api"
)

// tagList is an If-Match or If-None-Match header (RFC 9110, sections 13.1.1 and 13.1.2).
type tagList struct {
	present bool
	any     bool        // "*": whatever exists
	tags    []entityTag // else any of these
}

type entityTag struct {
	weak   bool
	opaque string // quotes included
}

// readTagList reads all lines of a header. A header that is not a list of tags is refused, not
// ignored: a write it was to prevent would happen.
func readTagList(header http.Header, name string) (tagList, *api.Problem) {
	values := header.Values(name)
	if len(values) == 0 {
		return tagList{}, nil
	}
	list := tagList{present: true}
	text := strings.Trim(strings.Join(values, ","), " \t")
	if text == "*" {
		list.any = true
		return list, nil
	}
	for rest := text; ; {
		rest = strings.TrimLeft(rest, " \t,") // empty elements are allowed
		if rest == "" {
			break
		}
		tag, after, ok := cutTag(rest)
		after = strings.TrimLeft(after, " \t")
		if !ok || after != "" && after[0] != ',' {
			return tagList{}, badTags(name)
		}
		list.tags = append(list.tags, tag)
		rest = after
	}
	if len(list.tags) == 0 {
		return tagList{}, badTags(name)
	}
	return list, nil
}

func badTags(name string) *api.Problem {
	return api.NewProblem(api.CodeInvalid, `it is neither * nor a list of entity tags such as "a", "b"`).InField(name)
}

func cutTag(text string) (tag entityTag, rest string, ok bool) {
	text, tag.weak = strings.CutPrefix(text, "W/")
	if !strings.HasPrefix(text, `"`) {
		return tag, "", false
	}
	length := strings.IndexByte(text[1:], '"')
	if length < 0 {
		return tag, "", false
	}
	end := length + 2
	for _, c := range []byte(text[1 : end-1]) {
		if c < 0x21 || c == 0x7f {
			return tag, "", false
		}
	}
	tag.opaque = text[:end]
	return tag, text[end:], true
}

// holds reports whether the list names the tag: by strong comparison, where weak tags match nothing,
// or by weak comparison (RFC 9110, section 8.8.3.2). The tag itself is strong.
func (l tagList) holds(tag string, strong bool) bool {
	return l.any || slices.ContainsFunc(l.tags, func(t entityTag) bool {
		return t.opaque == tag && !(strong && t.weak)
	})
}

// conditions are what a request demands of the entry as it is.
type conditions struct {
	match, noneMatch tagList
}

func readConditions(header http.Header) (conditions, *api.Problem) {
	match, problem := readTagList(header, "If-Match")
	if problem != nil {
		return conditions{}, problem
	}
	noneMatch, problem := readTagList(header, "If-None-Match")
	return conditions{match: match, noneMatch: noneMatch}, problem
}

// check decides, in the order of RFC 9110, section 13.2.2, whether a method may act on the entry
// with the given tag, "" for none: http.StatusOK, 304 or 412.
func (c conditions) check(method, tag string) int {
	exists := tag != ""
	if !exists && method != http.MethodPut {
		return http.StatusOK // it would be 404: conditions count only where the answer would be a success
	}
	if c.match.present && !(exists && c.match.holds(tag, true)) {
		return http.StatusPreconditionFailed
	}
	if c.noneMatch.present && exists && c.noneMatch.holds(tag, false) {
		if method == http.MethodGet || method == http.MethodHead {
			return http.StatusNotModified
		}
		return http.StatusPreconditionFailed
	}
	return http.StatusOK
}

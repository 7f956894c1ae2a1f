package kv

import (
	"net/http"
	"testing"
)

func TestConditions(t *testing.T) {
	run := func(method, tag string, match, noneMatch []string, want int) {
		t.Helper()
		header := http.Header{}
		header["If-Match"], header["If-None-Match"] = match, noneMatch
		wanted, problem := readConditions(header)
		got := 400
		if problem == nil {
			got = wanted.check(method, tag)
		}
		if got != want {
			t.Errorf("%s of %s, If-Match %q, If-None-Match %q: %d, want %d", method, tag, match, noneMatch, got, want)
		}
	}
	of := func(lines ...string) []string { return lines }
	const a, b = `"a"`, `"b"`
	// No conditions.
	run("GET", a, nil, nil, 200)
	run("PUT", "", nil, nil, 200)
	// If-Match compares strongly.
	run("PUT", a, of(a), nil, 200)
	run("PUT", a, of(b), nil, 412)
	run("PUT", a, of(`W/"a"`), nil, 412)
	run("PUT", a, of(`"x", "a"`), nil, 200)
	run("PUT", a, of(`"x"`, `"a"`), nil, 200)
	run("PUT", a, of(`,, "x" ,	"a",`), nil, 200)
	run("PUT", a, of("*"), nil, 200)
	run("PUT", a, of(" * "), nil, 200)
	run("PUT", "", of("*"), nil, 412)
	run("PUT", "", of(a), nil, 412)
	run("GET", a, of(b), nil, 412)
	// If-None-Match compares weakly.
	run("GET", a, nil, of(a), 304)
	run("HEAD", a, nil, of(`W/"a"`), 304)
	run("GET", a, nil, of("*"), 304)
	run("GET", a, nil, of(b), 200)
	run("PUT", a, nil, of("*"), 412)
	run("PUT", a, nil, of(`"x", "a"`), 412)
	run("PUT", "", nil, of("*"), 200)
	run("PUT", "", nil, of(a), 200)
	run("DELETE", a, nil, of(a), 412)
	// Both: If-Match first.
	run("GET", a, of(b), of(a), 412)
	run("GET", a, of(a), of(a), 304)
	run("PUT", a, of(a), of(b), 200)
	// Where the answer is not a success anyway, conditions do not count.
	run("GET", "", of(a), of("*"), 200)
	run("DELETE", "", of("*"), nil, 200)
	// Tags may hold commas and blanks are not part of them; what is no list is refused.
	run("GET", `"a,b"`, nil, of(`"x", "a,b"`), 304)
	run("GET", a, nil, of(""), 400)
	run("GET", a, nil, of(","), 400)
	run("GET", a, nil, of("a"), 400)
	run("GET", a, nil, of(`"a`), 400)
	run("GET", a, nil, of(`"a" "b"`), 400)
	run("GET", a, nil, of(`"a",*`), 400)
	run("GET", a, nil, of(`w/"a"`), 400)
	run("GET", a, nil, of(`"a b"`), 400)
}

func FuzzTagList(f *testing.F) {
	f.Add(`"a", W/"b"`)
	f.Add(`*`)
	f.Add(`"a" "`)
	f.Fuzz(func(t *testing.T, line string) {
		list, problem := readTagList(http.Header{"If-Match": {line}}, "If-Match")
		if problem != nil {
			return
		}
		if !list.any && len(list.tags) == 0 {
			t.Fatalf("%q demands nothing", line)
		}
		for _, tag := range list.tags {
			again, problem := readTagList(http.Header{"If-Match": {tag.opaque}}, "If-Match")
			if problem != nil || len(again.tags) != 1 || again.tags[0].opaque != tag.opaque {
				t.Fatalf("%q holds %q, which does not read the same: %v", line, tag.opaque, problem)
			}
		}
	})
}

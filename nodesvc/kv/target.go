package kv

import (
	"net/url"
	"strings"

	"github.com/stead-io/stead/api"
)

const entryPrefix = "/kv/"

// rawPath is the path of a request target as it was sent: no dots resolved, no slashes merged,
// nothing decoded. It is "" for targets that are no path.
func rawPath(target string) string {
	path, _, _ := strings.Cut(target, "?")
	if strings.HasPrefix(path, "/") {
		return path
	}
	_, behind, absolute := strings.Cut(path, "://")
	slash := strings.IndexByte(behind, '/')
	if !absolute || slash < 0 {
		return ""
	}
	return behind[slash:]
}

// readName reads the entry's name from a raw path below /kv/: its one segment, decoded once.
func readName(path string) ([]byte, *api.Problem) {
	segment := strings.TrimPrefix(path, entryPrefix)
	if strings.Contains(segment, "/") {
		return nil, api.NewProblem(api.CodeNotFound, "a name is one segment behind /kv/").
			WithNext("write a slash within a name as %%2F")
	}
	name, err := url.PathUnescape(segment)
	if err != nil {
		return nil, badName("it is not percent-encoded")
	}
	if name == "" || len(name) > NameLengthMax {
		return nil, badName("it is not 1 to %d octets", NameLengthMax)
	}
	return []byte(name), nil
}

func badName(format string, args ...any) *api.Problem {
	return api.NewProblem(api.CodeInvalid, format, args...).InField("name")
}

package httpapi

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stead-io/stead/api"
)

// How long a poll may wait.
const (
	pollWaitDefault = 45 * time.Second
	pollWaitMax     = 5 * time.Minute
)

// pollRing answers GET /v1/ring.
func (s *Server) pollRing(w http.ResponseWriter, r *http.Request) error {
	accepted, problem := parseAccept(r.Header.Get("Accept"))
	if problem != nil {
		return problem
	}
	current := s.fanout.answering(r)
	if current.state == nil {
		return api.NewProblem(api.CodeNoLeader, "the ring is not known here yet")
	}
	after, polling, problem := parseAfter(r, current.state.Version())
	if problem != nil {
		return problem
	}
	if current.trouble != nil && r.URL.Query().Get("consistency") != "stale" {
		return current.trouble
	}
	if !polling {
		if matchesETag(r.Header.Get("If-None-Match"), current.state.Version().ETag()) {
			w.Header().Set("ETag", current.state.Version().ETag())
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
		accepted.delta = false
		return s.writeRing(w, r, current, after, accepted)
	}
	wait, problem := parseWait(r)
	if problem != nil {
		return problem
	}
	news, problem := s.fanout.await(r.Context(), current, after, wait)
	if problem != nil {
		return problem
	}
	if news == nil {
		w.Header().Set("ETag", after.ETag())
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return s.writeRing(w, r, news, after, accepted)
}

// accepted is what a poll takes, best first.
type accepted struct {
	delta bool
	full  string // media type of the full ring; "" if only a delta will do
}

func (s *Server) writeRing(w http.ResponseWriter, r *http.Request, p *published, after api.Version, accepts accepted) error {
	zip := acceptsGzip(r.Header.Get("Accept-Encoding"))
	media := accepts.full
	var sent body
	if accepts.delta && after.Generation == p.state.Version().Generation {
		delta, problem, err := p.encoded(answerKind{media: api.TypeRingDelta, from: after, gzip: zip})
		switch {
		case err != nil:
			return err
		case problem == nil:
			media, sent = api.TypeRingDelta, delta
		case accepts.full == "":
			return problem
		}
	}
	if media == "" {
		problem := api.NewProblem(api.CodeVersionGone, "no delta leads from %s to %s", after, p.state.Version())
		problem.Oldest = p.state.OldestVersion().String()
		return problem
	}
	if sent.octets == nil {
		full, problem, err := p.encoded(answerKind{media: media, gzip: zip})
		if problem != nil {
			return problem
		}
		if err != nil {
			return err
		}
		sent = full
	}
	w.Header().Set("ETag", p.state.Version().ETag())
	w.Header().Set("Vary", "Accept, Accept-Encoding")
	writeEncoded(w, contentType(media), sent)
	return nil
}

func writeEncoded(w http.ResponseWriter, kind string, sent body) {
	header := w.Header()
	header.Set("Content-Type", kind)
	header.Set("Content-Length", strconv.Itoa(len(sent.octets)))
	if sent.gzip {
		header.Set("Content-Encoding", "gzip")
	}
	_, _ = w.Write(sent.octets) // the client may be gone
}

func contentType(media string) string {
	if media == api.TypeJSON {
		return media
	}
	return media + api.TypeVersion
}

// parseAccept reads which forms of the ring the client takes.
func parseAccept(header string) (accepted, *api.Problem) {
	if strings.TrimSpace(header) == "" {
		return accepted{full: api.TypeJSON}, nil
	}
	var takes accepted
	for part := range strings.SplitSeq(header, ",") {
		media, parameters, err := mime.ParseMediaType(part)
		if err != nil || parameters["v"] != "" && parameters["v"] != "1" || parameters["q"] == "0" {
			continue
		}
		switch media {
		case api.TypeRingDelta:
			takes.delta = true
		case api.TypeRing:
			takes.full = api.TypeRing
		case api.TypeJSON, "application/*", "*/*":
			if takes.full == "" {
				takes.full = api.TypeJSON
			}
		}
	}
	if !takes.delta && takes.full == "" {
		return takes, api.NewProblem(api.CodeNotAcceptable, "the ring comes as %s, %s or %s", api.TypeJSON, api.TypeRing, api.TypeRingDelta)
	}
	return takes, nil
}

func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		coding, quality, _ := strings.Cut(strings.TrimSpace(part), ";")
		if coding == "gzip" && strings.ReplaceAll(quality, " ", "") != "q=0" {
			return true
		}
	}
	return false
}

// matchesETag reads If-None-Match (RFC 9110, section 13.1.2): "*", or a list of tags compared weakly.
func matchesETag(header, etag string) bool {
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}

// parseAfter reads ?after=, "<generation>-<number>" or a number of the present generation.
func parseAfter(r *http.Request, current api.Version) (after api.Version, polling bool, problem *api.Problem) {
	query := r.URL.Query()
	if !query.Has("after") {
		return current, false, nil
	}
	after, problem = parseVersion(query.Get("after"), current.Generation)
	if problem != nil {
		return after, false, problem.InField("after")
	}
	return after, true, nil
}

func parseVersion(text string, generation uint64) (api.Version, *api.Problem) {
	if number, err := strconv.ParseUint(text, 10, 53); err == nil {
		return api.Version{Generation: generation, Number: number}, nil
	}
	version, err := api.ParseVersion(text)
	if err != nil {
		return api.Version{}, api.NewProblem(api.CodeInvalid, "%v", err)
	}
	return version, nil
}

func parseWait(r *http.Request) (time.Duration, *api.Problem) {
	text := r.URL.Query().Get("wait")
	if text == "" {
		return pollWaitDefault, nil
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait < 0 || wait > pollWaitMax {
		return 0, api.NewProblem(api.CodeInvalid, "%q is not a duration up to %v", api.Clip(text), pollWaitMax).InField("wait")
	}
	return wait, nil
}

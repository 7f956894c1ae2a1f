package httpapi

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/stead-io/stead/api"
)

// lingerMax and lingerTimeout bound how much of a refused body is read, and for how long.
const (
	lingerMax     = 16 << 20
	lingerTimeout = 5 * time.Second
)

// bodyLimit is what a route's body may have.
func bodyLimit(path string) int64 {
	switch path {
	case snapshotPath:
		return snapshotMax
	case reportPath, slotReportPath:
		return reportMax
	default:
		return bodyMax
	}
}

// boundBody limits how much of a body is read, and refuses one for what it says of its length before
// any of it is.
func boundBody(path string, w http.ResponseWriter, r *http.Request) error {
	limit := bodyLimit(path)
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close") // what is still to come is not waited for
		return api.NewProblem(api.CodeTooLarge, "the body exceeds %d bytes", limit)
	}
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	if path == snapshotPath {
		deadline := time.Now().Add(snapshotTimeout)
		_ = http.NewResponseController(w).SetReadDeadline(deadline) // else it has the server's
	}
	return nil
}

// wholeBody reads a body as far as the endpoint takes one.
func wholeBody(r *http.Request) ([]byte, *api.Problem) {
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, api.NewProblem(api.CodeTooLarge, "the body exceeds %d bytes", tooLarge.Limit)
	case err != nil:
		return nil, api.NewProblem(api.CodeInvalid, "the body ended early")
	}
	return body, nil
}

// linger reads what is left of a body that was answered early, within bounds: who still sends would see
// a reset connection instead of the answer.
func linger(path string, w http.ResponseWriter, body io.Reader) {
	if body == http.NoBody {
		return
	}
	most := int64(lingerMax)
	if path == snapshotPath {
		most = snapshotMax
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(lingerTimeout))
	_, _ = io.CopyN(io.Discard, body, most)
}

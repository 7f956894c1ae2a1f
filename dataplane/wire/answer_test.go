package wire

import "testing"

func TestAnswer(t *testing.T) {
	f := func(text string, wantErr error, status int, length int64) {
		t.Helper()
		var parsed Answer
		err := parsed.Parse([]byte(text))
		if err != wantErr || err == nil && (parsed.Status != status || parsed.Length != length) {
			t.Errorf("%q: %v, status %d, length %d", text, err, parsed.Status, parsed.Length)
		}
	}
	f(request("HTTP/1.1 200 OK", "Content-Length: 5"), nil, 200, 5)
	f(request("HTTP/1.1 200", "Content-Length: 5"), nil, 200, 5)
	f(request("HTTP/1.1 404 Nicht da \xe9", "Transfer-Encoding: chunked"), nil, 404, Chunked)
	f(request("HTTP/1.0 200 OK"), nil, 200, UntilClose)
	f(request("HTTP/1.1 204 No Content"), nil, 204, 0)
	f(request("HTTP/1.1 304 Not Modified", "Content-Length: 5"), nil, 304, 0)
	f(request("HTTP/1.1 103 Early Hints", "Link: x"), nil, 103, 0)
	f(request("HTTP/1.1 200 OK", "Content-Length: 5", "Content-Length: 5"), errLengthTwice, 0, 0)
	f(request("HTTP/1.1 200 OK", "Content-Length: 5", "Transfer-Encoding: chunked"), errCodingLength, 0, 0)
	f(request("HTTP/1.0 200 OK", "Transfer-Encoding: chunked"), errCodingOld, 0, 0)
	f(request("HTTP/1.1 200 OK", "Transfer-Encoding: gzip"), errCodingValue, 0, 0)
	f(request("HTTP/1.1 200 OK", "A: b", " c"), errObsFold, 0, 0)
	f("HTTP/1.1 200 OK\nA: b\n\n", errBareLF, 0, 0)
	f(request("HTTP/2 200 OK"), errStatusLine, 0, 0)
	f(request("HTTP/1.1 20 OK"), errStatusLine, 0, 0)
	f(request("HTTP/1.1 2000 OK"), errStatusLine, 0, 0)
	f(request("HTTP/1.1 999 OK"), errStatusLine, 0, 0)
	f(request("HTTP/1.1 099 OK"), errStatusLine, 0, 0)
	f(request("HTTP/1.1 2x0 OK"), errStatusLine, 0, 0)
	f(request("SSH-2.0-OpenSSH"), errStatusLine, 0, 0)
}

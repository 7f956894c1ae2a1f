package wire

import (
	"bufio"
	"io"
	"net/http/httputil"
	"strings"
	"testing"
)

// read feeds a body in pieces of the given size and returns what it holds, and what follows it.
func read(text string, piece int) (body, rest string, done bool, err error) {
	var chunks Chunks
	var held strings.Builder
	for len(text) > 0 && !chunks.Done() {
		part := []byte(text[:min(piece, len(text))])
		n, octets, err := chunks.Next(part)
		if err != nil {
			return held.String(), text, false, err
		}
		held.Write(octets)
		text = text[n:]
	}
	return held.String(), text, chunks.Done(), nil
}

func TestChunks(t *testing.T) {
	f := func(text, wantBody, wantRest string, wantDone bool, wantErr error) {
		t.Helper()
		for _, piece := range []int{1, 2, 3, 7, 1 << 20} {
			body, rest, done, err := read(text, piece)
			if err != wantErr || err == nil && (body != wantBody || done != wantDone || done && rest != wantRest) {
				t.Errorf("%q in pieces of %d: body %q, rest %q, done %v, %v", text, piece, body, rest, done, err)
			}
		}
	}
	f("0\r\n\r\n", "", "", true, nil)
	f("5\r\nhello\r\n0\r\n\r\nGET", "hello", "GET", true, nil)
	f("5\r\nhello\r\nA\r\n, world!!!\r\n00\r\n\r\n", "hello, world!!!", "", true, nil)
	f("5;a=b\r\nhello\r\n0;x=\"y z\"\r\n\r\n", "hello", "", true, nil)
	f("5;a=\"b;\\\"\\\\\";c\r\nhello\r\n0;\"\"\r\n\r\n", "hello", "", true, nil)
	f("5\r\nhello\r\n0\r\nDigest: x\r\nB:\r\n\r\n", "hello", "", true, nil)
	f("5\r\nhello\r\n0\r\n", "hello", "", false, nil)
	f("5\r\nhel", "hel", "", false, nil)

	f("\r\n", "", "", false, errChunkSize)
	f(" 5\r\nhello\r\n", "", "", false, errChunkSize)
	f("5 \r\nhello\r\n", "", "", false, errChunkSize)
	f("0x5\r\nhello\r\n", "", "", false, errChunkSize)
	f("+5\r\nhello\r\n", "", "", false, errChunkSize)
	f("-5\r\nhello\r\n", "", "", false, errChunkSize)
	f("5\nhello\n", "", "", false, errChunkSize)
	f("5\r\r\nhello", "", "", false, errChunkSize)
	f("ffffffffffffffff\r\n", "", "", false, errChunkSize)
	f(strings.Repeat("0", 16)+"\r\n", "", "", false, errChunkSize)
	f("5;a\nhello", "", "", false, errChunkExtension)
	f("5;a\x00\r\nhello", "", "", false, errChunkExtension)
	f("5;a=\"b\r\nhello\r\n", "", "", false, errChunkExtension)
	f("5;a=\"b\\\"\r\nhello\r\n", "", "", false, errChunkExtension)
	f("5;a=\"b\n\"\r\nhello\r\n", "", "", false, errChunkExtension)
	f("5;"+strings.Repeat("a", 300)+"\r\n", "", "", false, errChunkExtension)
	f("5\r\nhello\n", "", "", false, errChunkEnd)
	f("5\r\nhello!\r\n", "", "", false, errChunkEnd)
	f("5\r\nhello\rx", "", "", false, errChunkEnd)
	f("0\r\n\n", "", "", false, errTrailer)
	f("0\r\nA b: c\r\n\r\n", "", "", false, errTrailer)
	f("0\r\nA: b\n\r\n", "", "", false, errTrailer)
	f("0\r\nA: b\r\n c\r\n\r\n", "", "", false, errTrailer)
	f("0\r\n:\r\n\r\n", "", "", false, errTrailer)
	f("0\r\nA: "+strings.Repeat("b", trailersMax)+"\r\n\r\n", "", "", false, errTrailersSize)
}

// FuzzChunks: however a body is cut it reads the same, and what reads here net/http reads alike.
func FuzzChunks(f *testing.F) {
	f.Add("5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n", 3)
	f.Add("a\r\n0123456789\r\n0\r\n\r\nmore", 1)
	f.Fuzz(func(t *testing.T, text string, piece int) {
		if piece < 1 {
			piece = 1
		}
		body, rest, done, err := read(text, 1<<30)
		cutBody, cutRest, cutDone, cutErr := read(text, piece)
		if body != cutBody || done != cutDone || err != cutErr || done && rest != cutRest {
			t.Fatalf("%q reads %q %v %v, in pieces of %d %q %v %v", text, body, done, err, piece, cutBody, cutDone, cutErr)
		}
		if !done {
			return
		}
		theirs, err := io.ReadAll(httputil.NewChunkedReader(bufio.NewReader(strings.NewReader(text))))
		if err != nil || string(theirs) != body {
			t.Fatalf("%q reads %q here, %q (%v) in net/http", text, body, theirs, err)
		}
	})
}

package sidecar

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stead-io/stead/api"
)

// before opens a registered sidecar before a service.
func before(t *testing.T, service http.HandlerFunc) *Sidecar {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != HealthPathDefault {
			service(w, r)
		}
	}))
	t.Cleanup(upstream.Close)
	control := newFakeControl()
	sidecar := openSidecar(t, testConfig(control, strings.TrimPrefix(upstream.URL, "http://")))
	control.await(t, "beat")
	return sidecar
}

// The service sees the request as the client sent it.
func TestRequestPassesUnchanged(t *testing.T) {
	var seen *http.Request
	sidecar := before(t, func(_ http.ResponseWriter, r *http.Request) { seen = r })
	run := func(target string, header ...string) *http.Request {
		t.Helper()
		connection, err := net.Dial("tcp", sidecar.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		head := "GET " + target + " HTTP/1.1\r\nHost: shop.example\r\nStead-Key: acme\r\n" + strings.Join(append(header, ""), "\r\n")
		if _, err := io.WriteString(connection, head+"\r\n"); err != nil {
			t.Fatal(err)
		}
		got, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = got.Body.Close()
		if got.StatusCode != 200 || seen.RequestURI != target || seen.Host != "shop.example" {
			t.Errorf("%s: %s, arrived as %s at %s", target, got.Status, seen.RequestURI, seen.Host)
		}
		return seen
	}
	for _, target := range []string{
		"/", "/a", "/a/", "//a//b", "/a/../b/./c", "/a%2Fb%2fc", "/%41", "/a;b;c?d;e", "/a?", "/a?x=%zz&y", "/a|b^c\"", "/\xc3\xbc",
	} {
		run(target)
	}
	plain := run("/a")
	want := []string{"Stead-Key"}
	var names []string
	for name := range plain.Header {
		names = append(names, name)
	}
	if slices.Sort(names); !slices.Equal(names, want) {
		t.Errorf("the service sees headers %v, sent were %v", names, want)
	}
	rich := run("/a", "Stead-Slot: "+slotOf(t, sidecar), "Stead-Epoch: 5", "X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1",
		"Accept-Encoding: zstd", "User-Agent: test", "Connection: X-Hop", "X-Hop: 1")
	for name, value := range map[string]string{
		"Stead-Epoch": "5", "X-Forwarded-For": "192.0.2.1", "Forwarded": "for=192.0.2.1", "Accept-Encoding": "zstd",
		"User-Agent": "test", "X-Hop": "", "X-Forwarded-Proto": "",
	} {
		if got := rich.Header.Get(name); got != value {
			t.Errorf("the service sees %s: %q, want %q", name, got, value)
		}
	}
}

func slotOf(t *testing.T, sidecar *Sidecar) string {
	t.Helper()
	return fmt.Sprint(sidecar.node.View().Slot([]byte("acme")))
}

// What the service says comes out, but for the headers that are the ring's.
func TestAnswerPassesUnchanged(t *testing.T) {
	sidecar := before(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Stead-Epoch", "99")
		w.Header().Set("Stead-Owner", "mallory")
		w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
		w.Header().Set("Trailer", "X-Sum")
		if r.URL.Path == "/421" {
			w.WriteHeader(http.StatusMisdirectedRequest)
		}
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Sum", "7")
	})
	got := get(t, sidecar.Addr(), "/")
	if got.status != 200 || got.body != "body" || got.header.Get("Stead-Epoch") != "5" || got.header.Get("Stead-Owner") != "" ||
		len(got.header["Set-Cookie"]) != 2 {
		t.Errorf("%+v", got)
	}
	if own := get(t, sidecar.Addr(), "/421"); own.status != 421 || own.header.Get("Stead-Epoch") != "" {
		t.Errorf("the service's own 421: %+v", own)
	}
}

// TestNoTypeIsGuessed: an answer without a Content-Type has none behind the sidecar, whatever its body looks like and
// however soon that comes; nor has one behind an interim answer.
func TestNoTypeIsGuessed(t *testing.T) {
	sidecar := before(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		if r.URL.Path == "/interim" {
			_, _ = io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\n\r\n")
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n<html>")
		_ = conn.Close()
	})
	for range 50 { // the head goes out before the body, or with it
		for _, path := range []string{"/", "/interim"} {
			if got := get(t, sidecar.Addr(), path); got.status != 200 || got.body != "<html>" || got.header["Content-Type"] != nil {
				t.Fatalf("%s: %+v", path, got)
			}
		}
	}
}

func TestBodiesStream(t *testing.T) {
	sidecar := before(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		lines := bufio.NewReader(r.Body)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = io.WriteString(w, "echo "+line)
			_ = http.NewResponseController(w).Flush()
		}
	})
	body, client := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+sidecar.Addr()+"/", body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set(api.HeaderKey, "acme")
	transport := &http.Transport{DisableKeepAlives: true}
	go func() { _, _ = io.WriteString(client, "one\n") }()
	got, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	answers := bufio.NewReader(got.Body)
	expect := func(want string) {
		t.Helper()
		if line, err := answers.ReadString('\n'); line != want {
			t.Errorf("%q, %v, want %q", line, err, want)
		}
	}
	expect("echo one\n")
	_, _ = io.WriteString(client, "two\n")
	expect("echo two\n")
	_ = client.Close()
	if rest, err := io.ReadAll(answers); len(rest) > 0 || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
}

// Half an answer is never passed off as a whole one.
func TestServiceThatBreaksOff(t *testing.T) {
	sidecar := before(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/half" {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
		}
		panic(http.ErrAbortHandler)
	})
	if got, err := try(http.MethodGet, sidecar.Addr(), "/half", nil); err == nil {
		t.Errorf("half an answer: %+v", got)
	}
	got := get(t, sidecar.Addr(), "/nothing")
	if got.status != 502 || !strings.Contains(got.body, string(api.CodeOwnerFailed)) || got.header.Get("Retry-After") != "" {
		t.Errorf("no answer: %+v", got)
	}
}

// Half a request is never passed off as a whole one.
func TestClientThatBreaksOff(t *testing.T) {
	read := make(chan error, 1)
	sidecar := before(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		read <- err
	})
	connection, err := net.Dial("tcp", sidecar.Addr())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(connection, "POST / HTTP/1.1\r\nHost: x\r\nStead-Key: acme\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
	_ = connection.Close()
	if err := <-read; err == nil {
		t.Error("the service read half a body to its end")
	}
}

func TestGuardStandsBeforeTheService(t *testing.T) {
	var asked atomic.Int32
	sidecar := before(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	got := get(t, sidecar.Addr(), "/a", "Stead-Slot: 1000")
	if got.status != 400 || !strings.Contains(got.body, string(api.CodeBadKey)) || asked.Load() != 0 {
		t.Errorf("%+v, the service was asked %d times", got, asked.Load())
	}
}

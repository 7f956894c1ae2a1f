//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/tests/authority"
	"github.com/stead-io/stead/tests/cluster"
)

// clientOfHTTP2 asks in HTTP/2 alone, over one connection as long as that takes requests. It believes anybody: who a
// certificate names is looked at by the test.
func clientOfHTTP2(t *testing.T) *http.Client {
	via := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Protocols: new(http.Protocols)}
	via.Protocols.SetHTTP2(true)
	t.Cleanup(via.CloseIdleConnections)
	return &http.Client{Transport: via, Timeout: cluster.Patience}
}

// loadOfHTTP2 is load by clients that each have many requests under way on a connection; a request that fails is an error.
type loadOfHTTP2 struct {
	stop   context.CancelFunc
	all    sync.WaitGroup
	served atomic.Int64
}

func startHTTP2(t *testing.T, proxy string) *loadOfHTTP2 {
	const clients, atATime = 3, 8
	ctx, stop := context.WithCancel(t.Context())
	l := &loadOfHTTP2{stop: stop}
	t.Cleanup(l.end)
	for client := range clients {
		via := clientOfHTTP2(t)
		for turn := range atATime {
			target := "https://" + proxy + "/kv/" + fmt.Sprint("h2-", client, "-", turn)
			l.all.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					if err := storeAndFetch(ctx, via, target, strings.Repeat(fmt.Sprint(i), 1+i%2*20_000)); err != nil && ctx.Err() == nil {
						t.Errorf("client %d: %v", client, err)
						return
					}
					l.served.Add(2)
				}
			})
		}
	}
	return l
}

// storeAndFetch writes a value and reads it again.
func storeAndFetch(ctx context.Context, via *http.Client, target, value string) error {
	put, _ := http.NewRequestWithContext(ctx, http.MethodPut, target, strings.NewReader(value))
	if _, err := answerInHTTP2(via, put); err != nil {
		return err
	}
	get, _ := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	got, err := answerInHTTP2(via, get)
	if err == nil && got != value {
		err = fmt.Errorf("%s is %.20q, not %.20q", target, got, value)
	}
	return err
}

// answerInHTTP2 is the body of an answer; any status but 2xx is an error.
func answerInHTTP2(via *http.Client, request *http.Request) (string, error) {
	response, err := via.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && (response.ProtoMajor != 2 || response.StatusCode/100 != 2) {
		err = fmt.Errorf("%s %s: %s %s %.200q", request.Method, request.URL, response.Proto, response.Status, body)
	}
	return string(body), err
}

// more waits for further requests to be served.
func (l *loadOfHTTP2) more(c *cluster.Cluster, count int64) {
	want := l.served.Load() + count
	c.Await("requests in HTTP/2", func(context.Context) bool { return l.served.Load() >= want })
}

func (l *loadOfHTTP2) end() {
	l.stop()
	l.all.Wait()
}

// shownAt is who the proxy's certificate names.
func shownAt(t *testing.T, proxy string) string {
	t.Helper()
	conn, err := tls.Dial("tcp", proxy, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// TestHandOverHTTP2: neither a hand-over nor another certificate costs a request in HTTP/2, nor one that lasts longer than the
// process that it began in serves. A certificate that cannot be read is not shown, and a process that cannot read it takes nothing over.
func TestHandOverHTTP2(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Members: 1, Nodes: 1, ControlArgs: soon})
	ca, file := authority.New(t), filepath.Join(t.TempDir(), "proxy.conf")
	configure := func(files transport.Files) {
		t.Helper()
		if err := os.WriteFile(file, []byte("client-tls-cert = "+files.Cert+"\nclient-tls-key = "+files.Key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	configure(ca.Files(transport.RoleProxy, "first"))
	s := startSuccession(t, c, "--config", file)
	proxy := c.ProxyAddrs[0]
	load := startHTTP2(t, proxy)
	load.more(c, 100)

	configure(ca.Files(transport.RoleProxy, "second"))
	s.signal(syscall.SIGHUP)
	c.Await("the other certificate", func(context.Context) bool { return shownAt(t, proxy) == "second" })
	load.more(c, 100)

	for range 3 {
		before := s.pid
		finish := beginUpload(t, proxy)
		s.signal(syscall.SIGUSR2)
		c.Await("another process to serve", func(context.Context) bool { return s.serving(t) != before })
		load.more(c, 100)
		finish()
		s.awaitSuccessor(t)
		load.more(c, 100)
	}

	bad := ca.Files(transport.RoleProxy, "bad")
	if err := os.WriteFile(bad.Key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	configure(bad)
	s.signal(syscall.SIGHUP)
	c.Await("the refusal", func(context.Context) bool { return configurationAt(t, c.AdminAddrs[0]).Refused != "" })
	load.more(c, 100)
	s.signal(syscall.SIGUSR2)
	s.awaitSaid(1, saidNobody)
	load.more(c, 100)
	if got := shownAt(t, proxy); got != "second" || s.serving(t) != s.pid {
		t.Errorf("shown is %q by process %d, which should be %d", got, s.serving(t), s.pid)
	}
	load.end()
}

// beginUpload begins a write, a part of which has come when it returns; finish sends the rest and awaits the answer.
func beginUpload(t *testing.T, proxy string) (finish func()) {
	t.Helper()
	const part = 100 << 10 // more than is read before the node is asked
	body, feed := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "https://"+proxy+"/kv/long", body)
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := answerInHTTP2(clientOfHTTP2(t), request)
		_ = body.CloseWithError(errors.Join(io.ErrClosedPipe, err))
		answered <- err
	}()
	write := func() {
		if _, err := feed.Write(make([]byte, part)); err != nil {
			t.Errorf("the write that lasts longer: %v", err)
		}
	}
	write()
	return func() {
		write()
		_ = feed.Close()
		if err := <-answered; err != nil {
			t.Errorf("the write that lasts longer: %v", err)
		}
	}
}

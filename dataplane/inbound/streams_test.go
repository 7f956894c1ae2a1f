package inbound

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// patience bounds every wait of a test.
const patience = 10 * time.Second

// agreeable answers every request alike.
type agreeable struct{}

func (agreeable) Serve(c *Conn)      { _ = c.Send([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) }
func (agreeable) Refuse(c *Conn)     { agreeable{}.Serve(c) }
func (agreeable) Admit(c *Conn) bool { return true }

// TestHostsGo: settings that are replaced are forgotten with the last connection in HTTP/2 that began under them.
func TestHostsGo(t *testing.T) {
	config := Config{
		HeadMax: 4 << 10, BodyMax: 1 << 20, HeadTimeout: time.Minute, IdleTimeout: time.Hour, StreamTimeout: time.Minute,
		Connections: 100, Handler: agreeable{}, Logger: slog.New(slog.DiscardHandler),
	}
	server, dial := serveTLS(t, config)
	hosts := func() int {
		server.mu.Lock()
		defer server.mu.Unlock()
		return len(server.multiplexed.hosts)
	}
	// leaves has a client leave, as soon as its request is over for it, and waits for so many hosts.
	leaves := func(client caller, want int) {
		t.Helper()
		for deadline := time.Now().Add(patience); server.Clients() > want-1 || hosts() != want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("there are %d hosts, want %d", hosts(), want)
			}
			client.via.CloseIdleConnections()
		}
	}
	first := dial()
	first.ask(t)
	for range 10 {
		config.IdleTimeout += time.Minute
		server.Reload(config)
		later := dial()
		later.ask(t)
		leaves(later, 2) // that of the first connection, and that of the settings in force
	}
	first.ask(t)
	leaves(first, 1)
}

// caller is a client with a connection in HTTP/2 of its own.
type caller struct {
	to  string
	via *http.Transport
}

// serveTLS serves in TLS until the test ends.
func serveTLS(t *testing.T, config Config) (server *Server, dial func() caller) {
	t.Helper()
	shown := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	shown.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server = Serve(tls.NewListener(listener, &tls.Config{Certificates: shown.TLS.Certificates, NextProtos: []string{"h2"}}), config)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := server.Drain(ctx); err != nil {
			t.Error(err)
		}
	})
	return server, func() caller {
		via := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Protocols: new(http.Protocols)}
		via.Protocols.SetHTTP2(true)
		return caller{to: "https://" + listener.Addr().String() + "/", via: via}
	}
}

func (c caller) ask(t *testing.T) {
	t.Helper()
	response, err := (&http.Client{Transport: c.via, Timeout: patience}).Get(c.to)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil || response.ProtoMajor != 2 || string(body) != "ok" {
		t.Errorf("answered %s %q: %v", response.Proto, body, err)
	}
}

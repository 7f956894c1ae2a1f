package inbound

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"
)

// TestTurnedAwayInTLS: clients over the limit that do not shake hands hold up nobody who comes behind them.
func TestTurnedAwayInTLS(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := Serve(tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{{}}}), Config{
		HeadMax: 4 << 10, HeadTimeout: time.Minute, IdleTimeout: time.Minute, StreamTimeout: time.Minute,
		Connections: 1, Logger: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = server.Drain(ctx)
	})
	const clients = 20
	var last net.Conn
	for range 1 + clients {
		if last, err = net.Dial("tcp", listener.Addr().String()); err != nil {
			t.Fatal(err)
		}
		defer func(conn net.Conn) { _ = conn.Close() }(last)
	}
	_ = last.SetReadDeadline(time.Now().Add(clients * acceptPauseMax / 2))
	if _, err := last.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the last one waits: %v", err)
	}
	if turned := server.TurnedAway.Load(); turned != clients {
		t.Errorf("%d were turned away", turned)
	}
}

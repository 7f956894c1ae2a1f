// Command sqlite is a Stead service that keeps one SQLite database for each sharding key: see README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc"
)

// stopMax is how long the node may take to hand its slots over and end.
const stopMax = 30 * time.Second

func main() {
	config := nodesvc.NewConfig()
	id := flag.String("id", "", "name of the node for ever")
	listen := flag.String("listen", "127.0.0.1:7500", "address for requests")
	control := flag.String("control", "127.0.0.1:7400", "control-plane members, separated by commas")
	flag.StringVar(&config.DataDir, "data-dir", "", "folder for what the node keeps")
	flag.Parse()
	config.ID, config.Control = api.NodeID(*id), strings.Split(*control, ",")
	config.Logger = slog.Default()
	if err := serve(config, *listen); err != nil {
		fmt.Fprintln(os.Stderr, "sqlite:", err)
		os.Exit(1)
	}
}

// serve runs the node until it fails or is told to stop.
func serve(config nodesvc.Config, listen string) error {
	listener, err := config.Security.Listen(listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	store, err := openStore(filepath.Join(config.DataDir, "databases"))
	if err != nil {
		return err
	}
	defer store.Close()
	config.Advertise, config.Service = listener.Addr().String(), store
	node, err := nodesvc.Open(config)
	if err != nil {
		return err
	}
	server := nodesvc.NewServer(node.Guard(&service{node, store}), config.Logger)
	go func() { _ = server.Serve(listener) }() // until Shutdown

	signals, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	select {
	case <-signals.Done():
	case <-node.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopMax)
	defer cancel()
	left := node.Leave(ctx) // hands the slots over, while requests still come
	return errors.Join(left, server.Shutdown(ctx), node.Close(ctx))
}

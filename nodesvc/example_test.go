package nodesvc_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"

	"github.com/stead-io/stead/nodesvc"
)

// A service that greets by sharding key, as a node of the ring.
func Example() {
	config := nodesvc.NewConfig()
	listener, err := config.Security.Listen("127.0.0.1:0") // in TLS, where Security has it
	if err != nil {
		log.Fatal(err)
	}
	config.ID = "greeter-1"
	config.Advertise = listener.Addr().String()
	config.Control = []string{"127.0.0.1:7400"}
	node, err := nodesvc.Open(config)
	if err != nil {
		log.Fatal(err)
	}
	greet := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "Hello, %s!\n", nodesvc.KeyOf(r.Context()))
	})
	server := nodesvc.NewServer(node.Guard(greet), slog.Default())
	go func() { _ = server.Serve(listener) }()

	<-node.Done() // or a signal to stop
	_ = node.Close(context.Background())
	_ = server.Close()
}

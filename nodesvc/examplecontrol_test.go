package nodesvc_test

import (
	"context"
	"io"
	"log"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane"
)

// exampleControl is a control plane of one member, for the example.
type exampleControl struct {
	address string
	stop    func()
}

func startControl() exampleControl {
	folder, err := os.MkdirTemp("", "stead-example-")
	if err != nil {
		log.Fatal(err)
	}
	config := controlplane.NewConfig()
	config.Listen, config.RaftListen, config.DataDir = "127.0.0.1:0", "127.0.0.1:0", folder
	config.PlanDelay = 10 * time.Millisecond
	config.Logger = slog.New(slog.DiscardHandler)
	member, err := controlplane.Open(config)
	if err != nil {
		log.Fatal(err)
	}
	return exampleControl{member.APIAddr(), func() {
		_ = member.Close(context.Background())
		_ = os.RemoveAll(folder)
	}}
}

// visitAs visits with a key, as a proxy would, until the node has its slots.
func visitAs(key, address string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address, nil)
		if err != nil {
			log.Fatal(err)
		}
		request.Header.Set(api.HeaderKey, key)
		answer, err := transport.RoundTrip(request)
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return string(body)
		}
		<-retry.C
	}
}

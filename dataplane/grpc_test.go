package dataplane

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/stead-io/stead/api"
)

// message is what the tests' services take and give: the health service's has one text.
type message = healthpb.HealthCheckRequest

// startGRPC starts a gRPC server with the health service, and one with streams both ways. A token is given for each
// call of the latter that its client gave up.
func startGRPC(t *testing.T) (address string, givenUp <-chan struct{}) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{}, 1)
	server := grpc.NewServer()
	healthpb.RegisterHealthServer(server, health.NewServer())
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "tests.Talk", HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{
			{StreamName: "Echo", ServerStreams: true, ClientStreams: true, Handler: func(_ any, stream grpc.ServerStream) error { return echo(stream) }},
			{StreamName: "Wait", ServerStreams: true, ClientStreams: true, Handler: func(_ any, stream grpc.ServerStream) error {
				_ = stream.SendHeader(nil)
				<-stream.Context().Done()
				gone <- struct{}{}
				return stream.Context().Err()
			}},
		},
	}, nil)
	serving := make(chan error, 1)
	go func() { serving <- server.Serve(listener) }()
	t.Cleanup(func() { server.Stop(); <-serving })
	return listener.Addr().String(), gone
}

// echo answers each message, and says at the end how many there were.
func echo(stream grpc.ServerStream) error {
	told, _ := metadata.FromIncomingContext(stream.Context())
	_ = stream.SetHeader(metadata.Pairs("x-told", strings.Join(told.Get("stead-key"), ",")))
	for n := 0; ; n++ {
		var heard message
		err := stream.RecvMsg(&heard)
		if err == io.EOF {
			stream.SetTrailer(metadata.Pairs("x-count", fmt.Sprint(n)))
			return status.Error(codes.DataLoss, "no more / 100% sure")
		}
		if err != nil {
			return err
		}
		if err := stream.SendMsg(&message{Service: "heard " + heard.Service}); err != nil {
			return err
		}
	}
}

// TestGRPC: calls of each kind, from a client over TLS to a node that is spoken to in HTTP/2.
func TestGRPC(t *testing.T) {
	address, givenUp := startGRPC(t)
	shown := newShown(t)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", api.SchemeH2C+address)), shown.security(t))
	client, err := grpc.NewClient("passthrough:"+proxy.Addr(), grpc.WithTransportCredentials(credentials.NewTLS(shown.config())), grpc.WithAuthority("h"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "x-shard-key", "k"), patience)
	defer cancel()

	checks := healthpb.NewHealthClient(client)
	answer, err := checks.Check(ctx, &message{})
	if err != nil || answer.Status != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("a call is answered %v, %v", answer, err)
	}
	if _, err = checks.Check(ctx, &message{Service: "none"}); status.Code(err) != codes.NotFound {
		t.Errorf("an error of the service arrives as %v", err)
	}
	if _, err = checks.Check(t.Context(), &message{}); status.Code(err) != codes.Internal {
		t.Errorf("a call without a key fails with %v", err) // what gRPC makes of 400
	}

	talk, err := client.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/tests.Talk/Echo")
	if err != nil {
		t.Fatal(err)
	}
	for _, said := range []string{"", "a", strings.Repeat("long ", 100_000)} {
		var heard message
		if err := talk.SendMsg(&message{Service: said}); err != nil {
			t.Fatal(err)
		}
		if err := talk.RecvMsg(&heard); err != nil || heard.Service != "heard "+said {
			t.Fatalf("%.20q is answered %.20q, %v", said, heard.Service, err)
		}
	}
	if head, err := talk.Header(); err != nil || fmt.Sprint(head.Get("x-told")) != "[k]" {
		t.Errorf("the node was told %v, %v", head, err)
	}
	_ = talk.CloseSend()
	err = talk.RecvMsg(new(message))
	if status.Code(err) != codes.DataLoss || status.Convert(err).Message() != "no more / 100% sure" || fmt.Sprint(talk.Trailer().Get("x-count")) != "[3]" {
		t.Errorf("the call ended with %v, %v", err, talk.Trailer())
	}

	waiting, giveUp := context.WithCancel(ctx)
	wait, err := client.NewStream(waiting, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/tests.Talk/Wait")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wait.Header(); err != nil {
		t.Error(err)
	}
	giveUp()
	<-givenUp
	if got := proxy.nodes.Stats.Connects.Load(); got != 1 {
		t.Errorf("the proxy connected %d times", got)
	}
}

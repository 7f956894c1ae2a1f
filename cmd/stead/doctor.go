package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api/client"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/cmd/stead/doctor"
)

func doctorCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong with a cluster, and say what to do",
		Long: `Look for what is wrong with a cluster, and say what to do: members, quorum, clocks, log, levels, builds,
disks, ports, ring, nodes, proxies, alarms, history. Every process is asked, from this machine; nothing is
changed. A control plane that is half down is looked at as far as it answers.

Exit codes: 0 all is well, 1 something should be looked at, 2 requests fail or nothing can change.`,
		Args: cobra.NoArgs,
	}
	o := newOperator(command)
	command.RunE = o.with(func(s *session, _ []string) error { return o.examine(s) })
	return command
}

// examination is what `stead doctor -o json` prints.
type examination struct {
	Level    doctor.Level     `json:"level"` // of the worst finding
	Findings []doctor.Finding `json:"findings"`
}

func (o *operator) examine(s *session) error {
	warnings := slog.New(slog.NewTextHandler(s.command.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	loaded, err := o.tls.load(warnings, true)
	if err != nil {
		return err
	}
	config := doctor.Config{
		Ask:     func(address string) (doctor.Asker, error) { return o.connect(s.command, address) },
		Metrics: metricsOver(transport.Security{TLS: loaded}),
		// Whether a port can be reached needs no certificate.
		Dial: func(ctx context.Context, address string) (net.Conn, error) {
			return transport.Security{}.Dial(ctx, address, transport.Identity{})
		},
	}
	for _, member := range o.control {
		base, err := client.BaseURL(member, o.tls.scheme())
		if err != nil {
			return usageError{err}
		}
		config.Members = append(config.Members, base)
	}
	findings := doctor.Examine(doctor.Gather(client.WithConsistency(s.command.Context(), "stale"), config))
	worst := doctor.Worst(findings)
	err = s.print(examination{worst, findings}, func(t *table) {
		for _, finding := range findings {
			t.add(finding.Level, finding.Check, describeFinding(finding))
		}
	})
	if err == nil && worst > doctor.OK {
		err = outcome(worst)
	}
	return err
}

// metricsMax bounds, in bytes, what is read of a process's metrics.
const metricsMax = 4 << 20

// metricsOver reads what proxies and nodes export.
func metricsOver(security transport.Security) func(context.Context, transport.Identity, string) ([]byte, error) {
	return func(ctx context.Context, who transport.Identity, address string) ([]byte, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, security.Scheme()+"://"+address+"/metrics", nil)
		if err != nil {
			return nil, err
		}
		via := security.Transport(who)
		defer via.CloseIdleConnections()
		answer, err := via.RoundTrip(request)
		if err != nil {
			return nil, err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%v answered %s", who, answer.Status)
		}
		return io.ReadAll(io.LimitReader(answer.Body, metricsMax))
	}
}

func describeFinding(finding doctor.Finding) string {
	if finding.Do == "" {
		return finding.What
	}
	return fmt.Sprintf("%s (%s)", finding.What, finding.Do)
}

var _ doctor.Asker = (*client.Client)(nil)

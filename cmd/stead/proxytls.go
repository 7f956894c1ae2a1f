package main

import (
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api/durable"
	"github.com/stead-io/stead/api/transport"
)

// clientTLSFlags say what a proxy shows its clients.
type clientTLSFlags struct {
	cert, key string
	loaded    *transport.Certificate // nil: clients come in the clear
}

func (f *clientTLSFlags) add(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&f.cert, "client-tls-cert", "", "`file` of the certificate that clients are shown, with its chain, in PEM: --listen speaks TLS then, HTTP/2 and HTTP/1.1")
	flags.StringVar(&f.key, "client-tls-key", "", "`file` of that certificate's key; replaced files are read anew")
}

// check reports flags that do not go together.
func (f *clientTLSFlags) check(insecure bool) error {
	switch {
	case (f.cert == "") != (f.key == ""):
		return usage("--client-tls-cert and --client-tls-key go together")
	case f.cert != "" && insecure:
		return usage("--insecure-clients means without TLS; leave it, or the --client-tls flags, out")
	}
	return nil
}

// load reads the files, if there are any.
func (f *clientTLSFlags) load(logger *slog.Logger) (err error) {
	if f.cert == "" {
		return nil
	}
	if f.loaded, err = transport.LoadCertificate(f.cert, f.key, logger); err != nil {
		return usageError{err}
	}
	return nil
}

// reread reads the files that the flags name now; nil if there are none. Whether there is TLS at all is settled when
// the proxy starts.
func (f *clientTLSFlags) reread(logger *slog.Logger) (*transport.Certificate, error) {
	switch {
	case (f.loaded == nil) != (f.cert == ""):
		return nil, usage("--client-tls-cert comes and goes only when the proxy is started anew")
	case f.loaded == nil:
		return nil, nil
	}
	if err := durable.CheckRegular(f.cert, f.key); err != nil {
		return nil, fmt.Errorf("cannot load the certificate: %w", err)
	}
	return transport.LoadCertificate(f.cert, f.key, logger)
}

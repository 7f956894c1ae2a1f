package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/stead-io/stead/api/durable"
	"github.com/stead-io/stead/api/transport"
)

// tokenVariable holds an operator's token: a command line can be seen by everybody on the machine.
const tokenVariable = environmentPrefix + "TOKEN"

// tokenMax bounds what is taken for a token, in bytes.
const tokenMax = 4 << 10

// tlsFlags are what every command shares that connects or listens.
type tlsFlags struct{ files transport.Files }

func (f *tlsFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.files.Cert, "tls-cert", "", "`file` of this process's certificate, in PEM; replaced files are read anew")
	flags.StringVar(&f.files.Key, "tls-key", "", "`file` of the certificate's key")
	flags.StringVar(&f.files.CA, "tls-ca", "", "`file` of the CA that all certificates of the cluster come from")
}

// load reads the files, if there are any. Clients may have the CA alone.
func (f *tlsFlags) load(logger *slog.Logger, caAlone bool) (*transport.TLS, error) {
	files := f.files
	switch {
	case files == (transport.Files{}):
		return nil, nil
	case files.CA == "" || (files.Cert == "") != (files.Key == "") || files.Cert == "" && !caAlone:
		return nil, usage("--tls-cert, --tls-key and --tls-ca go together")
	}
	loaded, err := transport.LoadTLS(files, logger)
	if err != nil {
		return nil, usageError{err}
	}
	return loaded, nil
}

// readToken reads a file that holds one token and nothing else; nil if no file is named. A replaced
// file is read anew.
func readToken(path string, logger *slog.Logger) (func() string, error) {
	if path == "" {
		return nil, nil
	}
	read := func() (*string, error) {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("cannot read the token: %w", err)
		}
		token := strings.TrimSpace(string(content))
		if err := checkToken(token); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return &token, nil
	}
	loaded, err := durable.Reload([]string{path}, read, func(err error) {
		if err != nil {
			logger.Warn("the replaced token is not used", "error", err)
			return
		}
		logger.Info("the token was replaced")
	})
	if err != nil {
		return nil, usageError{err}
	}
	return func() string { return *loaded.Get() }, nil
}

// checkToken refuses what cannot be a token, without quoting it.
func checkToken(token string) error {
	switch {
	case token == "":
		return errors.New("there is no token")
	case len(token) > tokenMax || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }):
		return errors.New("it is not one token of visible characters")
	}
	return nil
}

package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/stead-io/stead/api/durable"
)

// Files name a certificate, its key and the CA that all of a cluster's certificates come from, each in
// PEM. A client that shows a token instead of a certificate has the CA alone.
type Files struct{ Cert, Key, CA string }

// TLS is who this process is and whom it believes. Its files may be replaced at any time: connections
// made from then on use the new ones, those that stand go on.
type TLS struct{ loaded *durable.Reloaded[material] }

// material is what one reading of the files gave.
type material struct {
	certificate *tls.Certificate // nil: there is none
	identity    Identity         // of the certificate
	authorities *x509.CertPool
}

// LoadTLS reads the files. The logger hears when they were replaced, and when that was in vain.
func LoadTLS(files Files, logger *slog.Logger) (*TLS, error) {
	var own Identity
	read := func() (*material, error) {
		fresh, err := readMaterial(files)
		if err == nil && own != (Identity{}) && fresh.identity != own {
			return nil, fmt.Errorf("the certificate is now that of %s, not of %s", fresh.identity, own)
		}
		return fresh, err
	}
	paths := []string{files.CA}
	if files.Cert != "" || files.Key != "" {
		paths = append(paths, files.Cert, files.Key)
	}
	loaded, err := durable.Reload(paths, read, func(err error) {
		if err != nil {
			logger.Warn("replaced TLS files are not used", "error", err)
			return
		}
		logger.Info("TLS files were replaced")
	})
	if err != nil {
		return nil, err
	}
	own = loaded.Get().identity
	return &TLS{loaded}, nil
}

func readMaterial(files Files) (*material, error) {
	authorities, err := readAuthorities(files.CA)
	if err != nil {
		return nil, err
	}
	m := &material{authorities: authorities}
	if files.Cert == "" && files.Key == "" {
		return m, nil
	}
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return nil, fmt.Errorf("cannot load the certificate %s: %w", files.Cert, err)
	}
	m.certificate = &pair
	if m.identity, err = IdentityOf(pair.Leaf); err == nil {
		err = m.verify(append([]*x509.Certificate{pair.Leaf}, rest(pair)...), x509.ExtKeyUsageClientAuth)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use the certificate %s: %w", files.Cert, err)
	}
	return m, nil
}

func readAuthorities(path string) (*x509.CertPool, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot load the CA: %w", err)
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("cannot load the CA: %s holds no certificate in PEM", path)
	}
	return authorities, nil
}

// rest is the chain behind the leaf; what cannot be read is of no use in verifying.
func rest(pair tls.Certificate) (chain []*x509.Certificate) {
	for _, raw := range pair.Certificate[1:] {
		if certificate, err := x509.ParseCertificate(raw); err == nil {
			chain = append(chain, certificate)
		}
	}
	return chain
}

// verify checks a chain up to the CA. No host name takes part: who somebody is stands in the subject,
// and addresses change.
func (m *material) verify(chain []*x509.Certificate, usage x509.ExtKeyUsage) error {
	intermediates := x509.NewCertPool()
	for _, certificate := range chain[1:] {
		intermediates.AddCert(certificate)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: m.authorities, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{usage},
	})
	return err
}

// Identity is who this process is by its certificate; the zero value if it has none.
func (t *TLS) Identity() Identity { return t.loaded.Get().identity }

// Expires is when this process's certificate ends to be valid; zero if it has none.
func (t *TLS) Expires() time.Time {
	if m := t.loaded.Get(); m.certificate != nil {
		return m.certificate.Leaf.NotAfter
	}
	return time.Time{}
}

// Callers says who may connect to a listener.
type Callers struct {
	// Role is the only one taken; empty: any certificate of the cluster's CA.
	Role Role
	// Optional takes callers without a certificate too: they have to say by a token who they are.
	Optional bool
}

var errOtherRole = errors.New("certificates of this role are not taken here")

// server is the configuration of a listener. Each handshake gets the certificates of its time. Sessions
// are not resumed: a resumed one would outlive the CA that had vouched for it.
func (t *TLS) server(callers Callers) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			m := t.loaded.Get()
			config := &tls.Config{
				MinVersion:             tls.VersionTLS13,
				Certificates:           []tls.Certificate{*m.certificate},
				ClientCAs:              m.authorities,
				ClientAuth:             tls.RequireAndVerifyClientCert,
				NextProtos:             []string{"http/1.1"},
				SessionTicketsDisabled: true,
				VerifyConnection:       callers.verify,
			}
			if callers.Optional {
				config.ClientAuth = tls.VerifyClientCertIfGiven
			}
			return config, nil
		},
	}
}

// verify runs once a caller's chain was verified, or found missing where it may.
func (c Callers) verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	caller, err := IdentityOf(state.PeerCertificates[0])
	if err != nil {
		return err
	}
	if c.Role != "" && caller.Role != c.Role {
		return fmt.Errorf("%w: %s", errOtherRole, caller)
	}
	return nil
}

// client is the configuration of one connection to somebody.
func (t *TLS) client(expected Identity) *tls.Config {
	m := t.loaded.Get()
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// The library's own check would ask for a host name; VerifyConnection does the rest of it.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if err := m.verify(state.PeerCertificates, x509.ExtKeyUsageServerAuth); err != nil {
				return err
			}
			peer, err := IdentityOf(state.PeerCertificates[0])
			if err == nil && !peer.fits(expected) {
				err = fmt.Errorf("%w: %s answers where %s was expected", ErrImpostor, peer, expected)
			}
			return err
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if m.certificate == nil {
				return &tls.Certificate{}, nil
			}
			return m.certificate, nil
		},
	}
}

// shake turns a connection into one with whom was expected, or closes it.
func (t *TLS) shake(ctx context.Context, conn net.Conn, expected Identity, protocols []string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, DialTimeout)
	defer cancel()
	config := t.client(expected)
	config.NextProtos = protocols
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: conn.RemoteAddr(), Err: fmt.Errorf("%w: %w", ErrDistrust, err)}
	}
	return secured, nil
}

// Refused reports that the other end ended a connection because of this end's certificate, or for want
// of one. Nothing that was sent was read.
func Refused(err error) bool {
	var operation *net.OpError
	if !errors.As(err, &operation) || operation.Op != "remote error" {
		return false
	}
	switch operation.Err.Error() {
	case "tls: bad certificate", "tls: unsupported certificate", "tls: revoked certificate", "tls: expired certificate",
		"tls: unknown certificate", "tls: unknown certificate authority", "tls: certificate required", "tls: access denied":
		return true
	}
	return false
}

package cluster

import (
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/cmd/stead/pki"
)

// certificateDays is how long the certificates of a test are valid.
const certificateDays = 2

// Files are the certificate of somebody in a cluster with TLS, issued at the first call.
func (c *Cluster) Files(role transport.Role, name string) transport.Files {
	c.t.Helper()
	who := transport.Identity{Role: role, Name: name}
	if files, issued := c.issued[who]; issued {
		return files
	}
	files := c.Reissue(role, name, filepath.Join(c.dir, "certificates"))
	c.issued[who] = files
	return files
}

// Reissue makes another certificate for somebody, in a folder.
func (c *Cluster) Reissue(role transport.Role, name, folder string) transport.Files {
	c.t.Helper()
	request := pki.Request{Role: role, Name: name, Days: certificateDays, Hosts: []string{"127.0.0.1"}}
	issued, err := pki.Issue(c.PKI(), folder, request, time.Now())
	if err != nil {
		c.t.Fatal(err)
	}
	return transport.Files(issued)
}

// PKI is the folder of the cluster's CA.
func (c *Cluster) PKI() string { return filepath.Join(c.dir, "pki") }

// Security is that of somebody: the zero value in a cluster without TLS.
func (c *Cluster) Security(role transport.Role, name string) transport.Security {
	c.t.Helper()
	if !c.options.TLS {
		return transport.Security{}
	}
	loaded, err := transport.LoadTLS(c.Files(role, name), slog.New(slog.DiscardHandler))
	if err != nil {
		c.t.Fatal(err)
	}
	return transport.Security{TLS: loaded}
}

func (c *Cluster) initPKI() {
	if !c.options.TLS {
		return
	}
	if err := pki.Init(c.PKI(), "test", certificateDays, time.Now()); err != nil {
		c.t.Fatal(err)
	}
}

// tlsArgs are the flags that give a process its certificate.
func (c *Cluster) tlsArgs(role transport.Role, name string) []string {
	if !c.options.TLS {
		return nil
	}
	files := c.Files(role, name)
	return []string{"--tls-cert", files.Cert, "--tls-key", files.Key, "--tls-ca", files.CA}
}

// Environment is what an operator's command needs to reach the cluster.
func (c *Cluster) Environment() []string {
	variables := []string{"STEAD_CONTROL=" + c.APIs[0] + "," + c.APIs[len(c.APIs)-1]}
	if c.options.TLS {
		files := c.Files(transport.RoleOperator, operatorName)
		variables = append(variables, "STEAD_TLS_CERT="+files.Cert, "STEAD_TLS_KEY="+files.Key, "STEAD_TLS_CA="+files.CA)
	}
	if c.options.Token != "" {
		variables = append(variables, "STEAD_TOKEN="+c.options.Token)
	}
	return variables
}

// adminClient reaches the proxies' admin ports.
func (c *Cluster) adminClient() *http.Client {
	via := c.Security(transport.RoleReader, "prometheus").Transport(transport.Identity{Role: transport.RoleProxy})
	via.DisableKeepAlives = true
	return &http.Client{Transport: via}
}

// Scheme is that of every URL but the proxies' for clients.
func (c *Cluster) Scheme() string {
	if c.options.TLS {
		return "https"
	}
	return "http"
}

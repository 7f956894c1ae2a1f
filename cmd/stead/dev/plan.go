package dev

import (
	"fmt"
	"path/filepath"
	"strings"
)

// role is what a process does; processes stop in reverse order of these.
type role string

const (
	roleControl role = "control"
	roleNode    role = "node"
	roleProxy   role = "proxy"
)

// Ports of the first process of each role; the next ones of control and proxy come a step later.
const (
	portControl = 7400
	portRaft    = 7401
	portDNS     = 7453
	portNode    = 7500
	portProxy   = 8080
	portAdmin   = 8081
	portStep    = 10
)

// proxyHosts is the first address of proxies, each of which has its own where the loopback interface has
// them all: so they can share a port, and DNS tells them apart.
const proxyHosts = 11

// spec is one process to run.
type spec struct {
	role    role
	id      string
	address string // host:port of its API, or of what it serves
	admin   string // host:port of a proxy's admin port, of a member's Raft port
	dns     string // host:port of a member's DNS
	args    []string
}

// plan lays out every process of the cluster. Only ports are outside its arithmetic.
func plan(config Config, ports *ports) ([]spec, error) {
	specs, err := layOut(config, ports)
	if err != nil {
		return nil, err
	}
	var controls []string
	for _, s := range specs {
		if s.role == roleControl {
			controls = append(controls, s.address)
		}
	}
	members := strings.Join(controls, ",")
	for i := range specs {
		specs[i].args = arguments(config, specs[i], members)
	}
	return specs, nil
}

func layOut(config Config, ports *ports) (specs []spec, err error) {
	pick := func(preferred int) (address string) {
		if err == nil {
			address, err = ports.pick(preferred)
		}
		return address
	}
	for i := range config.Members {
		made := spec{role: roleControl, id: fmt.Sprintf("c%d", i+1), address: pick(portControl + i*portStep), admin: pick(portRaft + i*portStep)}
		if err == nil {
			made.dns, err = ports.pickBoth(portDNS + i*portStep)
		}
		specs = append(specs, made)
	}
	for i := range config.Nodes {
		specs = append(specs, spec{role: roleNode, id: fmt.Sprintf("n%d", i+1), address: pick(portNode + i)})
	}
	common := commonAddresses(config.Proxies, ports)
	for i := range config.Proxies {
		made := spec{role: roleProxy, id: fmt.Sprintf("p%d", i+1)}
		if made.address = common[i]; made.address == "" {
			made.address = pick(portProxy + i*portStep)
		}
		made.admin = pick(portAdmin + i*portStep)
		specs = append(specs, made)
	}
	return specs, err
}

// commonAddresses are those of proxies on addresses of their own with one port; empty where they cannot
// be had: macOS has only 127.0.0.1.
func commonAddresses(proxies int, ports *ports) []string {
	hosts := make([]string, proxies)
	for i := range hosts {
		hosts[i] = fmt.Sprintf("127.0.0.%d", proxyHosts+i)
	}
	if addresses, err := ports.pickCommon(hosts, portProxy); err == nil {
		return addresses
	}
	return make([]string, proxies)
}

// arguments is the command line of a process.
func arguments(config Config, s spec, members string) []string {
	data := filepath.Join(config.DataDir, s.id)
	var args []string
	switch s.role {
	case roleControl:
		args = []string{"control", "--name", s.id, "--listen", s.address, "--raft-listen", s.admin, "--dns-listen", s.dns,
			"--join", members, "--expect", fmt.Sprint(config.Members),
			"--state", string(config.State), "--replicas", fmt.Sprint(config.Replicas)}
	case roleNode:
		args = []string{"node", "--id", s.id, "--listen", s.address, "--control", members}
	case roleProxy:
		args = []string{"proxy", "--id", s.id, "--listen", s.address, "--admin-listen", s.admin, "--control", members}
	}
	return append(args, "--data-dir", data, "--log-level", config.LogLevel)
}

// shellLine writes a command so that it can be pasted into a shell.
func shellLine(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = word
		if word == "" || strings.ContainsFunc(word, needsQuotes) {
			quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

func needsQuotes(r rune) bool {
	plain := '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || strings.ContainsRune("-_./:,=@%+", r)
	return !plain
}

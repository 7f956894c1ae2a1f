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
	portNode    = 7500
	portProxy   = 8080
	portAdmin   = 8081
	portStep    = 10
)

// spec is one process to run.
type spec struct {
	role    role
	id      string
	address string // host:port of its API, or of what it serves
	admin   string // host:port of a proxy's admin port, of a member's Raft port
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
	add := func(role role, prefix string, number, preferred, preferredAdmin int) {
		made := spec{role: role, id: fmt.Sprintf("%s%d", prefix, number+1)}
		if err == nil {
			made.address, err = ports.pick(preferred)
		}
		if err == nil && preferredAdmin != 0 {
			made.admin, err = ports.pick(preferredAdmin)
		}
		specs = append(specs, made)
	}
	for i := range config.Members {
		add(roleControl, "c", i, portControl+i*portStep, portRaft+i*portStep)
	}
	for i := range config.Nodes {
		add(roleNode, "n", i, portNode+i, 0)
	}
	for i := range config.Proxies {
		add(roleProxy, "p", i, portProxy+i*portStep, portAdmin+i*portStep)
	}
	return specs, err
}

// arguments is the command line of a process.
func arguments(config Config, s spec, members string) []string {
	data := filepath.Join(config.DataDir, s.id)
	var args []string
	switch s.role {
	case roleControl:
		args = []string{"control", "--name", s.id, "--listen", s.address, "--raft-listen", s.admin,
			"--join", members, "--expect", fmt.Sprint(config.Members)}
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

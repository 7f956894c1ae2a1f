//go:build chaos

package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Network gives each process a network namespace, joined by a router in the namespace of the run, which sees
// every packet between two of them and can lose it.
type Network struct {
	places map[string]int
}

// forwarding makes a namespace a router.
const forwarding = "/proc/sys/net/ipv4/ip_forward"

// NewNetwork makes the namespaces.
func NewNetwork(names []string) (*Network, error) {
	n := &Network{places: map[string]int{}}
	if err := ip("", "link set lo up"); err != nil {
		return nil, err
	}
	if err := os.WriteFile(forwarding, []byte("1"), 0o644); err != nil {
		return nil, fmt.Errorf("cannot make a router: %w", err)
	}
	for i, name := range names {
		n.places[name] = i + 1
		if err := n.join(name); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// join makes the namespace of one process, with the one link it has: to the router.
func (n *Network) join(name string) error {
	link, router := "to-"+name, n.router(name)
	err := ip("",
		"netns add "+name,
		"link add "+link+" type veth peer name eth0 netns "+name,
		"addr add "+router+"/24 dev "+link,
		"link set "+link+" up")
	if err != nil {
		return err
	}
	return ip(name,
		"addr add "+n.Address(name)+"/24 dev eth0",
		"link set eth0 up",
		"link set lo up",
		"route add default via "+router)
}

// Address is where a process listens.
func (n *Network) Address(name string) string { return fmt.Sprintf("10.90.%d.2", n.places[name]) }

func (n *Network) router(name string) string { return fmt.Sprintf("10.90.%d.1", n.places[name]) }

// direction is one way between two processes.
type direction struct{ from, to string }

// both are the ways between a process and others.
func both(name string, others []string) (ways []direction) {
	for _, other := range others {
		if other != name {
			ways = append(ways, direction{name, other}, direction{other, name})
		}
	}
	return ways
}

// Cut loses, without a word to anybody, what goes these ways.
func (n *Network) Cut(ways []direction) error { return n.rules("add", ways) }

// Heal ends a cut.
func (n *Network) Heal(ways []direction) error { return n.rules("del", ways) }

func (n *Network) rules(verb string, ways []direction) error {
	lines := make([]string, len(ways))
	for i, way := range ways {
		lines[i] = fmt.Sprintf("rule %s pref 100 from %s to %s blackhole", verb, n.Address(way.from), n.Address(way.to))
	}
	return ip("", lines...)
}

// ip runs commands of iproute2 in a namespace, "" for the run's own, up to the first that fails.
func ip(namespace string, lines ...string) error {
	args := []string{"-batch", "-"}
	if namespace != "" {
		args = append([]string{"-n", namespace}, args...)
	}
	command := exec.Command("ip", args...)
	command.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot change the network: %w: %s: %s", err, output, strings.Join(lines, "; "))
	}
	return nil
}

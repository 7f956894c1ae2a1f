package doctor

import (
	"strings"
	"time"

	"github.com/stead-io/stead/api"
)

// Facts are what was gathered. What could not be asked is nil, or has an error.
type Facts struct {
	Silence string       // why no member answered, when Cluster is nil
	Unknown bool         // then: one is there, and does not take the asker for somebody it knows
	Cluster *api.Cluster // as the member tells it that has applied most
	Members []Member
	Apart   []Apart // members that answered and are of another control plane
	Nodes   *api.NodeList
	Proxies *api.ProxyList
	Builds  []Build // of proxies; those of members are in Members
	Changes []api.Change
	Ports   []Port
	// NodesFull says, of the nodes that tell, whether their reserve of disk is used up.
	NodesFull map[api.NodeID]bool
}

// Member is one member's own answers.
type Member struct {
	api.Member              // as the others list it
	Err        error        // it could not be asked
	Own        *api.Cluster // what it says of the cluster
	Ahead      time.Duration
	Unsure     time.Duration // by how much Ahead may be wrong
	Series     Series        // its metrics, empty if they could not be had
}

// Apart is a member that answered, and shares no member with those that the others list.
type Apart struct {
	API string
	Own *api.Cluster
}

// Label names a member for people.
func (m Member) Label() string {
	if m.Name != "" {
		return m.Name
	}
	return string(m.ID)
}

// Build is what a process runs.
type Build struct{ Process, Build string }

// Port is an address that something told others to connect to.
type Port struct {
	Owner   string // "node n1"
	Address string
	Err     error // it could not be connected to from here
}

// Series is what a process exports, by name with labels as they stand.
type Series map[string]float64

// build is the version and revision that a process exports, "" if it does not say.
func (s Series) build() string {
	for name := range s {
		if labels, found := strings.CutPrefix(name, "stead_build_info{"); found {
			version, revision := labelOf(labels, "version"), labelOf(labels, "revision")
			return strings.TrimSpace(version + " " + revision[:min(len(revision), 12)])
		}
	}
	return ""
}

func labelOf(labels, name string) string {
	_, rest, _ := strings.Cut(","+labels, ","+name+`="`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

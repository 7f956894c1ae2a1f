package dev

// Summary is what `stead dev --json` prints; its shape is part of the command's contract.
type Summary struct {
	Control []Member `json:"control"`
	Proxies []Proxy  `json:"proxies"`
	Nodes   []Node   `json:"nodes"`
}

// Member is a control-plane member of a summary.
type Member struct {
	ID  string `json:"id"`
	API string `json:"api"` // base URL
	DNS string `json:"dns"` // host:port, UDP and TCP
	PID int    `json:"pid"`
}

// Proxy is a proxy of a summary.
type Proxy struct {
	ID    string `json:"id"`
	URL   string `json:"url"`   // base URL for clients
	Admin string `json:"admin"` // base URL of the admin port
	PID   int    `json:"pid"`
}

// Node is a node of a summary.
type Node struct {
	ID      string `json:"id"`
	Address string `json:"address"` // host:port
	PID     int    `json:"pid"`
}

// Summary lists what runs.
func (c *Cluster) Summary() Summary {
	summary := Summary{Control: []Member{}, Proxies: []Proxy{}, Nodes: []Node{}}
	for _, p := range c.processes {
		switch s := p.spec; s.role {
		case roleControl:
			summary.Control = append(summary.Control, Member{ID: s.id, API: "http://" + s.address, DNS: s.dns, PID: p.pid()})
		case roleProxy:
			summary.Proxies = append(summary.Proxies,
				Proxy{ID: s.id, URL: "http://" + s.address, Admin: "http://" + s.admin, PID: p.pid()})
		case roleNode:
			summary.Nodes = append(summary.Nodes, Node{ID: s.id, Address: s.address, PID: p.pid()})
		}
	}
	return summary
}

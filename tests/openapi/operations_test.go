package openapi

import "github.com/stead-io/stead/api"

// operation is what the document says of one endpoint, and how the tests try it.
type operation struct {
	endpoint string // method and path, as httpapi.Endpoints has them
	id       string
	tag      string
	summary  string
	query    []string // names in parameters, and of headers that sharedParameters has
	write    bool     // it goes through the log: it takes Idempotency-Key and If-Match, and names its actor
	body     any      // a value of the request's Go type; nil: none
	octets   string   // media type of a request's body that is no JSON
	managed  bool     // it is tried where slots have replicas; 9-9 in a body is n1's session, CHANGE in a path the newest change, STRANDED a slot that nobody serves
	open     bool     // unknown fields of the body are ignored
	answers  answers
	codes    []api.Code // beside those every request may meet
	tries    []try      // in order, on one member, row after row; statuses may be those of codes
}

// answers says what comes with which status, by media type: a value of the Go type of a JSON answer,
// or nil for text and octets.
type (
	answers map[int]content
	content map[string]any
)

func jsonOf(value any) content { return content{api.TypeJSON: value} }

var (
	nothing = content{}
	text    = content{"text/plain": nil}
)

// try is a request that must be answered as the document says. Headers are "Name: value"; a body
// "@/path" is what a GET of that path answers.
type try struct {
	path    string // with its query; "" is the endpoint's own
	body    string
	status  int
	headers []string
}

const (
	nodesTag   = "nodes"
	ringTag    = "ring"
	slotsTag   = "slots"
	proxiesTag = "proxies"
	clusterTag = "cluster"
	processTag = "process"
)

var tags = []tag{
	{nodesTag, "The nodes of the service: registered, weighed, drained, removed."},
	{ringTag, "Which node holds which slot, now and before."},
	{slotsTag, "The configuration of each slot: who serves it, who has its state, who should."},
	{proxiesTag, "The proxies that beat."},
	{clusterTag, "Settings, members and leadership."},
	{processTag, "One member's health and metrics."},
}

// operations has a row for every endpoint. A new endpoint needs one.
var operations = []operation{
	{
		endpoint: "POST /v1/nodes", id: "registerNode", tag: nodesTag, write: true,
		summary: "Register a node, for the first time or again. 201 says that it was not known.",
		body:    api.Registration{},
		answers: answers{200: jsonOf(api.Registered{}), 201: jsonOf(api.Registered{})},
		codes: []api.Code{api.CodeAddressRefused, api.CodeAddressInUse, api.CodeNodeIDInUse, api.CodeNodeRemoved, api.CodeNodeAlive, api.CodeStaleBoot,
			api.CodeServiceMismatch, api.CodeRingGeometry, api.CodeWrongCluster},
		tries: []try{
			{body: `{"id":"n1","address":"127.0.0.1:1001","on_down":"reset","zone":"a","meta":{"rack":"7"}}`, status: 201},
			{body: `{"id":"n1","address":"127.0.0.1:1001","on_down":"reset","zone":"a","meta":{"rack":"7"}}`, status: 200},
			{body: `{"id":"n2","address":"127.0.0.1:1002","lease":"none","on_down":"reset","check":{"http":"/healthz","interval":"1s","failures":100}}`, status: 201},
			{body: `{"id":"n3","address":"127.0.0.1:1001"}`, status: 409},
			{body: `{"id":"n3","address":"nowhere"}`, status: 400},
		},
	},
	{
		endpoint: "GET /v1/nodes", id: "listNodes", tag: nodesTag, query: []string{"consistency"},
		summary: "List the nodes by id, with their status and slots.",
		answers: answers{200: jsonOf(api.NodeList{})},
		tries:   []try{{status: 200}, {path: "/v1/nodes?consistency=linearizable", status: 200}, {path: "/v1/nodes?consistency=maybe", status: 400}},
	},
	{
		endpoint: "GET /v1/nodes/{id}", id: "showNode", tag: nodesTag, query: []string{"consistency"},
		summary: "Show one node.",
		answers: answers{200: jsonOf(api.Node{})}, codes: []api.Code{api.CodeNodeUnknown},
		tries: []try{{path: "/v1/nodes/n1", status: 200}, {path: "/v1/nodes/n2", status: 200}, {path: "/v1/nodes/n9", status: 404}},
	},
	{
		endpoint: "PATCH /v1/nodes/{id}", id: "patchNode", tag: nodesTag, write: true,
		summary: "Set a node's weight or zone. Either outlives later registrations.",
		body:    api.NodePatch{}, answers: answers{200: jsonOf(api.Changed{})}, codes: []api.Code{api.CodeNodeUnknown},
		tries: []try{{path: "/v1/nodes/n1", body: `{"weight":2}`, status: 200}, {path: "/v1/nodes/n1", body: `{"weight":0}`, status: 400}},
	},
	{
		endpoint: "POST /v1/nodes/{id}/beat", id: "beatNode", tag: nodesTag,
		summary: "Say that a node lives, or that it stops on purpose. Nothing is written unless its status changes.",
		body:    api.Beat{}, open: true, answers: answers{200: jsonOf(api.Beaten{})},
		codes: []api.Code{api.CodeNodeUnknown, api.CodeUnknownSession},
		tries: []try{
			{path: "/v1/nodes/n1/beat", status: 200},
			{path: "/v1/nodes/n1/beat", body: `{"load":{"requests":7,"keys":2,"bytes":99}}`, status: 200},
			{path: "/v1/nodes/n1/beat", body: `{"session":"0-0"}`, status: 409},
			{path: "/v1/nodes/n9/beat", status: 404},
		},
	},
	{
		endpoint: "POST /v1/nodes/{id}/drain", id: "drainNode", tag: nodesTag, write: true,
		summary: "Give a node's slots away so that it can go.",
		body:    struct{}{}, answers: answers{200: jsonOf(api.Changed{})},
		codes: []api.Code{api.CodeNodeUnknown, api.CodeLastNode},
		tries: []try{{path: "/v1/nodes/n2/drain", status: 200}, {path: "/v1/nodes/n1/drain", status: 409}},
	},
	{
		endpoint: "POST /v1/nodes/{id}/undrain", id: "undrainNode", tag: nodesTag, write: true,
		summary: "Let a drained node hold slots again.",
		body:    struct{}{}, answers: answers{200: jsonOf(api.Changed{})}, codes: []api.Code{api.CodeNodeUnknown},
		tries: []try{{path: "/v1/nodes/n2/undrain", body: `{}`, status: 200}},
	},
	{
		endpoint: "POST /v1/nodes/{id}/evict", id: "evictNode", tag: nodesTag, write: true, managed: true,
		summary: "Take a node's slots away without its help: replicas in sync serve them at once. kept says what could not be taken, and why.",
		body:    struct{}{}, answers: answers{200: jsonOf(api.Evicted{})},
		codes: []api.Code{api.CodeNodeUnknown, api.CodeLastNode, api.CodeConflict},
		tries: []try{{path: "/v1/nodes/n2/evict", status: 200}, {path: "/v1/nodes/n9/evict", status: 404}, {path: "/v1/nodes/n2/evict", body: `{"x":1}`, status: 400}},
	},
	{
		endpoint: "POST /v1/nodes/{id}/maintenance", id: "maintainNode", tag: nodesTag, write: true,
		summary: "Announce a node's absence: for that long its slots stay its, whatever becomes of it.",
		body:    api.MaintenanceAsk{}, answers: answers{200: jsonOf(api.Changed{})}, codes: []api.Code{api.CodeNodeUnknown},
		tries: []try{
			{path: "/v1/nodes/n1/maintenance", body: `{"for":"15m"}`, status: 200},
			{path: "/v1/nodes/n1/maintenance", body: `{"for":"0s"}`, status: 200},
			{path: "/v1/nodes/n1/maintenance", body: `{"for":"25h"}`, status: 400},
			{path: "/v1/nodes/n9/maintenance", body: `{"for":"15m"}`, status: 404},
		},
	},
	{
		endpoint: "POST /v1/nodes/{id}/report", id: "reportNode", tag: nodesTag, query: []string{"session"}, octets: api.TypeRing,
		summary: "After a restore: the ring that the node last acted on, in its binary form, or nothing if it had none.",
		answers: answers{200: jsonOf(api.Changed{})}, codes: []api.Code{api.CodeNodeUnknown, api.CodeUnknownSession, api.CodeWrongCluster, api.CodeRingGeometry},
		tries: []try{{path: "/v1/nodes/n1/report", status: 200}, {path: "/v1/nodes/n1/report", body: "no ring", status: 400}},
	},
	{
		endpoint: "POST /v1/nodes/{id}/slots", id: "reportSlots", tag: nodesTag,
		summary: "After a restore: the configurations of slots that the node's store had adopted.",
		body:    api.SlotReport{}, open: true, answers: answers{200: jsonOf(api.Changed{})},
		codes: []api.Code{api.CodeNodeUnknown, api.CodeUnknownSession, api.CodeOverloaded},
		tries: []try{{path: "/v1/nodes/n1/slots", body: `{"session":"1-1","slots":[]}`, status: 200}, {path: "/v1/nodes/n1/slots", body: `{`, status: 400}},
	},
	{
		endpoint: "GET /v1/ring", id: "pollRing", tag: ringTag, query: []string{"after", "wait", "consistency", "If-None-Match"},
		summary: "The ring in the form that Accept names, at once or, with after, as soon as it is newer. Every member answers.",
		answers: answers{
			200: {api.TypeJSON: api.RingJSON{}, api.TypeRing: nil, api.TypeRingDelta: api.RingDelta{}},
			204: nothing, 304: nothing,
		},
		codes: []api.Code{api.CodeNotAcceptable, api.CodeVersionGone},
		tries: []try{
			{status: 200},
			{status: 200, headers: []string{"Accept: " + api.TypeRing}},
			{path: "/v1/ring?after=1-1", status: 200, headers: []string{"Accept: " + api.TypeRingDelta}},
			{path: "/v1/ring?after=1-1000000&wait=1ms", status: 204},
			{status: 304, headers: []string{"If-None-Match: *"}},
			{status: 406, headers: []string{"Accept: text/html"}},
			{path: "/v1/ring?after=0-1", status: 410, headers: []string{"Accept: " + api.TypeRingDelta}},
		},
	},
	{
		endpoint: "GET /v1/ring/versions", id: "listVersions", tag: ringTag, query: []string{"before", "limit", "consistency"},
		summary: "List the versions kept, newest first.",
		answers: answers{200: jsonOf(api.VersionList{})},
		tries:   []try{{status: 200}, {path: "/v1/ring/versions?before=3&limit=1", status: 200}, {path: "/v1/ring/versions?limit=0", status: 400}},
	},
	{
		endpoint: "GET /v1/ring/versions/{version}", id: "showVersion", tag: ringTag, query: []string{"consistency"},
		summary: "Show one version, with its table's digest.",
		answers: answers{200: jsonOf(api.RingVersion{})}, codes: []api.Code{api.CodeVersionUnknown, api.CodeVersionGone},
		tries: []try{{path: "/v1/ring/versions/2", status: 200}, {path: "/v1/ring/versions/9999", status: 404}},
	},
	{
		endpoint: "GET /v1/ring/changes", id: "listChanges", tag: ringTag, query: []string{"before", "limit", "consistency"},
		summary: "List the changes kept, newest first: who did what to the ring, and why.",
		answers: answers{200: jsonOf(api.ChangeList{})},
		tries:   []try{{status: 200}, {path: "/v1/ring/changes?before=3&limit=1", status: 200}},
	},
	{
		endpoint: "GET /v1/ring/changes/{id}", id: "showChange", tag: ringTag, query: []string{"consistency"},
		summary: "Show one change, with the replicas it wanted.",
		answers: answers{200: jsonOf(api.Change{})}, codes: []api.Code{api.CodeChangeUnknown, api.CodeChangeGone},
		tries: []try{{path: "/v1/ring/changes/2", status: 200}, {path: "/v1/ring/changes/9999", status: 404}},
	},
	{
		endpoint: "POST /v1/ring/changes/{id}/cancel", id: "cancelChange", tag: ringTag, write: true, managed: true,
		summary: "End a change under way. What it has not moved stays where it is.",
		body:    struct{}{}, answers: answers{200: jsonOf(api.Changed{})}, codes: []api.Code{api.CodeChangeUnknown, api.CodeChangeGone, api.CodeConflict},
		tries: []try{{path: "/v1/ring/changes/CHANGE/cancel", status: 200}, {path: "/v1/ring/changes/1/cancel", status: 409}, {path: "/v1/ring/changes/soon/cancel", status: 400}},
	},
	{
		endpoint: "GET /v1/ring/diff", id: "diffRing", tag: ringTag, query: []string{"from", "to", "change", "consistency"},
		summary: "What differs between two kept points.",
		answers: answers{200: jsonOf(api.RingDiff{})},
		codes:   []api.Code{api.CodeVersionUnknown, api.CodeVersionGone, api.CodeChangeUnknown, api.CodeChangeGone},
		tries:   []try{{path: "/v1/ring/diff?from=1", status: 200}, {path: "/v1/ring/diff?from=c1&to=c2", status: 200}, {path: "/v1/ring/diff?change=c2", status: 200}, {status: 400}},
	},
	{
		endpoint: "GET /v1/ring/locate", id: "locateKey", tag: ringTag, query: []string{"key", "key_hex", "consistency"},
		summary: "Where a key lives.",
		answers: answers{200: jsonOf(api.Location{})}, codes: []api.Code{api.CodeBadKey},
		tries: []try{{path: "/v1/ring/locate?key=acme", status: 200}, {path: "/v1/ring/locate?key_hex=ff00", status: 200}, {status: 400}},
	},
	{
		endpoint: "POST /v1/ring/rebalance", id: "rebalanceRing", tag: ringTag, write: true,
		summary: "Even out the ring, nodes that wait with their state included.",
		body:    api.Rebalance{}, answers: answers{200: jsonOf(api.Changed{})}, codes: []api.Code{api.CodeNoNodes},
		tries: []try{{status: 200}},
	},
	{
		endpoint: "POST /v1/ring/plan", id: "planRing", tag: ringTag, write: true,
		summary: "What changes of nodes would do to the ring; or carry them out, as one change.",
		body:    api.PlanAsk{}, answers: answers{200: jsonOf(api.RingPlan{})},
		codes: []api.Code{api.CodePlanStale, api.CodeNodeUnknown, api.CodeLastCopy, api.CodeLastNode, api.CodeAddressRefused,
			api.CodeAddressInUse, api.CodeNoNodes},
		tries: []try{
			{body: `{"add":[{"id":"n7","weight":2}],"drain":["n2"],"weights":{"n1":3}}`, status: 200},
			{body: `{"weights":{"n1":3},"apply":true}`, status: 200},
			{body: `{"weights":{"n1":4},"apply":true,"expect":"00"}`, status: 412},
			{body: `{"drain":["n1"],"remove":["n1"]}`, status: 400},
		},
	},
	{
		endpoint: "POST /v1/ring/rollback", id: "rollbackRing", tag: ringTag, write: true,
		summary: "Give the slots back as an earlier change wanted them; with dry_run, only say what that would do.",
		body:    api.RollbackAsk{}, answers: answers{200: jsonOf(api.RingPlan{})},
		codes: []api.Code{api.CodePlanStale, api.CodeChangeUnknown, api.CodeChangeGone, api.CodeConflict, api.CodeNoNodes},
		tries: []try{{body: `{"change":2,"dry_run":true}`, status: 200}, {body: `{"change":9999}`, status: 404}},
	},
	{
		endpoint: "GET /v1/events", id: "streamEvents", tag: ringTag, query: []string{"after", "Last-Event-ID"},
		summary: "What happens to changes, as server-sent events (docs/api/events.md): data is an Event. Every member answers.",
		answers: answers{200: {api.TypeEvents: api.Event{}}}, codes: []api.Code{api.CodeUnsupported, api.CodeOverloaded},
		tries: []try{{status: 200}, {path: "/v1/events?after=1-1", status: 200}, {path: "/v1/events?after=x", status: 400}},
	},
	{
		endpoint: "GET /v1/slots", id: "pollSlots", tag: slotsTag, query: []string{"cursor", "wait", "consistency"},
		summary: "The configurations of all slots or, with after, of those that changed since, as soon as any did. Every member answers.",
		answers: answers{200: jsonOf(api.SlotFeed{}), 204: nothing}, codes: []api.Code{api.CodeNotAcceptable},
		tries: []try{
			{status: 200}, {path: "/v1/slots?after=1-1", status: 200}, {path: "/v1/slots?after=1-1000000&wait=1ms", status: 204},
			{path: "/v1/slots?after=7", status: 400}, {status: 406, headers: []string{"Accept: text/html"}},
		},
	},
	{
		endpoint: "GET /v1/slots/{slot}", id: "showSlot", tag: slotsTag, query: []string{"consistency"},
		summary: "Show one slot's configuration.",
		answers: answers{200: jsonOf(api.SlotConfig{})},
		tries:   []try{{path: "/v1/slots/7", status: 200}, {path: "/v1/slots/65536", status: 400}},
	},
	{
		endpoint: "POST /v1/slots/cas", id: "proposeSlots", tag: slotsTag, managed: true,
		summary: "For nodes: propose the next configurations of slots, each in sight of the epoch it stands at, and each decided by itself. It may be repeated.",
		body:    api.SlotProposals{}, open: true, answers: answers{200: jsonOf(api.SlotVerdicts{})},
		codes: []api.Code{api.CodeNodeUnknown, api.CodeUnknownSession, api.CodeRingGeometry, api.CodeConflict},
		tries: []try{
			{body: `{"node":"n1","session":"9-9","generation":1,"slot_bits":12,"proposals":[` +
				`{"slot":7,"base":9,"kind":"abort","primary":"n1","isr":[{"node":"n1"}]}]}`, status: 200},
			{body: `{"node":"n1","session":"0-0","generation":1,"slot_bits":12,"proposals":[` +
				`{"slot":7,"base":9,"kind":"abort","primary":"n1","isr":[{"node":"n1"}]}]}`, status: 409},
			{body: `{"node":"n1","session":"1-1","generation":1,"slot_bits":12,"proposals":[]}`, status: 400},
		},
	},
	{
		endpoint: "POST /v1/slots/{slot}/force", id: "forceSlot", tag: slotsTag, write: true, managed: true,
		summary: "Make a node the only holder of a slot that nobody serves, whatever state it has of it. History says lossy.",
		body:    api.SlotForce{}, answers: answers{200: jsonOf(api.Changed{})}, codes: []api.Code{api.CodeNodeUnknown, api.CodeConflict, api.CodeSlotServed},
		tries: []try{{path: "/v1/slots/STRANDED/force", body: `{"node":"n1"}`, status: 200}, {path: "/v1/slots/7/force", body: `{"node":"n9"}`, status: 404}, {path: "/v1/slots/7/force", body: `{}`, status: 400}},
	},
	{
		endpoint: "POST /v1/proxies/{id}/beat", id: "beatProxy", tag: proxiesTag,
		summary: "Say that a proxy lives and by which ring it routes.",
		body:    api.ProxyBeat{}, open: true, answers: answers{200: jsonOf(api.ProxyBeaten{})}, codes: []api.Code{api.CodeOverloaded, api.CodeProxyIDInUse},
		tries: []try{
			{path: "/v1/proxies/p1/beat", status: 200,
				body: `{"address":"127.0.0.1:8080","admin":"127.0.0.1:8081","version":{"generation":1,"number":1},"nack":"other key rules"}`},
			{path: "/v1/proxies/p1/beat", body: `{"address":"nowhere","version":{"generation":1,"number":1}}`, status: 400},
		},
	},
	{
		endpoint: "GET /v1/proxies", id: "listProxies", tag: proxiesTag,
		summary: "List the proxies as the leader hears of them.",
		answers: answers{200: jsonOf(api.ProxyList{})},
		tries:   []try{{status: 200}},
	},
	{
		endpoint: "GET /v1/roster", id: "pollRoster", tag: proxiesTag, query: []string{"after"},
		summary: "Between members: the proxies as DNS is to answer them, as soon as that is newer than after.",
		answers: answers{200: jsonOf(api.Roster{}), 204: nothing},
		tries:   []try{{status: 200}, {path: "/v1/roster?after=0-1", status: 200}, {path: "/v1/roster?after=x", status: 400}},
	},
	{
		endpoint: "GET /v1/cluster", id: "showCluster", tag: clusterTag, query: []string{"consistency"},
		summary: "Show settings, members, counts and alarms.",
		answers: answers{200: jsonOf(api.Cluster{})},
		tries:   []try{{status: 200}, {path: "/v1/cluster?consistency=stale", status: 200}},
	},
	{
		endpoint: "PATCH /v1/cluster", id: "setCluster", tag: clusterTag, write: true,
		summary: "Change settings. Fixed ones may be named with the value they have.",
		body:    api.SettingsPatch{}, answers: answers{200: jsonOf(api.Changed{})},
		codes: []api.Code{api.CodeSettingFixed, api.CodeSettingGuarded, api.CodeUnsupported},
		tries: []try{
			{body: `{"no_key":"any"}`, status: 200}, {body: `{"slot_bits":9}`, status: 409}, {body: `{"replicas":2}`, status: 501},
			{body: `{"no_key":"any"}`, status: 200, headers: []string{"Idempotency-Key: a-1", "Stead-Actor: ann@desk"}},
		},
	},
	{
		endpoint: "GET /v1/members", id: "listMembers", tag: clusterTag,
		summary: "List the members, and those that are asked for.",
		answers: answers{200: jsonOf(api.MemberList{})},
		tries:   []try{{status: 200}},
	},
	{
		endpoint: "POST /v1/members", id: "addMember", tag: clusterTag, write: true,
		summary: "Ask for a new member, in another's place perhaps. It is taken in step by step once it runs.",
		body:    api.MemberAdd{}, answers: answers{202: jsonOf(api.Member{})},
		codes: []api.Code{api.CodeMemberNameKnown, api.CodeMemberUnknown, api.CodeMemberAlive, api.CodeMemberBusy, api.CodeMembersFull},
		tries: []try{{body: `{"name":"c2"}`, status: 202}, {body: `{"name":"c 2"}`, status: 400}, {body: `{"name":"c3","replaces":"c9"}`, status: 404}},
	},
	{
		endpoint: "DELETE /v1/members/{id}", id: "removeMember", tag: clusterTag, write: true,
		summary: "Remove a member, by id or name, or ask for it no more.",
		body:    struct{}{}, answers: answers{204: nothing},
		codes: []api.Code{api.CodeMemberUnknown, api.CodeLastMember, api.CodeQuorumAtRisk, api.CodeMemberBusy},
		tries: []try{{path: "/v1/members/c2", status: 204}, {path: "/v1/members/c9", status: 404}, {path: "/v1/members/c1", status: 409}},
	},
	{
		endpoint: "POST /v1/leader/transfer", id: "transferLeader", tag: clusterTag,
		summary: "Hand leadership to a member, or to the one Raft prefers.",
		body:    api.LeaderTransfer{}, answers: answers{204: nothing}, codes: []api.Code{api.CodeConflict},
		tries: []try{{body: `{"to":"c1"}`, status: 204}, {body: `{"to":"c9"}`, status: 400}},
	},
	{
		endpoint: "POST /v1/peers", id: "exchangePeers", tag: clusterTag,
		summary: "Between members: who and where they are.",
		body:    api.Peers{}, open: true, answers: answers{200: jsonOf(api.Peers{})}, codes: []api.Code{api.CodeConflict},
		tries: []try{{status: 200, body: `{"self":{"id":"c9-0123456789abcdef","name":"c9","api":"http://127.0.0.1:1009","raft":"127.0.0.1:1010",` +
			`"boot":1,"has_state":false,"expect":1,"level":1,"applied":0,"bootstrap":"0"},"known":[]}`}},
	},
	{
		endpoint: "DELETE /v1/nodes/{id}", id: "removeNode", tag: nodesTag, query: []string{"force"}, write: true,
		summary: "Remove a node from the ring for ever.",
		body:    struct{}{}, answers: answers{200: jsonOf(api.Changed{})},
		codes: []api.Code{api.CodeNodeUnknown, api.CodeLastCopy, api.CodeLastNode},
		tries: []try{{path: "/v1/nodes/n2?force=lossy", status: 200}, {path: "/v1/nodes/n2", status: 404}, {path: "/v1/nodes/n1?force=no", status: 400}},
	},
	{
		endpoint: "GET /v1/snapshot", id: "saveSnapshot", tag: clusterTag, query: []string{"consistency"},
		summary: "The control plane's whole state, the hash key included.",
		answers: answers{200: {api.TypeSnapshot: nil}}, codes: []api.Code{api.CodeOverloaded},
		tries: []try{{status: 200}, {path: "/v1/snapshot?consistency=stale", status: 200}},
	},
	{
		endpoint: "PUT /v1/snapshot", id: "restoreSnapshot", tag: clusterTag, query: []string{"other"}, octets: api.TypeSnapshot,
		summary: "Put a snapshot in the place of the whole state. The generation rises, and every store is waited for.",
		answers: answers{200: jsonOf(api.Changed{})}, codes: []api.Code{api.CodeSnapshotDamaged, api.CodeWrongCluster, api.CodeUnsupported, api.CodeOverloaded},
		tries: []try{{body: "no snapshot", status: 400}, {body: "@/v1/snapshot", status: 200}},
	},
	{
		endpoint: "GET /livez", id: "livez", tag: processTag, summary: "The process runs.",
		answers: answers{200: text}, tries: []try{{status: 200}},
	},
	{
		endpoint: "GET /readyz", id: "readyz", tag: processTag,
		summary: "The member is in touch with the leader and follows its log.",
		answers: answers{200: text}, tries: []try{{status: 200}},
	},
	{
		endpoint: "GET /metrics", id: "metrics", tag: processTag, summary: "The member's metrics, for Prometheus (docs/metrics.md).",
		answers: answers{200: text}, tries: []try{{status: 200}},
	},
}

// parameters are what operations take in their query, by name.
var parameters = map[string]parameter{
	"consistency": {Description: "default: the leader answers; linearizable: after it made sure that it leads; stale: any member, from what it has.",
		Schema: &schema{Type: "string", Enum: []string{"default", "linearizable", "stale"}}},
	"before":  {Description: "Only what is older than this; next of the page before.", Schema: counted(0, integerMax)},
	"limit":   {Description: "At most so many; 50 unless given.", Schema: counted(1, 1000)},
	"force":   {Description: "lossy gives up state that nobody else holds.", Schema: &schema{Type: "string", Enum: []string{"lossy"}}},
	"session": {Description: "The node's session.", Schema: &schema{Type: "string"}},
	"other":   {Name: "force", Description: "other-cluster takes a snapshot of another cluster.", Schema: &schema{Type: "string", Enum: []string{"other-cluster"}}},
	"from":    {Description: "A version (7 or 1-7), or a change (c3): the ring as it left it.", Schema: point()},
	"to":      {Description: "As from; the present ring unless given.", Schema: point()},
	"after":   {Description: "Answer when there is something newer than this: ring version 1-7, or 7; a roster's mark; an event's id.", Schema: &schema{Type: "string", Pattern: `^([0-9]+-)?[0-9]+$`}},
	"cursor":  {Name: "after", Description: "The cursor of an earlier answer.", Schema: &schema{Type: "string", Pattern: `^[0-9]+-[0-9]+$`}},
	"change":  {Description: "A change (c3), instead of from and to: what it did.", Schema: &schema{Type: "string", Pattern: "^c[0-9]+$"}},
	"wait":    {Description: "How long to wait for something newer than after: 45s unless given, at most 5m; 204 when nothing came.", Schema: &schema{Type: "string", Pattern: durationPattern}},
	"key":     {Description: "The key as text of a form, where + is a space.", Schema: &schema{Type: "string"}},
	"key_hex": {Description: "The key's octets in hex, instead of key.", Schema: &schema{Type: "string", Pattern: `^([0-9a-fA-F]{2})+$`}},
}

func counted(least, most int64) *schema {
	return &schema{Type: "integer", Minimum: &least, Maximum: &most}
}

func point() *schema { return &schema{Type: "string", Pattern: `^(c[0-9]+|([0-9]+-)?[0-9]+)$`} }

package api

// Headers that Stead's processes put on requests and answers. Every Stead-* header that comes from
// outside is deleted by the proxy, in both directions.
const (
	// HeaderKey carries the sharding key of a forwarded request: its octets, percent-encoded.
	HeaderKey = "Stead-Key"
	// HeaderSlot carries the slot the proxy computed, in decimal.
	HeaderSlot = "Stead-Slot"
	// HeaderEpoch carries, on a request, the slot's epoch the proxy routed by; on an answer of a
	// node, the epoch the node knows.
	HeaderEpoch = "Stead-Epoch"
	// HeaderOwner names, on a 421, the node that holds the slot: an id, never an address.
	HeaderOwner = "Stead-Owner"
	// HeaderRead says, with the value "local", that a read may be answered from what the node believes,
	// without asking the slot's other replicas: it may be stale.
	HeaderRead = "Stead-Read"
	// HeaderSeq numbers, on a slot's state, the last record that it holds.
	HeaderSeq = "Stead-Seq"
	// HeaderShow asks the proxy, with the value "node", to name in its answer the node, slot and
	// epoch that served a request.
	HeaderShow = "Stead-Show"
	// HeaderNode names the node that served a request, if it was asked for with HeaderShow.
	HeaderNode = "Stead-Node"

	// HeaderMux is on a proxy's request for stead-mux/1, with the version as its value: no client's request
	// that came through a proxy has it.
	HeaderMux = "Stead-Mux"

	// HeaderCluster, HeaderIndex and HeaderLeader are on every answer of the control API.
	HeaderCluster = "Stead-Cluster"
	HeaderIndex   = "Stead-Index"
	HeaderLeader  = "Stead-Leader"
	// HeaderGeneration and HeaderVersion are on a snapshot: those of the state it holds.
	HeaderGeneration = "Stead-Generation"
	HeaderVersion    = "Stead-Version"
	// HeaderForwarded marks a request that one member passed to another, so that none circles.
	HeaderForwarded = "Stead-Forwarded"
	// HeaderIdempotencyKey makes a write safe to repeat: 1 to 255 visible ASCII characters, unique to it.
	HeaderIdempotencyKey = "Idempotency-Key"
	// HeaderReplayed is "true" on the answer to a write that had been carried out before, under its key.
	HeaderReplayed = "Idempotency-Replayed"
	// HeaderCaller says, between members with certificates, as whom a request that one passes to another
	// is to be carried out: role and name. From anybody else it is ignored.
	HeaderCaller = "Stead-Caller"
	// HeaderActor names who asked for a change, in the caller's own words; history repeats it.
	HeaderActor = "Stead-Actor"
)

// ReadLocal is the value of HeaderRead.
const ReadLocal = "local"

// Media types of the ring (see docs/api/ring.md). A parameter v other than 1 is not acceptable.
const (
	// TypeRing is the full ring in its binary form: settings and table in one frame.
	TypeRing = "application/vnd.stead.ring"
	// TypeRingDelta is what changed between two versions, as JSON.
	TypeRingDelta = "application/vnd.stead.ring-delta+json"
	// TypeJSON is the full ring written out for people and scripts.
	TypeJSON = "application/json"
	// TypeSnapshot is the control plane's state in one file.
	TypeSnapshot = "application/vnd.stead.snapshot"
	// TypeVersion is the parameter that answers carry behind their media type.
	TypeVersion = "; v=1"
)

package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// ProblemType is the media type of every error answer (RFC 9457).
const ProblemType = "application/problem+json"

// Code is the stable, machine-readable name of an error. Codes are part of the wire contract: they
// are added, never renamed. The status and the meaning of each stand in one table, Codes.
type Code string

// Codes of the control API.
const (
	CodeInvalid          Code = "invalid"
	CodeTooLarge         Code = "too_large"
	CodeUnauthenticated  Code = "unauthenticated"
	CodeForbidden        Code = "forbidden"
	CodeNotFound         Code = "not_found"
	CodeMethodNotAllowed Code = "method_not_allowed"
	CodeNotAcceptable    Code = "not_acceptable"
	CodeNodeUnknown      Code = "node_unknown"
	CodeNodeIDInUse      Code = "node_id_in_use"
	CodeNodeAlive        Code = "node_alive"
	CodeProxyIDInUse     Code = "proxy_id_in_use"
	CodeAddressInUse     Code = "address_in_use"
	CodeAddressRefused   Code = "address_refused"
	CodeStaleBoot        Code = "stale_boot"
	CodeUnknownSession   Code = "unknown_session"
	CodeServiceMismatch  Code = "service_mismatch"
	CodeRingGeometry     Code = "ring_geometry"
	CodeLastCopy         Code = "last_copy"
	CodeLastNode         Code = "last_node"
	CodeNoNodes          Code = "no_nodes"
	CodeSettingFixed     Code = "setting_fixed"
	CodeSettingGuarded   Code = "setting_guarded"
	CodeUnsupported      Code = "unsupported"
	CodeVersionGone      Code = "version_gone"
	CodeVersionUnknown   Code = "version_unknown"
	CodeChangeGone       Code = "change_gone"
	CodeChangeUnknown    Code = "change_unknown"
	CodeConflict         Code = "conflict"
	CodePlanStale        Code = "plan_stale"
	CodeKeyReused        Code = "idempotency_key_reused"
	CodeMemberNameKnown  Code = "member_name_known"
	CodeNotAMember       Code = "not_a_member"
	CodeSnapshotDamaged  Code = "snapshot_damaged"
	CodeMemberUnknown    Code = "member_unknown"
	CodeMemberAlive      Code = "member_alive"
	CodeMemberBusy       Code = "member_busy"
	CodeMembersFull      Code = "members_full"
	CodeLastMember       Code = "last_member"
	CodeQuorumAtRisk     Code = "quorum_at_risk"
	CodeWrongCluster     Code = "wrong_cluster"
	CodeNoLeader         Code = "no_leader"
	CodeAmbiguous        Code = "ambiguous"
	CodeOverloaded       Code = "overloaded"
	CodeInternal         Code = "internal"
)

// Codes of the proxy and of the guard in front of a node's service.
const (
	CodeNoKey              Code = "no_key"
	CodeBadKey             Code = "bad_key"
	CodeBadRequest         Code = "bad_request"
	CodeHeaderTooLarge     Code = "header_too_large"
	CodeTooSlow            Code = "too_slow"
	CodeClientGone         Code = "client_gone"
	CodeTooManyConnections Code = "too_many_connections"
	CodeUpgrade            Code = "upgrade_unsupported"
	CodeConnect            Code = "connect_unsupported"
	CodeLoop               Code = "loop_detected"
	CodeNoRing             Code = "no_ring"
	CodeSlotUnassigned     Code = "slot_unassigned"
	CodeSlotMoving         Code = "slot_moving"
	CodeOwnerDown          Code = "owner_down"
	CodeOwnerFailed        Code = "owner_failed"
	CodeOwnerTimeout       Code = "owner_timeout"
	CodeNotOwner           Code = "not_owner"
	CodeDraining           Code = "draining"
	CodePrecondition       Code = "precondition_failed"
	CodeValueTooLarge      Code = "value_too_large"
	CodeStorageFailed      Code = "storage_failed"
	CodeServiceUnhealthy   Code = "service_unhealthy"
	CodeOutcomeUnknown     Code = "outcome_unknown"
	CodeTooFewInSync       Code = "too_few_in_sync"
	CodeStorageFull        Code = "storage_full"
	CodeNotConfirmed       Code = "not_confirmed"
	CodeSlotServed         Code = "slot_served"
	CodeNodeRemoved        Code = "node_removed"
)

// CodeFacts says what a code means to whoever meets it.
type CodeFacts struct {
	Status  int    // HTTP status
	Retry   bool   // safe to send the same request again, after Retry-After
	Meaning string // one sentence
}

// Codes is the one table from code to status and meaning; docs/api/errors.md is made from it.
var Codes = map[Code]CodeFacts{
	CodeInvalid:          {400, false, "the request is malformed; detail names the field"},
	CodeTooLarge:         {413, false, "the body is larger than this endpoint takes"},
	CodeUnauthenticated:  {401, false, "the request says not, or not truly, who is asking: a certificate or a token is needed"},
	CodeForbidden:        {403, false, "who is asking may not do that, or not for another; detail says which role may"},
	CodeNotFound:         {404, false, "there is no such path"},
	CodeMethodNotAllowed: {405, false, "the path exists, the method does not; Allow lists those that do"},
	CodeNotAcceptable:    {406, false, "none of the media types in Accept is offered here"},
	CodeNodeUnknown:      {404, false, "no node of that id is registered"},
	CodeNodeIDInUse:      {409, false, "the id belongs to a node with another store or address"},
	CodeNodeRemoved:      {409, false, "the node was removed with this store; it comes back only if it says that it is meant to"},
	CodeNodeAlive:        {409, true, "the node's predecessor was heard of a moment ago; register again once it is silent"},
	CodeProxyIDInUse:     {409, true, "another proxy beats under that id, at another address"},
	CodeAddressInUse:     {409, false, "another node is registered at that address"},
	CodeAddressRefused:   {400, false, "the address is not host:port, or outside the allow-list of the cluster"},
	CodeStaleBoot:        {409, false, "a later start of the same node has registered already"},
	CodeUnknownSession:   {409, false, "the session was superseded; register again"},
	CodeServiceMismatch:  {409, false, "the cluster serves another service, or another kind of state"},
	CodeRingGeometry:     {409, false, "slot_bits or hash differ from the cluster's"},
	CodeLastCopy:         {409, false, "the node holds the last copy of some state; force=lossy gives it up"},
	CodeSlotServed:       {409, false, "the slot's primary is up; only a slot that nobody serves is forced"},
	CodeLastNode:         {409, false, "it is the only node left to hold slots"},
	CodeNoNodes:          {409, false, "no node can take slots"},
	CodeSettingFixed:     {409, false, "the setting was fixed when the cluster was made"},
	CodeSettingGuarded:   {409, false, "the setting would change where keys live; it needs force while slots are held"},
	CodeUnsupported:      {501, false, "this version of Stead does not do that yet"},
	CodeVersionGone:      {410, false, "the version is older than the history kept; oldest names the first kept"},
	CodeVersionUnknown:   {404, false, "the version is newer than any there has been"},
	CodeChangeGone:       {410, false, "the change is older than the history kept; oldest names the first kept"},
	CodeChangeUnknown:    {404, false, "the change is newer than any there has been"},
	CodeConflict:         {409, true, "the state moved while the command was on its way; look again"},
	CodePlanStale:        {412, false, "the plan would now come out otherwise; nothing was applied, detail says what it would be"},
	CodeKeyReused:        {422, false, "the Idempotency-Key came with another request before; nothing was applied"},
	CodeMemberNameKnown:  {409, false, "a member of that name exists with another data folder"},
	CodeNotAMember:       {409, false, "the cluster exists already and does not list this member"},
	CodeSnapshotDamaged:  {400, false, "the snapshot is cut short, altered, or no snapshot at all; nothing was restored"},
	CodeMemberUnknown:    {404, false, "the control plane has no member of that name or id"},
	CodeMemberAlive:      {409, false, "the member runs: its name cannot go to another data folder"},
	CodeMemberBusy:       {409, false, "another change of the same member is under way"},
	CodeMembersFull:      {409, false, "the control plane has as many members as it can have"},
	CodeLastMember:       {409, false, "it is the only member that can vote"},
	CodeQuorumAtRisk:     {409, false, "the members that live would not be a majority of those that remain"},
	CodeWrongCluster:     {409, false, "the request names another cluster"},
	CodeNoLeader:         {503, true, "no leader is known to this member"},
	CodeAmbiguous:        {503, false, "leadership was lost on the way; the command may or may not have been applied"},
	CodeOverloaded:       {503, true, "too many requests are waiting"},
	CodeInternal:         {500, false, "a fault of Stead's own; the log has the cause"},

	CodeOutcomeUnknown: {503, false, "the write was begun and its slot changed hands; it may or may not have been applied"},
	CodeTooFewInSync:   {503, true, "fewer replicas of the slot are in sync than the cluster demands for writes"},
	CodeStorageFull:    {507, true, "a disk that holds the slot is nearly full; reads are served, writes are not"},
	CodeNotConfirmed:   {503, true, "the slot's replicas could not be asked whether the answer is still current; nothing was applied"},

	CodeNoKey:              {400, false, "the request carries no sharding key"},
	CodeBadKey:             {400, false, "the sharding key is repeated, malformed, or not 1 to 1024 octets"},
	CodeBadRequest:         {400, false, "the request is not well-formed HTTP; the connection is closed"},
	CodeHeaderTooLarge:     {431, false, "request line and headers exceed the limit"},
	CodeTooSlow:            {408, false, "the client took too long to send the request; the connection is closed"},
	CodeClientGone:         {400, false, "the client closed its side of the connection before it had its answer; the request may have been applied"},
	CodeTooManyConnections: {503, true, "the client's address has as many connections as one may have"},
	CodeUpgrade:            {501, false, "an upgrade request with a body is not forwarded"},
	CodeConnect:            {501, false, "CONNECT is not served"},
	CodeLoop:               {508, false, "the request came back to a proxy it went through before: an address in the ring leads there"},
	CodeNoRing:             {503, true, "the proxy or node has not seen a ring yet"},
	CodeSlotUnassigned:     {503, true, "no node holds the slot of this key yet"},
	CodeSlotMoving:         {503, true, "the slot is changing hands; nothing of the request was applied"},
	CodeOwnerDown:          {503, true, "the node that holds the key's state is down; the request was not sent"},
	CodeOwnerFailed:        {502, false, "the node broke off before its answer was complete; the request may have been applied"},
	CodeOwnerTimeout:       {504, false, "the node did not answer in time; the request may have been applied"},
	CodeNotOwner:           {421, true, "this node does not hold the slot; nothing of the request was applied"},
	CodeDraining:           {503, true, "the process is shutting down"},
	CodePrecondition:       {412, false, "If-Match or If-None-Match did not hold; nothing was applied"},
	CodeValueTooLarge:      {413, false, "the value exceeds 16 MiB"},
	CodeStorageFailed:      {500, false, "the store could not read or write; the log has the cause"},
	CodeServiceUnhealthy:   {503, true, "the service behind the sidecar fails its health check"},
}

// Problem is an error as it crosses the wire (RFC 9457). It is an error on both sides: handlers
// return it, the client hands it back.
type Problem struct {
	Type       string        `json:"type"`
	Title      string        `json:"title"`
	Status     int           `json:"status"`
	Code       Code          `json:"code"`
	Detail     string        `json:"detail,omitempty"`
	Field      string        `json:"field,omitempty"`
	Oldest     string        `json:"oldest,omitempty"`
	Next       string        `json:"next,omitempty"` // what to do about it: a command, usually
	RetryAfter time.Duration `json:"-"`
}

// NewProblem makes the problem of code with a detail in plain words.
func NewProblem(code Code, format string, args ...any) *Problem {
	facts, known := Codes[code]
	if !known {
		facts = Codes[CodeInternal]
	}
	problem := &Problem{
		Type:   "urn:stead:problem:" + string(code),
		Title:  facts.Meaning,
		Status: facts.Status,
		Code:   code,
		Detail: fmt.Sprintf(format, args...),
	}
	if facts.Retry {
		problem.RetryAfter = time.Second
	}
	return problem
}

// InField names the field of the request that is at fault.
func (p *Problem) InField(name string) *Problem { p.Field = name; return p }

// WithNext adds what the reader can do about it.
func (p *Problem) WithNext(format string, args ...any) *Problem {
	p.Next = fmt.Sprintf(format, args...)
	return p
}

func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	if p.Field != "" {
		text = p.Field + ": " + text
	}
	return fmt.Sprintf("%s (%s)", text, p.Code)
}

// Retryable reports whether the same request may simply be sent again.
func (p *Problem) Retryable() bool { return Codes[p.Code].Retry }

// WriteTo answers a request with the problem.
func (p *Problem) WriteTo(w http.ResponseWriter) {
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte(`{"status":500,"code":"internal"}`)
	}
	w.Header().Set("Content-Type", ProblemType)
	if p.RetryAfter > 0 {
		w.Header().Set("Retry-After", RetryAfterSeconds(p.RetryAfter))
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n'))
}

// RetryAfterSeconds writes a duration as Retry-After wants it: whole seconds, at least one.
func RetryAfterSeconds(after time.Duration) string {
	return fmt.Sprint(max(1, int((after+time.Second-1)/time.Second)))
}

// CodeOf finds the code of an error, "" when there is no problem in its chain.
func CodeOf(err error) Code {
	var problem *Problem
	if errors.As(err, &problem) {
		return problem.Code
	}
	return ""
}

package fsm

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stead-io/stead/api"
)

// CommandType says which command a log entry holds. The values are in every Raft log there is: never
// renumber, never reuse. testdata/log holds one golden entry of each.
type CommandType uint8

const (
	TypeBootstrap CommandType = 1
	TypeMember    CommandType = 2
	TypeRegister  CommandType = 3
	TypeStatus    CommandType = 4
	TypeDrain     CommandType = 5
	TypePatch     CommandType = 6
	TypeRemove    CommandType = 7
	TypeRebalance CommandType = 8
	TypeSettings  CommandType = 9
	TypeWant      CommandType = 10
	TypeHold      CommandType = 11
	TypeLevel     CommandType = 12

	TypeArrange     CommandType = 13 // level 2 from here on
	TypeMaintenance CommandType = 14
	TypeReport      CommandType = 15
	TypeForget      CommandType = 16
	TypeDelivered   CommandType = 17
	TypeEnlist      CommandType = 18
	TypeRestore     CommandType = 19

	TypeCas    CommandType = 20 // level 3 from here on
	TypeCancel CommandType = 21
	TypeEvict  CommandType = 22
	TypeForce  CommandType = 23
	TypeOut    CommandType = 24
)

// LevelSupported is the highest FSM level this program understands. A command of a higher level than
// the one in force is never proposed; one of a type unknown here stops the process.
const LevelSupported = 4

// ErrUnknownCommand means that the log was written by a newer program: applying on would diverge.
var ErrUnknownCommand = errors.New("the log holds a command this version does not know; run a newer one")

// Header is what every command carries.
type Header struct {
	// Time is the proposer's clock in milliseconds since 1970. State.Clock never runs backwards.
	Time int64 `json:"time"`
	Origin
}

// Origin says who asks for a command, and on what conditions.
type Origin struct {
	// Actor asked for the command: an operator, a node, or "system".
	Actor string `json:"actor"`
	// Key makes the command safe to repeat: the same key with the same Request (a digest) is carried
	// out once, and answered alike ever after.
	Key     string `json:"key,omitempty"`
	Request string `json:"request,omitempty"`
	// Base is the newest change that the command was made in sight of; a newer one refuses it. 0: any.
	Base api.ChangeID `json:"base,omitempty"`
}

// By is the origin of a command without conditions.
func By(actor string) Origin { return Origin{Actor: actor} }

// At makes the header of a command.
func At(now time.Time, origin Origin) Header { return Header{Time: now.UnixMilli(), Origin: origin} }

// LevelOf is the level that a cluster must have reached before the command may be proposed.
func LevelOf(origin Origin, command Command) int {
	switch {
	case needsKeys(command), registersH2C(command):
		return KeysLevel
	case command.commandType() > TypeRestore || needsManaged(command):
		return ManagedLevel
	case command.commandType() > TypeLevel || origin.Key != "" || origin.Base != 0:
		return 2
	default:
		return 1
	}
}

// KeysLevel is the level from which on keys may be in cookies, host names and bodies, and clients be given one.
const KeysLevel = 4

// needsKeys reports whether a command says what only members of KeysLevel understand.
func needsKeys(command Command) bool {
	switch command := command.(type) {
	case Bootstrap:
		return readsNewKeys(command.Settings.Keys, command.Settings.NoKey)
	case Settings:
		return readsNewKeys(command.Keys, command.NoKey)
	default:
		return false
	}
}

func readsNewKeys(rules []string, noKey api.NoKey) bool {
	return noKey == api.NoKeySticky || slices.ContainsFunc(rules, func(text string) bool {
		source, _, _ := strings.Cut(text, ":")
		switch api.KeySource(source) {
		case api.KeyFromCookie, api.KeyFromHost, api.KeyFromJSON:
			return true
		default:
			return false
		}
	})
}

// H2CLevel is the level from which on nodes may be at addresses of HTTP/2.
const H2CLevel = KeysLevel

// needsH2C reports a registration that only members of H2CLevel understand.
func needsH2C(asked api.Registration) bool {
	_, h2c := api.CutH2C(asked.Address)
	return h2c
}

// registersH2C reports a command with such a registration.
func registersH2C(command Command) bool {
	switch command := command.(type) {
	case Register:
		return needsH2C(command.Registration)
	case Arrange:
		return slices.ContainsFunc(command.Edits.Add, needsH2C)
	default:
		return false
	}
}

// ManagedLevel is the level from which on nodes hand their slots over, and replicate them.
const ManagedLevel = 3

// needsManaged reports whether an older command says what only members of ManagedLevel understand.
func needsManaged(command Command) bool {
	switch command := command.(type) {
	case Bootstrap:
		is := command.Settings
		return is.State != api.StateNone || is.Replicas > 1 || is.MinInSync != 0 || is.OnLastCopy != ""
	case Settings:
		return command.MinInSync != nil || command.OnLastCopy != nil
	case Register:
		return command.Registration.State != "" && command.Registration.State != api.StateNone
	case Report:
		return len(command.Configs) > 0
	default:
		return false
	}
}

// Command is one of the types below.
type Command interface {
	commandType() CommandType
}

// Bootstrap makes the cluster. Proposed once, by the first leader.
type Bootstrap struct {
	Cluster  api.ClusterID `json:"cluster"`
	Settings api.Settings  `json:"settings"`
	Level    int           `json:"level,omitempty"` // that all founders support; 0 is 1
}

// Member records that a control-plane member of that id took part: its name is taken from then on.
type Member struct {
	ID   api.MemberID `json:"id"`
	Name string       `json:"name"`
}

// Register lists a node, or renews its session.
type Register struct {
	Registration api.Registration `json:"registration"`
}

// Status carries what liveness found, in one batch.
type Status struct {
	Transitions []Transition `json:"transitions"`
}

// Transition is one node's new status. Session guards against a verdict on a predecessor.
type Transition struct {
	Node    api.NodeID     `json:"node"`
	Session api.SessionID  `json:"session"`
	Status  api.NodeStatus `json:"status"`
	Left    bool           `json:"left,omitempty"` // it said that it stops
	Reason  string         `json:"reason,omitempty"`
}

// Drain asks that a node hold no slots any more, or, with On false, that it may again.
type Drain struct {
	Node api.NodeID `json:"node"`
	On   bool       `json:"on"`
}

// Patch changes a node's weight or zone.
type Patch struct {
	Node  api.NodeID    `json:"node"`
	Patch api.NodePatch `json:"patch"`
}

// Remove forgets a node. Its slots are unassigned until the planner gives them away.
type Remove struct {
	Node  api.NodeID `json:"node"`
	Force bool       `json:"force"`
}

// Rebalance asks for an even ring, moving slots of any node that is up.
type Rebalance struct{}

// Settings replaces the settings that may change.
type Settings struct {
	Keys  []string  `json:"keys,omitempty"`
	NoKey api.NoKey `json:"no_key,omitempty"`
	Force bool      `json:"force,omitempty"`

	MinInSync  *int            `json:"min_in_sync,omitempty"`
	OnLastCopy *api.OnLastCopy `json:"on_last_copy,omitempty"`
}

// Want is the planner's result: the wanted replicas of every slot. With state none the slots flip to
// it in the same command; else their primaries see to it.
type Want struct {
	Base    uint64         `json:"base"`    // State.PlanBase it was planned from; refused if that has moved
	Want    []byte         `json:"want"`    // R big-endian uint16 node indexes per slot
	Changes []api.ChangeID `json:"changes"` // the pending changes it settles
}

// Hold marks changes that the eviction governor holds back until a person decides.
type Hold struct {
	Changes []api.ChangeID `json:"changes"`
	Reason  string         `json:"reason"`
}

// Level raises the FSM level.
type Level struct {
	Level int `json:"level"`
}

func (Bootstrap) commandType() CommandType { return TypeBootstrap }
func (Member) commandType() CommandType    { return TypeMember }
func (Register) commandType() CommandType  { return TypeRegister }
func (Status) commandType() CommandType    { return TypeStatus }
func (Drain) commandType() CommandType     { return TypeDrain }
func (Patch) commandType() CommandType     { return TypePatch }
func (Remove) commandType() CommandType    { return TypeRemove }
func (Rebalance) commandType() CommandType { return TypeRebalance }
func (Settings) commandType() CommandType  { return TypeSettings }
func (Want) commandType() CommandType      { return TypeWant }
func (Hold) commandType() CommandType      { return TypeHold }
func (Level) commandType() CommandType     { return TypeLevel }
func (Report) commandType() CommandType    { return TypeReport }

// envelope is the JSON behind the type octet of a log entry.
type envelope struct {
	Header  Header          `json:"header"`
	Command json.RawMessage `json:"command"`
}

// Encode writes a log entry: one octet of type, then JSON.
func Encode(header Header, command Command) ([]byte, error) {
	body, err := json.Marshal(command)
	if err != nil {
		return nil, fmt.Errorf("cannot encode command %d: %w", command.commandType(), err)
	}
	text, err := json.Marshal(envelope{Header: header, Command: body})
	if err != nil {
		return nil, fmt.Errorf("cannot encode command %d: %w", command.commandType(), err)
	}
	return append([]byte{byte(command.commandType())}, text...), nil
}

// Decode reads a log entry. Fields it does not know are ignored: a level, not a field, is what
// changes the meaning of a command.
func Decode(entry []byte) (Header, Command, error) {
	if len(entry) == 0 {
		return Header{}, nil, errors.New("cannot decode an empty log entry")
	}
	var frame envelope
	if err := json.Unmarshal(entry[1:], &frame); err != nil {
		return Header{}, nil, fmt.Errorf("cannot decode command %d: %w", entry[0], err)
	}
	command, err := decodeCommand(CommandType(entry[0]), frame.Command)
	if err != nil {
		return Header{}, nil, fmt.Errorf("cannot decode command %d: %w", entry[0], err)
	}
	return frame.Header, command, nil
}

func decodeCommand(kind CommandType, body []byte) (Command, error) {
	switch kind {
	case TypeBootstrap:
		return decodeAs[Bootstrap](body)
	case TypeMember:
		return decodeAs[Member](body)
	case TypeRegister:
		return decodeAs[Register](body)
	case TypeStatus:
		return decodeAs[Status](body)
	case TypeDrain:
		return decodeAs[Drain](body)
	case TypePatch:
		return decodeAs[Patch](body)
	case TypeRemove:
		return decodeAs[Remove](body)
	case TypeRebalance:
		return decodeAs[Rebalance](body)
	case TypeSettings:
		return decodeAs[Settings](body)
	case TypeWant:
		return decodeAs[Want](body)
	case TypeHold:
		return decodeAs[Hold](body)
	case TypeLevel:
		return decodeAs[Level](body)
	case TypeReport:
		return decodeAs[Report](body)
	case TypeDelivered:
		return decodeAs[Delivered](body)
	case TypeArrange:
		return decodeAs[Arrange](body)
	case TypeMaintenance:
		return decodeAs[Maintenance](body)
	case TypeForget:
		return decodeAs[Forget](body)
	case TypeEnlist:
		return decodeAs[Enlist](body)
	case TypeRestore:
		return decodeAs[Restore](body)
	case TypeCas:
		return decodeAs[Cas](body)
	case TypeCancel:
		return decodeAs[Cancel](body)
	case TypeEvict:
		return decodeAs[Evict](body)
	case TypeForce:
		return decodeAs[Force](body)
	case TypeOut:
		return decodeAs[Out](body)
	default:
		return nil, ErrUnknownCommand
	}
}

func decodeAs[C Command](body []byte) (Command, error) {
	var command C
	err := json.Unmarshal(body, &command)
	return command, err
}

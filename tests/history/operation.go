package history

import (
	"fmt"
	"time"
)

// Kind is what an operation does. The numbers stand in journals.
type Kind uint8

const (
	Get    Kind = 1
	Put    Kind = 2
	Swap   Kind = 3 // put, if the key holds what it is expected to hold
	Delete Kind = 4
)

// String names the kind.
func (k Kind) String() string {
	switch k {
	case Get:
		return "get"
	case Put:
		return "put"
	case Swap:
		return "swap"
	case Delete:
		return "delete"
	default:
		return fmt.Sprintf("kind %d", uint8(k))
	}
}

// Operation is one that a client began. Values are unique to their write; "" is the absence of one.
type Operation struct {
	ID     int           `json:"id"`
	Client int           `json:"client"`
	Key    string        `json:"key"`
	Kind   Kind          `json:"kind"`
	Value  string        `json:"value,omitempty"`  // put, swap: what it writes
	Expect string        `json:"expect,omitempty"` // swap: what the key must hold
	Call   time.Duration `json:"call"`             // since the beginning of the history
	// Answer is nil while there is none, and for ever if nobody knows what became of the operation.
	Answer *Answer `json:"answer,omitempty"`
}

// Answer is what came back.
type Answer struct {
	Return time.Duration `json:"return"`          // since the beginning of the history
	Value  string        `json:"value,omitempty"` // get: what it read
	Tag    string        `json:"tag,omitempty"`   // of the value that was read or written: its version
	// Held: the swap's expectation held; the delete found something.
	Held bool `json:"held,omitempty"`
}

// Writes reports whether the operation can leave Value in its key.
func (o Operation) Writes() bool { return o.Kind == Put || o.Kind == Swap }

// acknowledged reports whether the operation is known to have left Value in its key.
func (o Operation) acknowledged() bool {
	return o.Answer != nil && (o.Kind == Put || o.Kind == Swap && o.Answer.Held)
}

// before reports whether the operation was answered before another began.
func (o Operation) before(other Operation) bool {
	return o.Answer != nil && o.Answer.Return < other.Call
}

// String tells the operation in one line.
func (o Operation) String() string {
	text := o.Kind.String()
	if o.Kind == Swap {
		text += fmt.Sprintf(" %s for", show(o.Expect))
	}
	if o.Writes() {
		text += " " + show(o.Value)
	}
	switch {
	case o.Answer == nil:
		return text + ": no answer"
	case o.Kind == Get:
		return text + ": " + show(o.Answer.Value)
	case o.Kind == Swap || o.Kind == Delete:
		return fmt.Sprintf("%s: %v", text, o.Answer.Held)
	default:
		return text + ": done"
	}
}

func show(value string) string {
	if value == "" {
		return "nothing"
	}
	return value
}

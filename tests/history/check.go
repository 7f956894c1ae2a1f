package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/anishathalye/porcupine"
)

// Violations.
var (
	ErrNotLinearizable = errors.New("no order of the operations explains the answers")
	ErrLost            = errors.New("an acknowledged write is gone")
	ErrPhantom         = errors.New("a value was read that nobody wrote")
	ErrTags            = errors.New("versions and values do not go together")
	// ErrUndecided: the search took longer than it may. It is no proof of anything.
	ErrUndecided = errors.New("the search for an order did not end in time")
)

// CheckTimeout bounds the search in one key's history.
const CheckTimeout = time.Minute

// Check decides on the operations of one key, in the order of their calls. The error wraps one of those above.
func Check(operations []Operation) error {
	if err := checkTags(operations); err != nil {
		return err
	}
	if err := checkReads(operations); err != nil {
		return err
	}
	switch porcupine.CheckOperationsTimeout(register, forPorcupine(operations), CheckTimeout) {
	case porcupine.Ok:
		return nil
	case porcupine.Illegal:
		return ErrNotLinearizable
	default:
		return ErrUndecided
	}
}

// checkTags: a tag stands for one value for ever, and a value, being written once, has one tag.
func checkTags(operations []Operation) error {
	tagOf, valueOf := map[string]string{}, map[string]string{}
	for _, o := range operations {
		if o.Answer == nil || o.Answer.Tag == "" {
			continue
		}
		value, tag := o.Answer.Value, o.Answer.Tag
		if o.Writes() {
			value = o.Value
		}
		if known, seen := tagOf[value]; seen && known != tag {
			return fmt.Errorf("%w: %s was %s and %s", ErrTags, value, known, tag)
		}
		if known, seen := valueOf[tag]; seen && known != value {
			return fmt.Errorf("%w: %s was %s and %s", ErrTags, tag, known, value)
		}
		tagOf[value], valueOf[tag] = tag, value
	}
	return nil
}

// checkReads looks at each read by itself. It needs no search, so what it finds is easy to follow.
func checkReads(operations []Operation) error {
	writers := map[string]Operation{}
	for _, o := range operations {
		if o.Writes() {
			writers[o.Value] = o
		}
	}
	for _, read := range operations {
		if read.Kind != Get || read.Answer == nil {
			continue
		}
		writer, written := writers[read.Answer.Value]
		if read.Answer.Value != "" && !written {
			return fmt.Errorf("%w: %s", ErrPhantom, read)
		}
		if lost, found := lostTo(read, writer, operations); found {
			return fmt.Errorf("%w: %s, long after %s", ErrLost, read, lost)
		}
	}
	return nil
}

// lostTo finds an acknowledged write that was over before the read began, and that nothing explains the
// absence of: the value read was written before it, or there is no value and no delete that could have come
// behind it.
func lostTo(read, writer Operation, operations []Operation) (Operation, bool) {
	for _, write := range operations {
		if !write.acknowledged() || !write.before(read) {
			continue
		}
		if read.Answer.Value != "" && writer.before(write) {
			return write, true
		}
		if read.Answer.Value == "" && !deletedAfter(write, operations) {
			return write, true
		}
	}
	return Operation{}, false
}

func deletedAfter(write Operation, operations []Operation) bool {
	for _, o := range operations {
		if o.Kind == Delete && !o.before(write) {
			return true
		}
	}
	return false
}

// Save writes a history that was found at fault to a folder, as JSON and as a page that shows it, and returns
// the page's path.
func Save(folder string, operations []Operation) (page string, err error) {
	if len(operations) == 0 {
		return "", errors.New("cannot save an empty history")
	}
	key := operations[0].Key
	text, err := json.MarshalIndent(operations, "", " ")
	if err != nil {
		return "", fmt.Errorf("cannot encode history of %s: %w", key, err)
	}
	if err := os.WriteFile(filepath.Join(folder, "violation-"+key+".json"), text, 0o600); err != nil {
		return "", fmt.Errorf("cannot save history: %w", err)
	}
	page = filepath.Join(folder, "violation-"+key+".html")
	_, found := porcupine.CheckOperationsVerbose(register, forPorcupine(operations), CheckTimeout)
	if err := porcupine.VisualizePath(register, found, page); err != nil {
		return "", fmt.Errorf("cannot draw history of %s: %w", key, err)
	}
	return page, nil
}

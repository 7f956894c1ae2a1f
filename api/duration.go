package api

import (
	"encoding/json"
	"reflect"
	"time"
)

// Duration travels in JSON as a Go duration string: "250ms", "2s", "1h30m".
type Duration time.Duration

// MarshalJSON writes the duration string.
func (d Duration) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Duration(d).String())
}

// UnmarshalJSON reads a duration string; a bare number has no unit and is refused. The error is of the
// kind to which encoding/json adds the field's name.
func (d *Duration) UnmarshalJSON(raw []byte) error {
	var text string
	parsed := time.Duration(0)
	err := json.Unmarshal(raw, &text)
	if err == nil {
		parsed, err = time.ParseDuration(text)
	}
	if err != nil {
		return &json.UnmarshalTypeError{
			Value: "value " + Clip(string(raw)) + `, which is no duration such as "2s",`,
			Type:  reflect.TypeFor[Duration](),
		}
	}
	*d = Duration(parsed)
	return nil
}

func (d Duration) String() string { return time.Duration(d).String() }

package simulate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/stead-io/stead/api"
)

// ErrNoKeys says that a file holds no key.
var ErrNoKeys = errors.New("it holds no keys")

// MadeUp is a source of config.Keys keys: key-0, key-1 and so on.
func MadeUp(config Config) Source {
	hasher := config.hasher()
	next := 0
	key := make([]byte, 0, 32)
	return func(hashes []uint64) (int, error) {
		count := min(len(hashes), config.Keys-next)
		for i := range count {
			key = strconv.AppendInt(append(key[:0], "key-"...), int64(next), 10)
			hashes[i] = hasher.Hash(key)
			next++
		}
		return count, nil
	}
}

// Lines is a source of one key a line, read as it goes: a key that stands twice counts twice, an empty
// line is no key. A line may end in CR LF.
func Lines(config Config, file io.Reader) Source {
	hasher := config.hasher()
	lines := bufio.NewScanner(file)
	const ends = 2 // CR LF
	lines.Buffer(make([]byte, 0, api.KeyLengthMax+ends), api.KeyLengthMax+ends)
	line, keys := 0, 0
	return func(hashes []uint64) (count int, err error) {
		for count < len(hashes) && lines.Scan() {
			line++
			key := lines.Bytes()
			if len(key) == 0 {
				continue
			}
			if len(key) > api.KeyLengthMax {
				return 0, tooLong(line)
			}
			hashes[count] = hasher.Hash(key)
			count++
		}
		keys += count
		switch err := lines.Err(); {
		case errors.Is(err, bufio.ErrTooLong):
			return 0, tooLong(line + 1)
		case err != nil:
			return 0, err
		case keys == 0:
			return 0, ErrNoKeys
		case keys > KeysMax:
			return 0, fmt.Errorf("it holds more than %d keys", KeysMax)
		}
		return count, nil
	}
}

func tooLong(line int) error {
	return fmt.Errorf("line %d is longer than a key may be, %d octets", line, api.KeyLengthMax)
}

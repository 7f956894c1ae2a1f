package access

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/durable"
	"github.com/stead-io/stead/api/transport"
)

// Limits of a token file.
const (
	tokenLengthMin = 16
	tokensMax      = 1000
	fileMax        = 1 << 20 // bytes
	holderNameMax  = 64
)

// errEmpty refuses a file that holds nothing at all: it is one that is being written, or was cut short by
// a full disk, and would shut everybody out. One that means it says so in a comment.
var errEmpty = errors.New("it is empty; a comment alone says that nobody has a token")

const digestPrefix = "sha256:"

// Tokens are those of a file, read anew when it changes. Of each, only the digest is kept.
type Tokens struct {
	loaded *durable.Reloaded[[]token]
}

type token struct {
	digest [sha256.Size]byte
	holder transport.Identity
}

// LoadTokens reads a file of lines "ROLE NAME TOKEN"; a token may stand as sha256: and its digest in
// hex. The logger hears when the file was replaced, and when that was in vain.
func LoadTokens(path string, logger *slog.Logger) (*Tokens, error) {
	read := func() (*[]token, error) {
		content, err := readFile(path)
		if err != nil {
			return nil, err
		}
		tokens, err := parse(content)
		if err != nil {
			return nil, fmt.Errorf("cannot read the tokens in %s: %w", path, err)
		}
		return &tokens, nil
	}
	loaded, err := durable.Reload([]string{path}, read, func(err error) {
		if err != nil {
			logger.Warn("the replaced token file is not used", "error", err)
			return
		}
		logger.Info("the token file was replaced")
	})
	if err != nil {
		return nil, err
	}
	return &Tokens{loaded}, nil
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the token file: %w", err)
	}
	if info.Size() > fileMax {
		return nil, fmt.Errorf("the token file %s is larger than %d bytes", path, fileMax)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the token file: %w", err)
	}
	return content, nil
}

// parse reads a token file. Its errors name lines, never what stands there.
func parse(content []byte) ([]token, error) {
	if len(bytes.TrimSpace(content)) == 0 {
		return nil, errEmpty
	}
	tokens := []token{}
	seen := make(map[[sha256.Size]byte]bool)
	number := 0
	for line := range bytes.Lines(content) {
		number++
		fields := strings.Fields(string(line))
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		parsed, err := parseLine(fields)
		if err == nil && seen[parsed.digest] {
			err = errors.New("the token stands in an earlier line")
		}
		if err == nil && len(tokens) == tokensMax {
			err = fmt.Errorf("there are more than %d tokens", tokensMax)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		seen[parsed.digest] = true
		tokens = append(tokens, parsed)
	}
	return tokens, nil
}

func parseLine(fields []string) (token, error) {
	if len(fields) != 3 {
		return token{}, errors.New("it is not ROLE NAME TOKEN")
	}
	role, err := transport.ParseRole(fields[0])
	if err != nil || role == transport.RoleMember {
		return token{}, errors.New("the role is none of operator, read-only, node and proxy")
	}
	holder := transport.Identity{Role: role, Name: fields[1]}
	if err := checkHolder(holder); err != nil {
		return token{}, err
	}
	digest, err := digestOf(fields[2])
	return token{digest, holder}, err
}

// checkHolder quotes nothing: where columns were mixed up, the name is the token.
func checkHolder(holder transport.Identity) error {
	var wrong bool
	switch {
	case holder.Name == Anybody && (holder.Role == transport.RoleNode || holder.Role == transport.RoleProxy):
	case holder.Role == transport.RoleNode:
		wrong = api.NodeID(holder.Name).Validate() != nil
	case holder.Role == transport.RoleProxy:
		wrong = api.ProxyID(holder.Name).Validate() != nil
	default:
		wrong = len(holder.Name) > holderNameMax || strings.ContainsFunc(holder.Name, func(c rune) bool { return c < ' ' || c > '~' })
	}
	if wrong {
		return errors.New("the name can name nobody of that role")
	}
	return nil
}

func digestOf(text string) (digest [sha256.Size]byte, err error) {
	if written, found := strings.CutPrefix(text, digestPrefix); found {
		raw, err := hex.DecodeString(written)
		if err != nil || len(raw) != sha256.Size {
			return digest, errors.New("sha256: is not followed by 64 hex digits")
		}
		return [sha256.Size]byte(raw), nil
	}
	if len(text) < tokenLengthMin {
		return digest, fmt.Errorf("the token is shorter than %d characters", tokenLengthMin)
	}
	return sha256.Sum256([]byte(text)), nil
}

// Holder is whose token it is. It looks at all of them, however early one fits.
func (t *Tokens) Holder(shown string) (holder transport.Identity, known bool) {
	digest := sha256.Sum256([]byte(shown))
	for _, token := range *t.loaded.Get() {
		if subtle.ConstantTimeCompare(token.digest[:], digest[:]) == 1 {
			holder, known = token.holder, true
		}
	}
	return holder, known
}

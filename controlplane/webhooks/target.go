package webhooks

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
)

// TargetsMax is how many webhooks a member may have.
const TargetsMax = 8

// urlMax bounds the URL of a webhook, in bytes.
const urlMax = 2048

// target is where a webhook posts. Its URL may hold a secret, so whatever is logged, counted or
// replicated goes by digest.
type target struct {
	url    string
	host   string
	digest string // of the URL, 32 hex digits
}

// name tells webhooks apart for people.
func (t target) name() string { return t.host + "#" + t.digest[:8] }

// ValidateURLs reports the first URL that cannot be a webhook's, without repeating it.
func ValidateURLs(urls []string) error {
	_, err := parseTargets(urls)
	return err
}

func parseTargets(urls []string) ([]target, error) {
	if len(urls) > TargetsMax {
		return nil, fmt.Errorf("%d webhooks are more than %d", len(urls), TargetsMax)
	}
	var targets []target
	seen := make(map[string]bool)
	for i, text := range urls {
		parsed, err := url.Parse(text)
		switch {
		case err != nil:
			return nil, fmt.Errorf("webhook %d is not a URL", i+1)
		case len(text) > urlMax:
			return nil, fmt.Errorf("webhook %d is longer than %d bytes", i+1, urlMax)
		case parsed.Scheme != "http" && parsed.Scheme != "https", parsed.Host == "", parsed.Fragment != "":
			return nil, fmt.Errorf("webhook %d is not http://host/… or https://host/…", i+1)
		case parsed.User != nil:
			return nil, fmt.Errorf("webhook %d holds a user's name or password; deliveries are signed instead", i+1)
		case seen[text]:
			return nil, errors.New("a webhook stands twice")
		}
		seen[text] = true
		sum := sha256.Sum256([]byte(text))
		targets = append(targets, target{url: text, host: parsed.Host, digest: hex.EncodeToString(sum[:16])})
	}
	return targets, nil
}

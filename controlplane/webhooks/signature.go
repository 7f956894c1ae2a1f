package webhooks

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// Bounds of the key that deliveries are signed with, in bytes.
const (
	keyMin = 16
	keyMax = 1024
)

// ParseKey reads a key file: its bytes without a line break at the end.
func ParseKey(file []byte) ([]byte, error) {
	key := bytes.TrimRight(file, "\r\n")
	if len(key) < keyMin || len(key) > keyMax {
		return nil, fmt.Errorf("the webhook key is %d bytes long, not %d to %d", len(key), keyMin, keyMax)
	}
	if len(bytes.TrimSpace(key)) == 0 {
		return nil, errors.New("the webhook key is blank")
	}
	return key, nil
}

// sign writes the header that proves, to who has the key, that a body was sent by this cluster at this
// time (api.HeaderSignature).
func sign(key []byte, now time.Time, body []byte) string {
	sum := hmac.New(sha256.New, key)
	fmt.Fprintf(sum, "%d.", now.Unix())
	_, _ = sum.Write(body)
	return fmt.Sprintf("t=%d,v1=%s", now.Unix(), hex.EncodeToString(sum.Sum(nil)))
}

//go:build !linux

package slack

// Relax does nothing: only Linux has a timer slack.
func Relax() {}

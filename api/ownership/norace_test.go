//go:build !race

package ownership_test

const raced = false

package ring_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestFind(t *testing.T) {
	for seed := range 30000 {
		w := newWorld(rand.New(rand.NewPCG(uint64(seed), 7)))
		for step := range 6 {
			w.change()
			func() {
				defer func() {
					if e := recover(); e != nil {
						fmt.Println("seed", seed, step, e)
						fmt.Println(w.world)
						t.FailNow()
					}
				}()
				_, _, err := w.check()
				if err != nil {
					t.Fatal(seed, step, err)
				}
			}()
		}
	}
}

package fsm

import "slices"

// tail is a list that successive states append to and share: each sees its own items, and only the
// newest in line appends in place.
type tail[T any] struct {
	items  []T
	end    int  // items ever pushed, dropped ones included
	newest *int // end of the newest state that shares the array
}

func (t tail[T]) push(item T) tail[T] {
	if t.newest == nil || *t.newest != t.end {
		t.items = slices.Clone(t.items)
		t.newest = new(int)
	}
	t.items = append(t.items, item)
	t.end++
	*t.newest = t.end
	return t
}

// detached is the tail for a state that may not come to be: what is pushed onto it stays its own.
func (t tail[T]) detached() tail[T] {
	t.newest = nil
	return t
}

// drop forgets the first n items.
func (t tail[T]) drop(n int) tail[T] {
	t.items = t.items[n:]
	return t
}

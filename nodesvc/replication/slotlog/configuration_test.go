package slotlog

import (
	"encoding/binary"
	"reflect"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

// configOf is a configuration whose primary is the member at a place, nobody if there is none.
func configOf(epoch api.Epoch, primary int, nodes ...api.NodeID) ownership.Config[api.Replica] {
	config := ownership.Config[api.Replica]{Epoch: epoch}
	for _, node := range nodes {
		config.ISR = append(config.ISR, api.Replica{Node: node, Store: api.StoreID(strings.Repeat("a", 32))})
	}
	if primary >= 0 {
		config.Primary = config.ISR[primary]
	}
	return config
}

func TestMetaComesBackAsItWas(t *testing.T) {
	f := func(meta Meta) {
		t.Helper()
		value := appendMeta(nil, &meta)
		if got, err := readMeta(value); err != nil || !reflect.DeepEqual(got, meta) {
			t.Errorf("got %+v, %v; want %+v", got, err, meta)
		}
	}
	history := []ownership.EpochStart{{Epoch: 3, Start: 1}, {Epoch: 8, Start: 15}}
	f(Meta{})
	f(Meta{Adopted: 9, History: history, Held: true})
	f(Meta{Adopted: 9, History: history, Config: configOf(9, 0, "n1")})
	f(Meta{Adopted: 9, Held: true, Config: configOf(9, 2, "n1", "n2", "n3")})
	f(Meta{Adopted: 9, Config: configOf(9, -1, "n1")})
}

// A meta of before configurations were kept is read, and says nothing of any.
func TestMetaWithoutConfiguration(t *testing.T) {
	value := make([]byte, metaHeadSize)
	binary.BigEndian.PutUint64(value, 7)
	value[metaHeadSize-1] = 1
	if got, err := readMeta(value); err != nil || !reflect.DeepEqual(got, Meta{Adopted: 7, Held: true}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestMalformedMeta(t *testing.T) {
	whole := appendMeta(nil, &Meta{Adopted: 9, Config: configOf(9, 0, "n1")})
	for size := range whole {
		if _, err := readMeta(whole[:size]); err == nil {
			t.Errorf("%d of %d octets are a meta", size, len(whole))
		}
	}
	f := func(what string, at int, octet byte) {
		t.Helper()
		value := append([]byte(nil), whole...)
		value[at] = octet
		if _, err := readMeta(value); err == nil {
			t.Errorf("%s is a meta", what)
		}
	}
	f("an unknown flag", metaHeadSize-1, 4)
	f("a primary that is no member", metaHeadSize, 1)
	f("no members", metaHeadSize+1, 0)
	f("a name longer than the value", metaHeadSize+2, 200)
}

func FuzzReadMeta(f *testing.F) {
	f.Add(appendMeta(nil, &Meta{Adopted: 9, Held: true, Config: configOf(9, 1, "n1", "n2")}))
	f.Fuzz(func(t *testing.T, value []byte) {
		meta, err := readMeta(value)
		if err != nil {
			return
		}
		if again, err := readMeta(appendMeta(nil, &meta)); err != nil || !reflect.DeepEqual(again, meta) {
			t.Errorf("%x reads as %+v, and written again as %+v, %v", value, meta, again, err)
		}
	})
}

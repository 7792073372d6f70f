package gossip

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"
	"time"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/db/kv"
)

// Info is one thing that everyone may know. It is immutable.
type Info struct {
	Key     string
	Value   []byte
	Version hlc.Timestamp // of two infos of one key the one with the higher version stands
	Origin  kv.NodeID     // who published it
	TTL     time.Duration // shown for this long after Version; 0: for ever
	Hops    int32         // hands that it came through; 0: published here
}

// Limits of what may be published, in bytes.
const (
	MaxKey   = 256
	MaxValue = 64 << 10
)

// compare orders the infos of one key, by version first. Infos that differ in nothing
// but their hops are the same.
func (x *Info) compare(y *Info) int {
	if c := x.Version.Compare(y.Version); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(x.Origin, y.Origin), bytes.Compare(x.Value, y.Value), cmp.Compare(x.TTL, y.TTL))
}

// expired reports that the info has outlived its time.
func (x *Info) expired(now hlc.Timestamp) bool {
	return x.TTL > 0 && x.Version.Add(x.TTL).LessEq(now)
}

// String prints the info for reading, without its value.
func (x *Info) String() string {
	s := fmt.Sprintf("%s of n%d at %s, %d bytes, %d hops", x.Key, x.Origin, x.Version, len(x.Value), x.Hops)
	if x.TTL > 0 {
		s += fmt.Sprintf(", for %s", x.TTL)
	}
	return s
}

// Size is the length of Encode's output.
func (x *Info) Size() int {
	return codec.SizeString(x.Key) + codec.SizeBytes(x.Value) + x.Version.Size() + codec.SizeVarint(int64(x.Origin)) +
		codec.SizeUvarint(uint64(x.TTL)) + codec.SizeUvarint(uint64(x.Hops))
}

// minInfoSize is the least that Encode of an info takes.
const minInfoSize = 7

// Encode appends the info.
func (x *Info) Encode(b []byte) []byte {
	b = x.Version.Encode(codec.AppendBytes(codec.AppendString(b, x.Key), x.Value))
	b = codec.AppendUvarint(codec.AppendVarint(b, int64(x.Origin)), uint64(x.TTL))
	return codec.AppendUvarint(b, uint64(x.Hops))
}

// maxHops bounds the count of hops that is decoded: more hands than any cluster has.
const maxHops = 1 << 20

func decodeInfo(r *codec.Reader) Info {
	x := Info{Key: r.String(), Value: r.Bytes(), Version: hlc.Decode(r), Origin: kv.NodeID(r.Int32())}
	ttl, hops := r.Uvarint(), r.Uvarint()
	if ttl > uint64(1<<62) || hops > maxHops {
		r.Failf("gossip: info of %q lives for %d ns after %d hops", x.Key, ttl, hops)
		return Info{}
	}
	x.TTL, x.Hops = time.Duration(ttl), int32(hops)
	if err := x.validate(); err != nil {
		r.Fail(err)
		return Info{}
	}
	return x
}

// validate returns an error if the info may not be published.
func (x *Info) validate() error {
	switch {
	case x.Key == "" || len(x.Key) > MaxKey:
		return fmt.Errorf("gossip: a key has 1 to %d bytes, not %d", MaxKey, len(x.Key))
	case len(x.Value) > MaxValue:
		return fmt.Errorf("gossip: info %q has %d bytes, more than %d: publish where it is kept instead", x.Key, len(x.Value), MaxValue)
	case x.Version.IsEmpty() || x.Version.Wall < 0:
		return fmt.Errorf("gossip: info %q has version %s", x.Key, x.Version)
	case x.TTL < 0:
		return fmt.Errorf("gossip: info %q is to live for %s", x.Key, x.TTL)
	}
	return nil
}

// Keys of infos. Those of one kind begin alike, and OnChange and Visit take the
// beginning.
const (
	SentinelKey    = "sentinel"
	NodePrefix     = "node:"
	StorePrefix    = "store:"
	LivenessPrefix = "liveness:"
)

// NodeKey is the key of a node's descriptor.
func NodeKey(n kv.NodeID) string { return fmt.Sprintf("%s%d", NodePrefix, n) }

// StoreKey is the key of a store's descriptor.
func StoreKey(s kv.StoreID) string { return fmt.Sprintf("%s%d", StorePrefix, s) }

// LivenessKey is the key of a node's liveness record.
func LivenessKey(n kv.NodeID) string { return fmt.Sprintf("%s%d", LivenessPrefix, n) }

// hasPrefix reports that an info's key is of the kind that begins with prefix.
func (x *Info) hasPrefix(prefix string) bool { return strings.HasPrefix(x.Key, prefix) }

package keys

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Names of the kinds in printed keys.
var (
	replicatedNames = map[byte]string{
		kindAbortSpan: "AbortSpan", kindGCThreshold: "GCThreshold", kindLease: "Lease",
		kindReadSummary: "ReadSummary", kindApplied: "AppliedState",
	}
	unreplicatedNames = map[byte]string{
		kindRaftLog: "RaftLog", kindHardState: "HardState", kindReplicaID: "ReplicaID",
		kindTruncated: "TruncatedState", kindTombstone: "Tombstone",
	}
	localNames = map[byte]string{kindDescriptor: "Descriptor", kindTxnRecord: "Txn"}
)

// String prints the key as a path, such as /Local/RangeID/3/r/AppliedState or
// /Meta2/"x" or, for a client's own key, "x". What has no better form is printed
// as a quoted string. Parse reads it back.
func (k Key) String() string {
	switch {
	case len(k) == 0:
		return "/Min"
	case k.Equal(Max):
		return "/Max"
	}
	if s, ok := k.path(); ok {
		return s
	}
	return strconv.Quote(string(k))
}

func (k Key) path() (string, bool) {
	switch k[0] {
	case localByte:
		return k.localPath()
	case meta1Byte:
		return "/Meta1" + k[1:].tail(), true
	case meta2Byte:
		return "/Meta2" + k[1:].tail(), true
	case systemByte:
		switch n, ok := DecodeNodeLivenessKey(k); {
		case ok:
			return "/System/NodeLiveness/" + strconv.FormatInt(int64(n), 10), true
		case k.Equal(NodeLivenessSpan().Key):
			return "/System/NodeLiveness", true
		}
		return "/System" + k[1:].tail(), true
	case tableByte:
		table, rest, ok := DecodeUint(k[1:])
		if !ok {
			return "", false
		}
		s := "/Table/" + strconv.FormatUint(table, 10)
		if len(rest) == 0 {
			return s, true
		}
		index, rest, ok := DecodeUint(rest)
		if !ok {
			return "", false
		}
		return s + "/" + strconv.FormatUint(index, 10) + Key(rest).tail(), true
	}
	return "", false
}

// tail prints what follows a known prefix: nothing, /Max, or a quoted string.
func (k Key) tail() string {
	switch {
	case len(k) == 0:
		return ""
	case k.Equal(Max):
		return "/Max"
	}
	return "/" + strconv.Quote(string(k))
}

func (k Key) localPath() (string, bool) {
	if len(k) == 1 {
		return "/Local", true
	}
	switch k[1] {
	case localRangeID:
		return k.rangeIDPath()
	case localRange:
		addressed, rest, ok := DecodeRangeLocal(k)
		if !ok {
			return "", false
		}
		s := "/Local/Range/" + strconv.Quote(string(addressed))
		if len(rest) == 0 {
			return s, true
		}
		name := localNames[rest[0]]
		switch {
		case rest[0] == kindDescriptor && len(rest) == 1:
			return s + "/" + name, true
		case rest[0] == kindTxnRecord && len(rest) == 17:
			return s + "/" + name + "/" + hex.EncodeToString(rest[1:]), true
		}
		return "", false
	case localStore:
		return "/Local/Store" + k[2:].tail(), true
	}
	return "", false
}

func (k Key) rangeIDPath() (string, bool) {
	id, rest, ok := DecodeRangeID(k)
	if !ok {
		return "", false
	}
	s := "/Local/RangeID/" + strconv.FormatInt(int64(id), 10)
	if len(rest) == 0 {
		return s, true
	}
	class, names := rest[0], replicatedNames
	if class == unreplicated {
		names = unreplicatedNames
	} else if class != replicated {
		return "", false
	}
	s += "/" + string(class)
	if len(rest) == 1 {
		return s, true
	}
	name, kind, rest := names[rest[1]], rest[1], rest[2:]
	if name == "" {
		return "", false
	}
	s += "/" + name
	switch {
	case len(rest) == 0:
		return s, true
	case class == replicated && kind == kindAbortSpan && len(rest) == 16:
		return s + "/" + hex.EncodeToString(rest), true
	case class == unreplicated && kind == kindRaftLog && len(rest) == 8:
		return s + "/" + strconv.FormatUint(binary.BigEndian.Uint64(rest), 10), true
	}
	return "", false
}

// String prints a point as its key and a span as [key, end).
func (s Span) String() string {
	if s.IsPoint() {
		return s.Key.String()
	}
	return "[" + s.Key.String() + ", " + s.EndKey.String() + ")"
}

// Parse reads what Key.String printed.
func Parse(s string) (Key, error) {
	p := parser{rest: s}
	k, ok := p.key()
	if !ok || p.rest != "" {
		return nil, fmt.Errorf("keys: not a key: %s", s)
	}
	return k, nil
}

// ParseSpan reads what Span.String printed.
func ParseSpan(s string) (Span, error) {
	bad := fmt.Errorf("keys: not a span: %s", s)
	if !strings.HasPrefix(s, "[") {
		k, err := Parse(s)
		return Span{Key: k}, err
	}
	p := parser{rest: s[1:]}
	k, ok := p.key()
	if !ok || !p.take(", ") {
		return Span{}, bad
	}
	end, ok := p.key()
	if !ok || p.rest != ")" || len(end) == 0 {
		return Span{}, bad
	}
	return Span{Key: k, EndKey: end}, nil
}

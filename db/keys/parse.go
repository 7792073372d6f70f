package keys

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
)

// parser reads a printed key from the front of rest. Its methods return false,
// and leave rest wherever they stopped, if it does not read on as they expect.
type parser struct{ rest string }

func (p *parser) take(s string) bool {
	rest, ok := strings.CutPrefix(p.rest, s)
	if ok {
		p.rest = rest
	}
	return ok
}

// word reads "/" and what follows up to the next separator.
func (p *parser) word() (string, bool) {
	if !p.take("/") {
		return "", false
	}
	n := strings.IndexAny(p.rest, "/,)")
	if n < 0 {
		n = len(p.rest)
	}
	w := p.rest[:n]
	p.rest = p.rest[n:]
	return w, w != ""
}

func (p *parser) quoted() (Key, bool) {
	q, err := strconv.QuotedPrefix(p.rest)
	if err != nil || q[0] != '"' {
		return nil, false
	}
	s, err := strconv.Unquote(q)
	if err != nil {
		return nil, false
	}
	p.rest = p.rest[len(q):]
	return Key(s), true
}

// ended reports that the path has no further part.
func (p *parser) ended() bool { return !strings.HasPrefix(p.rest, "/") }

func (p *parser) number() (uint64, bool) {
	w, ok := p.word()
	v, err := strconv.ParseUint(w, 10, 64)
	return v, ok && err == nil
}

// tail reads what Key.tail printed and appends it to k.
func (p *parser) tail(k Key) (Key, bool) {
	switch {
	case p.ended():
		return k, true
	case p.take("/Max"):
		return append(k, Max...), true
	case p.take("/"):
		t, ok := p.quoted()
		return append(k, t...), ok
	}
	return nil, false
}

func (p *parser) key() (Key, bool) {
	if strings.HasPrefix(p.rest, `"`) {
		return p.quoted()
	}
	w, _ := p.word()
	switch w {
	case "Min":
		return Min, true
	case "Max":
		return Max, true
	case "Meta1":
		return p.tail(Key{meta1Byte})
	case "Meta2":
		return p.tail(Key{meta2Byte})
	case "System":
		return p.system()
	case "Table":
		table, ok := p.number()
		if !ok || p.ended() {
			return TablePrefix(table), ok
		}
		index, ok := p.number()
		if !ok {
			return nil, false
		}
		return p.tail(IndexPrefix(table, index))
	case "Local":
		return p.local()
	}
	return nil, false
}

func (p *parser) system() (Key, bool) {
	if !p.take("/NodeLiveness") {
		return p.tail(Key{systemByte})
	}
	if p.ended() {
		return NodeLivenessSpan().Key, true
	}
	n, ok := p.number()
	return NodeLivenessKey(NodeID(n)), ok && n <= math.MaxInt32
}

func (p *parser) local() (Key, bool) {
	if p.ended() {
		return Local, true
	}
	w, _ := p.word()
	switch w {
	case "Store":
		return p.tail(StoreKey(""))
	case "Range":
		return p.rangeLocal()
	case "RangeID":
		return p.rangeID()
	}
	return nil, false
}

func (p *parser) rangeLocal() (Key, bool) {
	if !p.take("/") {
		return nil, false
	}
	addressed, ok := p.quoted()
	if !ok || p.ended() {
		return rangeLocal(addressed), ok
	}
	w, _ := p.word()
	switch w {
	case localNames[kindDescriptor]:
		return RangeDescriptorKey(addressed), true
	case localNames[kindTxnRecord]:
		txn, ok := p.txnID()
		return txnRecordKey(addressed, txn), ok
	}
	return nil, false
}

func (p *parser) txnID() (TxnID, bool) {
	w, _ := p.word()
	b, err := hex.DecodeString(w)
	if err != nil || len(b) != 16 {
		return TxnID{}, false
	}
	return TxnID(b), true
}

func (p *parser) rangeID() (Key, bool) {
	w, _ := p.word()
	id, err := strconv.ParseInt(w, 10, 64)
	if err != nil {
		return nil, false
	}
	k := RangeIDPrefix(RangeID(id))
	if p.ended() {
		return k, true
	}
	w, _ = p.word()
	var names map[byte]string
	switch w {
	case string(rune(replicated)):
		names, k = replicatedNames, append(k, replicated)
	case string(rune(unreplicated)):
		names, k = unreplicatedNames, append(k, unreplicated)
	default:
		return nil, false
	}
	if p.ended() {
		return k, true
	}
	w, _ = p.word()
	kind, ok := kindNamed(names, w)
	if !ok {
		return nil, false
	}
	k = append(k, kind)
	if p.ended() {
		return k, true
	}
	switch kind {
	case kindRaftLog:
		index, ok := p.number()
		return binary.BigEndian.AppendUint64(k, index), ok
	case kindAbortSpan:
		txn, ok := p.txnID()
		return append(k, txn[:]...), ok
	}
	return nil, false
}

// kindNamed looks a name up. Names are unique, so that the order in which the
// letters are tried does not matter.
func kindNamed(names map[byte]string, name string) (byte, bool) {
	for c := byte('a'); c <= 'z'; c++ {
		if n := names[c]; n != "" && n == name {
			return c, true
		}
	}
	return 0, false
}

package kv

import (
	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
)

// Flags of a transaction's encoding.
const (
	txnFixed byte = 1 << iota
	txnCommitWait
	txnFlags
)

// Least sizes of what lists hold.
const (
	sizeTxnID       = 16
	minSpanSize     = 2
	minWriteSize    = 2
	minSeqSize      = 2
	minObservedSize = 3
)

func decodeTxnID(r *codec.Reader) (id TxnID) {
	copy(id[:], r.Take(sizeTxnID))
	return id
}

// Size is the length of Encode's output.
func (m *TxnMeta) Size() int {
	return sizeTxnID + codec.SizeBytes(m.Key) + codec.SizeVarint(int64(m.Epoch)) + m.WriteTS.Size() + m.MinTS.Size() +
		codec.SizeVarint(int64(m.Priority)) + codec.SizeVarint(int64(m.Sequence))
}

// Encode appends the meta.
func (m *TxnMeta) Encode(b []byte) []byte {
	b = codec.AppendBytes(append(b, m.ID[:]...), m.Key)
	b = codec.AppendVarint(b, int64(m.Epoch))
	b = m.MinTS.Encode(m.WriteTS.Encode(b))
	return codec.AppendVarint(codec.AppendVarint(b, int64(m.Priority)), int64(m.Sequence))
}

// DecodeTxnMeta reads what Encode wrote.
func DecodeTxnMeta(r *codec.Reader) TxnMeta {
	return TxnMeta{ID: decodeTxnID(r), Key: r.Bytes(), Epoch: r.Int32(), WriteTS: hlc.Decode(r), MinTS: hlc.Decode(r),
		Priority: r.Int32(), Sequence: r.Int32()}
}

// Size is the length of Encode's output.
func (t *Txn) Size() int {
	n := t.TxnMeta.Size() + codec.SizeString(t.Name) + 2*codec.SizeByte + t.ReadTS.Size() + t.GlobalLimit.Size() +
		t.LastHeartbeat.Size() + codec.SizeUvarint(uint64(len(t.Observed)))
	for _, o := range t.Observed {
		n += codec.SizeVarint(int64(o.NodeID)) + o.TS.Size()
	}
	return n + sizeWrites(t.InFlight) + sizeSpans(t.LockSpans) + sizeSeqs(t.IgnoredSeqs)
}

// Encode appends the transaction.
func (t *Txn) Encode(b []byte) []byte {
	b = codec.AppendString(t.TxnMeta.Encode(b), t.Name)
	var flags byte
	if t.ReadTSFixed {
		flags |= txnFixed
	}
	if t.CommitWait {
		flags |= txnCommitWait
	}
	b = append(b, byte(t.Status), flags)
	b = t.LastHeartbeat.Encode(t.GlobalLimit.Encode(t.ReadTS.Encode(b)))
	b = codec.AppendUvarint(b, uint64(len(t.Observed)))
	for _, o := range t.Observed {
		b = o.TS.Encode(codec.AppendVarint(b, int64(o.NodeID)))
	}
	return appendSeqs(appendSpans(appendWrites(b, t.InFlight), t.LockSpans), t.IgnoredSeqs)
}

// DecodeTxn reads what Encode wrote.
func DecodeTxn(r *codec.Reader) *Txn {
	t := &Txn{TxnMeta: DecodeTxnMeta(r), Name: r.String(), Status: decodeTxnStatus(r)}
	flags := r.Byte()
	if flags >= txnFlags {
		r.Failf("kv: unknown flags of a transaction %x", flags)
	}
	t.ReadTSFixed, t.CommitWait = flags&txnFixed != 0, flags&txnCommitWait != 0
	t.ReadTS, t.GlobalLimit, t.LastHeartbeat = hlc.Decode(r), hlc.Decode(r), hlc.Decode(r)
	if n := r.Count(-1, minObservedSize); n > 0 {
		t.Observed = make([]ObservedTimestamp, n)
		for i := range t.Observed {
			t.Observed[i] = ObservedTimestamp{NodeID(r.Int32()), hlc.Decode(r)}
		}
	}
	t.InFlight, t.LockSpans, t.IgnoredSeqs = decodeWrites(r), decodeSpans(r), decodeSeqs(r)
	return t
}

// ParseTxn decodes a stored record, which must fill b.
func ParseTxn(b []byte) (*Txn, error) {
	r := codec.NewReader(b)
	t := DecodeTxn(r)
	if err := r.Done(); err != nil {
		return nil, err
	}
	return t, nil
}

func decodeTxnStatus(r *codec.Reader) TxnStatus {
	return TxnStatus(decodeEnum(r, byte(numTxnStatuses)))
}

// decodeEnum reads a byte below n.
func decodeEnum(r *codec.Reader, n byte) byte {
	v := r.Byte()
	if v >= n {
		r.Failf("kv: unknown value %d of %d", v, n)
		return 0
	}
	return v
}

func sizeSpans(all []keys.Span) int {
	n := codec.SizeUvarint(uint64(len(all)))
	for _, s := range all {
		n += s.Size()
	}
	return n
}

func appendSpans(b []byte, all []keys.Span) []byte {
	b = codec.AppendUvarint(b, uint64(len(all)))
	for _, s := range all {
		b = s.Encode(b)
	}
	return b
}

func decodeSpans(r *codec.Reader) []keys.Span {
	n := r.Count(-1, minSpanSize)
	if n == 0 {
		return nil
	}
	all := make([]keys.Span, n)
	for i := range all {
		all[i] = keys.DecodeSpan(r)
	}
	return all
}

func sizeWrites(all []SequencedWrite) int {
	n := codec.SizeUvarint(uint64(len(all)))
	for _, w := range all {
		n += codec.SizeBytes(w.Key) + codec.SizeVarint(int64(w.Sequence))
	}
	return n
}

func appendWrites(b []byte, all []SequencedWrite) []byte {
	b = codec.AppendUvarint(b, uint64(len(all)))
	for _, w := range all {
		b = codec.AppendVarint(codec.AppendBytes(b, w.Key), int64(w.Sequence))
	}
	return b
}

func decodeWrites(r *codec.Reader) []SequencedWrite {
	n := r.Count(-1, minWriteSize)
	if n == 0 {
		return nil
	}
	all := make([]SequencedWrite, n)
	for i := range all {
		all[i] = SequencedWrite{r.Bytes(), r.Int32()}
	}
	return all
}

func sizeSeqs(all []SeqRange) int {
	n := codec.SizeUvarint(uint64(len(all)))
	for _, s := range all {
		n += codec.SizeVarint(int64(s.Start)) + codec.SizeVarint(int64(s.End))
	}
	return n
}

func appendSeqs(b []byte, all []SeqRange) []byte {
	b = codec.AppendUvarint(b, uint64(len(all)))
	for _, s := range all {
		b = codec.AppendVarint(codec.AppendVarint(b, int64(s.Start)), int64(s.End))
	}
	return b
}

func decodeSeqs(r *codec.Reader) []SeqRange {
	n := r.Count(-1, minSeqSize)
	if n == 0 {
		return nil
	}
	all := make([]SeqRange, n)
	for i := range all {
		all[i] = SeqRange{r.Int32(), r.Int32()}
	}
	return all
}

func sizeTxnIDs(all []TxnID) int { return codec.SizeUvarint(uint64(len(all))) + sizeTxnID*len(all) }

func appendTxnIDs(b []byte, all []TxnID) []byte {
	b = codec.AppendUvarint(b, uint64(len(all)))
	for i := range all {
		b = append(b, all[i][:]...)
	}
	return b
}

func decodeTxnIDs(r *codec.Reader) []TxnID {
	n := r.Count(-1, sizeTxnID)
	if n == 0 {
		return nil
	}
	all := make([]TxnID, n)
	for i := range all {
		all[i] = decodeTxnID(r)
	}
	return all
}

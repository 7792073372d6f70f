// Package codec holds the few encodings that every message and every stored
// record of the database is made of: variable-length and fixed-width integers,
// length-prefixed bytes, flags.
//
//	writer:  b = codec.AppendUvarint(b, x); b = codec.AppendBytes(b, key) ...
//	reader:  r := codec.NewReader(b); x, key := r.Uvarint(), r.Bytes(); err := r.Done()
//
// Fault model: the bytes handed to a Reader may be anything at all. A Reader
// never panics, never allocates more than the input could stand for, and latches
// its first error, after which every method returns a zero value: a decoder is
// written as if nothing could go wrong and asks once at the end.
//
// Encodings are canonical: whatever a Reader accepts encodes back to the same
// bytes. So equal values have equal encodings, and Size can be exact.
//
// None of these encodings keeps order; those of keys do, see package keys.
package codec

// Package keys is the key space: one ordered map from bytes to values.
//
//	0x01 local     i <range id> r|u <kind> ...   state of one range: replicated, unreplicated
//	               k <key>      <kind> ...       belongs to a key and moves with it when ranges split
//	               s <name>                      belongs to one store
//	0x02 meta1     <end key>                     where meta2 is
//	0x03 meta2     <end key>                     where everything else is
//	0x04 system    l <node>                      liveness of a node
//	0x05 table     <table> <index> ...           rows
//	  ...          ...                           keys of clients that know no tables
//
// A range descriptor is stored at the meta key of the range's end, so that the
// descriptor of the range that holds a key is the first entry strictly above the
// key's own meta key: a range's end is not in it.
//
// Local keys cannot be addressed by clients, with one exception: those under 'k'
// are addressed by the key that they belong to (Addr).
//
// Fault model: every key prints to something that reads, and Parse gives back
// the same bytes, whatever the bytes. Decoders return ok = false rather than
// panic.
package keys

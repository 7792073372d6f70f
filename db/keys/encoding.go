package keys

import "math/bits"

// Escapes of appendEscaped. Zero bytes are the only ones escaped, and the end
// mark is below every escape, so that a key sorts before what it is a prefix of.
const (
	escape     = 0x00
	escapedEnd = 0x01
	escaped00  = 0xff
)

// appendEscaped appends k so that order is kept whatever follows.
func appendEscaped(b []byte, k Key) []byte {
	for _, c := range k {
		b = append(b, c)
		if c == escape {
			b = append(b, escaped00)
		}
	}
	return append(b, escape, escapedEnd)
}

// decodeEscaped reads what appendEscaped wrote.
func decodeEscaped(b []byte) (k, rest Key, ok bool) {
	for i := 0; i < len(b); i++ {
		if b[i] != escape {
			k = append(k, b[i])
			continue
		}
		i++
		if i == len(b) {
			return nil, nil, false
		}
		switch b[i] {
		case escapedEnd:
			return k, b[i+1:], true
		case escaped00:
			k = append(k, escape)
		default:
			return nil, nil, false
		}
	}
	return nil, nil, false
}

// AppendUint appends v so that order is kept: the number of bytes, then those,
// highest first.
func AppendUint(b []byte, v uint64) []byte {
	n := (bits.Len64(v) + 7) / 8
	b = append(b, byte(n))
	for n--; n >= 0; n-- {
		b = append(b, byte(v>>(8*n)))
	}
	return b
}

// DecodeUint reads what AppendUint wrote, and nothing else.
func DecodeUint(b []byte) (v uint64, rest []byte, ok bool) {
	if len(b) == 0 || b[0] > 8 || len(b) <= int(b[0]) {
		return 0, nil, false
	}
	n := int(b[0])
	for _, c := range b[1 : 1+n] {
		v = v<<8 | uint64(c)
	}
	if n > 0 && b[1] == 0 {
		return 0, nil, false
	}
	return v, b[1+n:], true
}

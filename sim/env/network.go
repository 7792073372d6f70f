package env

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// Network is the part of an Env that reaches other processes.
type Network interface {
	// Listen accepts connections to this process's own name. accept is called for
	// each, and returns who handles it, or nil to refuse.
	Listen(accept func(c Conn) Handler)

	// Dial opens a connection to the named endpoint. It returns at once; messages
	// may be sent at once, and leave when the connection stands. If it cannot be
	// made, the handler's Closed says why.
	Dial(peer string, h Handler) Conn
}

// Conn is one end of a connection. Messages of one connection arrive in order,
// each at most once and intact, up to the moment at which it breaks; what was in
// flight then is lost in both directions. There is no order between connections.
// A connection may be half open: its peer long dead, and nothing said.
type Conn interface {
	// Send queues m. From then on nobody may change m or what it refers to, for
	// the receiver may be handed the same memory. On a closed connection it does
	// nothing and returns ErrClosed.
	Send(m Message) error
	// Close ends the connection. The peer learns of it; the own handler does not.
	Close()
	// Peer is the other end's name.
	Peer() string
}

// Handler receives what happens on one end of a connection, in callbacks.
type Handler interface {
	// Decode parses the bytes that Message.Encode made. It must not keep b, and
	// must return an error, never panic, whatever the bytes.
	Decode(b []byte) (Message, error)
	// Receive is handed each message. It must not change it.
	Receive(c Conn, m Message)
	// Closed is called once when the connection broke or could not be made.
	Closed(c Conn, err error)
}

// Message is anything that can travel. Size is exactly the number of bytes that
// Encode appends.
type Message interface {
	Size() int
	Encode(b []byte) []byte
}

// Reasons for a connection to end.
var (
	ErrClosed      = errors.New("connection closed")
	ErrReset       = errors.New("connection reset by peer")
	ErrRefused     = errors.New("connection refused")
	ErrUnreachable = errors.New("no answer from peer")
	ErrCorrupt     = errors.New("frame checksum mismatch")
	ErrTooLarge    = errors.New("frame exceeds the size limit")
)

// FrameOverhead is what a frame adds to its message: length and checksum.
const FrameOverhead = 8

// MaxFrame is the largest message, in bytes, that a connection carries.
const MaxFrame = 64 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendFrame appends m's length, checksum (CRC-32C) and bytes.
func AppendFrame(b []byte, m Message) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	b = m.Encode(b)
	body := b[start+FrameOverhead:]
	binary.LittleEndian.PutUint32(b[start:], uint32(len(body)))
	binary.LittleEndian.PutUint32(b[start+4:], crc32.Checksum(body, castagnoli))
	return b
}

// ParseFrame returns the body of the frame that b begins with and what follows
// it. An incomplete frame gives a nil body, the same b, and no error.
func ParseFrame(b []byte) (body, rest []byte, err error) {
	if len(b) < FrameOverhead {
		return nil, b, nil
	}
	n := int(binary.LittleEndian.Uint32(b))
	if n > MaxFrame {
		return nil, b, ErrTooLarge
	}
	if len(b) < FrameOverhead+n {
		return nil, b, nil
	}
	body, rest = b[FrameOverhead:FrameOverhead+n:FrameOverhead+n], b[FrameOverhead+n:]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(b[4:]) {
		return nil, b, ErrCorrupt
	}
	return body, rest, nil
}

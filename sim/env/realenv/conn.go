package realenv

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"simulacrum/sim/env"
)

const (
	dialTimeout = 5 * time.Second
	lingerTime  = time.Second // that a closed connection waits for its peer's FIN
	unread      = 64          // messages of a connection that may wait for the process

	replyAccepted = 1
	replyRefused  = 0
)

// conn is one end of a connection. The wire carries the dialer's name (length in
// two bytes), a byte of answer, and then frames as env.AppendFrame makes them.
type conn struct {
	proc    *Proc
	peer    string
	handler env.Handler
	closed  bool // for the process: under the big lock

	// Between the process and the writer goroutine.
	mu      sync.Mutex
	changed *sync.Cond
	out     [][]byte
	ending  bool     // write what is queued, then FIN
	aborted bool     // write nothing more, RST
	tcp     net.Conn // nil until dialled
}

var _ env.Conn = (*conn)(nil)

func newConn(p *Proc, peer string, h env.Handler, tcp net.Conn) *conn {
	c := &conn{proc: p, peer: peer, handler: h, tcp: tcp}
	c.changed = sync.NewCond(&c.mu)
	return c
}

// Listen implements env.Network.
func (p *Proc) Listen(accept func(env.Conn) env.Handler) {
	if p.dead {
		return
	}
	p.accept = accept
	if p.listener != nil {
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.Fatal(err)
	}
	p.listener = l
	p.world.setAddress(p.name, l.Addr().String())
	p.spawn(func() {
		for {
			tcp, err := l.Accept()
			if err != nil {
				return
			}
			p.spawn(func() { p.greet(tcp) })
		}
	})
}

// greet reads who is calling and asks the process whether it wants them.
func (p *Proc) greet(tcp net.Conn) {
	_ = tcp.SetReadDeadline(time.Now().Add(dialTimeout))
	var length [2]byte
	if _, err := io.ReadFull(tcp, length[:]); err != nil {
		tcp.Close()
		return
	}
	name := make([]byte, binary.LittleEndian.Uint16(length[:]))
	if _, err := io.ReadFull(tcp, name); err != nil {
		tcp.Close()
		return
	}
	_ = tcp.SetReadDeadline(time.Time{})
	c := newConn(p, string(name), nil, tcp)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		c.abort()
		return
	}
	p.conns[c] = struct{}{}
	p.postLocked(func() { c.offer(p.accept) })
}

// offer is the callback in which the process accepts or refuses.
func (c *conn) offer(accept func(env.Conn) env.Handler) {
	c.out = append(c.out, []byte{replyAccepted})
	h := accept(c)
	if c.closed {
		return // closed by accept itself
	}
	if h == nil {
		delete(c.proc.conns, c)
		c.closed = true
		_, _ = c.tcp.Write([]byte{replyRefused}) // one byte into an empty buffer: no wait
		c.tcp.Close()
		return
	}
	c.handler = h
	c.start()
}

func (c *conn) start() {
	c.proc.spawn(c.read)
	c.proc.spawn(c.write)
}

// Dial implements env.Network.
func (p *Proc) Dial(peer string, h env.Handler) env.Conn {
	c := newConn(p, peer, h, nil)
	if p.dead {
		c.closed = true
		return c
	}
	p.conns[c] = struct{}{}
	p.spawn(c.dial)
	return c
}

func (c *conn) dial() {
	address := c.proc.world.address(c.peer)
	if address == "" {
		c.fail(env.ErrRefused)
		return
	}
	tcp, err := net.DialTimeout("tcp", address, dialTimeout)
	if err != nil {
		c.fail(dialError(err))
		return
	}
	hello := binary.LittleEndian.AppendUint16(nil, uint16(len(c.proc.name)))
	hello = append(hello, c.proc.name...)
	var reply [1]byte
	_ = tcp.SetDeadline(time.Now().Add(dialTimeout))
	if _, err = tcp.Write(hello); err == nil {
		_, err = io.ReadFull(tcp, reply[:])
	}
	_ = tcp.SetDeadline(time.Time{})
	if err == nil && reply[0] == replyRefused {
		err = env.ErrRefused
	}
	c.mu.Lock()
	c.tcp = tcp
	aborted := c.aborted
	c.mu.Unlock()
	if err != nil || aborted {
		tcp.Close()
		c.fail(dialError(err))
		return
	}
	c.start()
}

// dialError tells the reasons of a failed dial apart.
func dialError(err error) error {
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return env.ErrUnreachable
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return env.ErrReset
	}
	return env.ErrRefused
}

// Send implements env.Conn.
func (c *conn) Send(m env.Message) error {
	if c.closed || c.proc.dead {
		return env.ErrClosed
	}
	if m.Size() > env.MaxFrame {
		return env.ErrTooLarge
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(c.out, env.AppendFrame(nil, m))
	c.changed.Signal()
	return nil
}

// Close implements env.Conn.
func (c *conn) Close() {
	if c.closed || c.proc.dead {
		return
	}
	c.closed = true
	delete(c.proc.conns, c)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.handler == nil { // inside accept: nobody writes yet
		c.tcp.Close()
	}
	c.ending = true
	c.changed.Signal()
}

// Peer implements env.Conn.
func (c *conn) Peer() string { return c.peer }

// abort resets the connection: nothing queued is written any more.
func (c *conn) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.aborted = true
	c.out = nil
	c.changed.Signal()
	if tcp, ok := c.tcp.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
		tcp.Close()
	}
}

// fail has the handler told that the connection is gone, unless it knows.
func (c *conn) fail(err error) {
	c.proc.post(func() { c.end(err) })
}

// end is fail's callback.
func (c *conn) end(err error) {
	if c.closed {
		return
	}
	c.closed = true
	delete(c.proc.conns, c)
	c.abort()
	c.handler.Closed(c, err)
}

// write sends what is queued until the connection ends.
func (c *conn) write() {
	for {
		c.mu.Lock()
		for len(c.out) == 0 && !c.ending && !c.aborted {
			c.changed.Wait()
		}
		out := c.out
		c.out = nil
		aborted := c.aborted
		c.mu.Unlock()
		if aborted {
			return
		}
		if len(out) == 0 { // ending
			_ = c.tcp.(*net.TCPConn).CloseWrite()
			_ = c.tcp.SetReadDeadline(time.Now().Add(lingerTime))
			return // read closes the socket
		}
		buffers := net.Buffers(out)
		if _, err := buffers.WriteTo(c.tcp); err != nil {
			return // read sees it too
		}
	}
}

// read posts what arrives until the connection ends.
func (c *conn) read() {
	r := bufio.NewReaderSize(c.tcp, 64<<10)
	room := make(chan struct{}, unread)
	for {
		body, err := readFrame(r)
		if err != nil {
			if !errors.Is(err, env.ErrCorrupt) && !errors.Is(err, env.ErrTooLarge) {
				err = readError(err)
			}
			c.fail(err)
			c.tcp.Close()
			return
		}
		select {
		case room <- struct{}{}:
		case <-c.proc.died:
			return
		}
		c.proc.post(func() {
			<-room
			c.receive(body)
		})
	}
}

// receive is the callback for one message.
func (c *conn) receive(body []byte) {
	if c.closed {
		return
	}
	m, err := c.handler.Decode(body)
	if err != nil {
		c.end(err)
		return
	}
	c.handler.Receive(c, m)
}

func readError(err error) error {
	if errors.Is(err, io.EOF) {
		return env.ErrClosed
	}
	return env.ErrReset
}

// readFrame reads one frame and checks it.
func readFrame(r io.Reader) ([]byte, error) {
	var head [env.FrameOverhead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := int64(binary.LittleEndian.Uint32(head[:]))
	if n > env.MaxFrame {
		return nil, env.ErrTooLarge
	}
	frame := make([]byte, env.FrameOverhead+n)
	copy(frame, head[:])
	if _, err := io.ReadFull(r, frame[env.FrameOverhead:]); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	body, _, err := env.ParseFrame(frame)
	return body, err
}

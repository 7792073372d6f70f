package storage

import (
	"encoding/binary"
	"fmt"

	"simulacrum/sim/env"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// logMagic begins the first record of each log file, which holds the file's number
// and the last sequence number before it. So files chain: one that lacks or
// repeats records is noticed.
const logMagic = "simlog01"

func logHeader(file, prevSeq uint64) []byte {
	b := append(make([]byte, 0, len(logMagic)+16), logMagic...)
	b = binary.LittleEndian.AppendUint64(b, file)
	return binary.LittleEndian.AppendUint64(b, prevSeq)
}

// chunk is a run of records that go to one log file.
type chunk struct {
	file    uint64
	first   bool // begins the file
	buf     []byte
	lastSeq uint64
}

// waiter is called once everything up to seq is durable.
type waiter struct {
	seq uint64
	fn  func()
}

// wal is the write-ahead log: Commit queues records, the log task writes and syncs
// them. A file is never reused, and a new one is created only when the old one is
// synced: hence all files but the last must be intact to their end, and what a
// crash leaves of the records is a prefix of the commits.
type wal struct {
	e       *Engine
	task    env.Task
	pending []chunk
	spare   []byte // a buffer to reuse
	held    int64  // bytes of pending buffers, as accounted

	// Where the next record will lie.
	file uint64
	off  int64

	// The file that the task has open. Only the task touches these.
	f       vfs.File
	open    uint64 // its number, 0 if none
	synced  int64  // its durable length
	written int64

	writtenSeq uint64
	durable    uint64
	wantSync   uint64 // somebody waits for this sequence number
	waiters    []waiter
	head       int // waiters before it are done
	finish     bool
	idle       bool // the task waits for work, and not for the disk
}

// rotate makes the next records go to a new file. It returns its number.
func (w *wal) rotate() uint64 {
	w.file = w.e.newFile()
	w.off = 0
	return w.file
}

// append queues the record of a batch whose first operation has sequence number
// base and whose last has lastSeq.
func (w *wal) append(repr []byte, base, lastSeq uint64) {
	if w.off == 0 {
		c := chunk{file: w.file, first: true, buf: w.takeSpare()}
		c.buf = appendRecord(c.buf, w.file, 0, 0, logHeader(w.file, base-1), nil)
		w.off = int64(len(c.buf))
		w.pending = append(w.pending, c)
	} else if len(w.pending) == 0 {
		w.pending = append(w.pending, chunk{file: w.file, buf: w.takeSpare()})
	}
	var synced int64
	if w.open == w.file {
		synced = w.synced
	}
	c := &w.pending[len(w.pending)-1]
	var head [8]byte
	binary.LittleEndian.PutUint64(head[:], base)
	before := len(c.buf)
	c.buf = appendRecord(c.buf, w.file, w.off, synced, head[:], repr)
	c.lastSeq = lastSeq
	w.off += int64(len(c.buf) - before)
	w.account()
	if len(c.buf) >= w.e.limits.logBuffer {
		w.task.Wake()
	}
}

func (w *wal) takeSpare() []byte {
	b := w.spare
	w.spare = nil
	return b[:0]
}

// account tells how much memory the queued records hold, in steps that are coarse
// enough to cost nothing.
func (w *wal) account() {
	var held int64
	for i := range w.pending {
		held += int64(cap(w.pending[i].buf))
	}
	if held != w.held {
		w.e.env.Memory(held - w.held)
		w.held = held
	}
}

// wait registers fn (may be nil) to be called when seq is durable, and asks for a
// sync when force is true.
func (w *wal) wait(seq uint64, fn func(), force bool) {
	if fn != nil {
		i := len(w.waiters)
		w.waiters = append(w.waiters, waiter{seq, fn})
		for ; i > w.head && w.waiters[i-1].seq > seq; i-- {
			w.waiters[i] = w.waiters[i-1]
		}
		w.waiters[i] = waiter{seq, fn}
	}
	if force || seq <= w.durable {
		w.wantSync = max(w.wantSync, seq)
		if w.idle { // one that waits for the disk looks for work when the disk is done
			w.task.Wake()
		}
	}
}

// setDurable records that everything up to seq is durable, and calls who waited,
// in order. A waiter may commit, and so add waiters.
func (w *wal) setDurable(seq uint64) {
	w.durable = max(w.durable, seq)
	for w.head < len(w.waiters) && w.waiters[w.head].seq <= w.durable {
		fn := w.waiters[w.head].fn
		w.waiters[w.head] = waiter{}
		w.head++
		fn()
	}
	if w.head == len(w.waiters) {
		w.waiters, w.head = w.waiters[:0], 0
	} else if w.head > 1024 && w.head > len(w.waiters)/2 {
		w.waiters = append(w.waiters[:0], w.waiters[w.head:]...)
		w.head = 0
	}
}

// run is the log task. It alone writes to log files.
func (w *wal) run(t env.Task) {
	for {
		if w.head < len(w.waiters) && w.waiters[w.head].seq <= w.durable {
			w.setDurable(w.durable)
		}
		full := len(w.pending) > 0 && (len(w.pending) > 1 || len(w.pending[0].buf) >= w.e.limits.logBuffer)
		if !full && w.wantSync <= w.durable && !w.finish {
			// The task is never cancelled, and Park without limit ends by Wake.
			w.idle = true
			w.must("wait", t.Park("storage: log idle", -1))
			w.idle = false
			continue
		}
		if len(w.pending) == 0 && w.finish {
			break
		}
		w.write(t)
		if w.wantSync > w.durable || w.finish {
			t.Yield("storage: log written, before sync")
			w.sync()
		}
		w.e.removeOldLogs()
	}
	if w.f != nil {
		w.sync()
		w.must("close", w.f.Close())
		w.f, w.open = nil, 0
	}
	w.e.env.Memory(-w.held)
	w.held, w.task = 0, nil
	w.e.announce()
}

// write hands all queued records to the file system.
func (w *wal) write(t env.Task) {
	for len(w.pending) > 0 {
		c := w.pending[0]
		w.pending = append(w.pending[:0], w.pending[1:]...)
		if c.first {
			w.nextFile(c.file)
		}
		w.e.env.Probe(ProbeLogWrite)
		_, err := w.f.Write(c.buf)
		w.must("write", err)
		w.written += int64(len(c.buf))
		w.writtenSeq = c.lastSeq
		if cap(c.buf) <= 1<<20 {
			w.spare = c.buf
		}
		w.account()
	}
}

// nextFile closes the current file, durable to its end, and creates the next. The
// directory is synced before anything in the new file can be acknowledged.
func (w *wal) nextFile(file uint64) {
	if w.f != nil {
		w.sync()
		w.must("close", w.f.Close())
		w.f, w.open = nil, 0
	}
	f, err := w.e.fs.Create(w.e.path(logName(file)), writeCategory)
	w.open = file
	w.synced, w.written = 0, 0
	w.must("create", err)
	w.f = f
	w.must("sync the directory of", w.e.syncDir(w.e.dir))
	w.e.env.Probe(ProbeLogCreated)
}

// sync makes durable what is written, and tells those who waited.
func (w *wal) sync() {
	if w.f == nil {
		return
	}
	written, seq := w.written, w.writtenSeq
	if w.synced < written {
		w.e.env.Probe(ProbeBeforeSync)
		w.must("sync", w.f.Sync())
		w.e.syncs++
		w.synced = written
		w.e.env.Probe(ProbeAfterSync)
	}
	w.setDurable(seq)
}

// must ends the process when the log cannot be written. There is no way back: after
// a failed sync nobody knows what the device holds, and a second sync that succeeds
// proves nothing about the first one's bytes.
func (w *wal) must(what string, err error) {
	if err != nil {
		w.e.env.Fatal(fmt.Errorf("storage: %s log %s: %w", what, logName(w.open), err))
	}
}

// replay reads one log file and hands each batch to apply. prev is the sequence
// number of the last commit before the file; the new last one is returned. last
// says that this is the newest file, whose tail a crash may have torn.
func replay(name string, file uint64, b []byte, prev uint64, last bool,
	apply func(repr []byte, base uint64, n int) error) (seq uint64, torn bool, err error) {
	r := recordReader{name: name, file: file, b: b}
	bad := func(reason string) error { return &CorruptionError{name, int64(r.off), reason} }
	for first := true; ; first = false {
		at := r.off
		payload, ok, err := r.next()
		if err != nil {
			return 0, false, err
		}
		if !ok {
			if !last && (r.torn() || first) {
				return 0, false, bad("bad record in a log file that a later one follows")
			}
			return prev, r.torn(), nil
		}
		if first {
			if string(payload) != string(logHeader(file, prev)) {
				return 0, false, bad(fmt.Sprintf("not the log that continues sequence number %d", prev))
			}
			continue
		}
		if len(payload) < 8 || checkRepr(payload[8:]) != nil || len(payload) < 8+batchHeader {
			return 0, false, &CorruptionError{name, int64(at), "a record holds no batch"}
		}
		base := binary.LittleEndian.Uint64(payload)
		if base != prev+1 {
			return 0, false, &CorruptionError{name, int64(at), fmt.Sprintf("sequence number %d after %d", base, prev)}
		}
		n := int(binary.LittleEndian.Uint32(payload[8:]))
		if err := apply(payload[8:], base, n); err != nil {
			return 0, false, err
		}
		prev += uint64(n)
	}
}

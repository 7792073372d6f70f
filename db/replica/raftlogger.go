package replica

import "fmt"

// raftLogger drops what the library says, but for what it cannot survive. Its
// lines print protobufs, whose text is randomized on purpose.
type raftLogger Replica

func (l *raftLogger) Debug(...any)            {}
func (l *raftLogger) Debugf(string, ...any)   {}
func (l *raftLogger) Info(...any)             {}
func (l *raftLogger) Infof(string, ...any)    {}
func (l *raftLogger) Warning(...any)          {}
func (l *raftLogger) Warningf(string, ...any) {}
func (l *raftLogger) Error(...any)            {}
func (l *raftLogger) Errorf(string, ...any)   {}

func (l *raftLogger) Fatal(v ...any)            { l.Panic(v...) }
func (l *raftLogger) Fatalf(f string, v ...any) { l.Panicf(f, v...) }
func (l *raftLogger) Panic(v ...any)            { panic(l.where() + fmt.Sprint(v...)) }
func (l *raftLogger) Panicf(f string, v ...any) { panic(l.where() + fmt.Sprintf(f, v...)) }

func (l *raftLogger) where() string {
	return fmt.Sprintf("raft: r%d/%d: ", l.rangeID, l.self.ReplicaID)
}

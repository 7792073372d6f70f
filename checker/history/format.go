package history

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Format is how a file keeps a history.
type Format string

// The formats that ReadAs knows.
const (
	JSONL Format = "jsonl"
	EDN   Format = "edn"
	JSON  Format = "json"
	Etcd  Format = "etcd"
	KV    Format = "kv"
)

// Formats lists them.
func Formats() []Format { return []Format{JSONL, EDN, JSON, Etcd, KV} }

// Doc is the format in one line.
func (f Format) Doc() string {
	switch f {
	case JSONL:
		return "our own: one operation a line, as in history.jsonl of a run"
	case EDN:
		return "events of Jepsen, Elle and Knossos: {:type :invoke, :f :read, …}"
	case JSON:
		return "the same events as JSON objects"
	case Etcd:
		return "Jepsen's log of a register in etcd, as Porcupine keeps it"
	case KV:
		return "get, put and append on strings, as Porcupine keeps it"
	}
	return ""
}

// ParseFormat finds a format by its name.
func ParseFormat(s string) (Format, error) {
	if slices.Contains(Formats(), Format(s)) {
		return Format(s), nil
	}
	return "", fmt.Errorf("format %q is unknown; use one of %s", s, strings.Trim(fmt.Sprint(Formats()), "[]"))
}

// Ours reports whether the format holds histories of our own runs, which are
// whole; others may be parts of one.
func (f Format) Ours() bool { return f == JSONL }

// Detect tells the format from how the text begins.
func Detect(text []byte) (Format, error) {
	text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff")))
	line, _, _ := bytes.Cut(text, []byte("\n"))
	line = bytes.TrimRight(line, "\r")
	// What comes after opening brackets and blanks.
	inner := bytes.TrimLeft(text, "[( \t\r\n")
	key := bytes.TrimLeft(bytes.TrimPrefix(inner, []byte("{")), " \t\r\n")
	switch {
	case len(text) == 0:
		return "", errors.New("the history is empty; it has one operation or event a line")
	case bytes.HasPrefix(text, []byte("INFO")) && etcdLine.Match(line):
		return Etcd, nil
	case kvLine.Match(line):
		return KV, nil
	case bytes.HasPrefix(inner, []byte("{")) && bytes.HasPrefix(key, []byte(`"`)):
		if bytes.HasPrefix(text, []byte("{")) && bytes.Contains(line, []byte(`"outcome"`)) && bytes.Contains(line, []byte(`"call"`)) {
			return JSONL, nil
		}
		return JSON, nil
	case bytes.HasPrefix(inner, []byte("{")) && bytes.HasPrefix(key, []byte(":")),
		bytes.HasPrefix(inner, []byte(";")), bytes.HasPrefix(inner, []byte("#")):
		return EDN, nil
	}
	return "", fmt.Errorf("line 1 begins no history that is known: %.40q; name the format: one of %s", line, strings.Trim(fmt.Sprint(Formats()), "[]"))
}

// ReadAs reads a history in any format. The shape matters to events of Jepsen.
func ReadAs(text []byte, f Format, shape Shape) (*History, error) {
	r := bytes.NewReader(text)
	switch f {
	case JSONL:
		return ReadJSONL(r)
	case EDN:
		return ReadEDN(r, shape)
	case JSON:
		return ReadJepsenJSON(r, shape)
	case Etcd:
		return ReadEtcdLog(r)
	case KV:
		return ReadKVLog(r)
	}
	return nil, fmt.Errorf("format %q is unknown", f)
}

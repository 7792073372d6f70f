package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// trial is one run of a sweep, and what makes its result reusable: a sweep of the
// same build with the same options need not make it again.
type trial struct {
	Scenario string `json:"scenario"`
	Seed     uint64 `json:"seed"`
	Options  string `json:"options,omitempty"`
}

// line is one line of a sweep's file.
type line struct {
	Trial  trial   `json:"trial"`
	Result *result `json:"result"`
}

// store keeps the results of a sweep in a file of JSON lines, appended as they
// come, so that a killed sweep resumes. It is safe for concurrent use.
type store struct {
	mu   sync.Mutex
	file *os.File
	kept map[trial]*result
}

// openStore opens or creates the file. A line that a kill cut short is ignored.
func openStore(name string) (*store, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	s := &store{kept: map[trial]*result{}}
	for raw := range bytes.Lines(text) {
		var l line
		if json.Unmarshal(raw, &l) == nil && l.Result != nil {
			s.kept[l.Trial] = l.Result
		}
	}
	s.file, err = os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err == nil && len(text) > 0 && text[len(text)-1] != '\n' {
		_, err = s.file.WriteString("\n")
	}
	return s, err
}

func (s *store) get(t trial) (*result, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.kept[t]
	return r, ok
}

// put appends one result with a single write.
func (s *store) put(t trial, r *result) error {
	raw, err := json.Marshal(line{t, r})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[t] = r
	_, err = s.file.Write(append(raw, '\n'))
	return err
}

func (s *store) Close() error { return s.file.Close() }

// fingerprint hashes what options beside scenario and seed a result depends on,
// with the content of the scenario's file if it is one.
func fingerprint(q request, twice bool) string {
	h := sha256.New()
	used := false
	if q.Duration > 0 {
		fmt.Fprintf(h, "duration %v\n", q.Duration)
		used = true
	}
	if twice {
		fmt.Fprintln(h, "twice")
		used = true
	}
	if text, err := os.ReadFile(q.Scenario); err == nil {
		h.Write(text)
		used = true
	}
	if !used {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// buildHash is a hash of the running binary.
func buildHash() (string, error) {
	name, err := os.Executable()
	if err != nil {
		return "", err
	}
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)[:6]), nil
}

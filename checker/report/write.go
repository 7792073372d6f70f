package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"simulacrum/checker"
	"simulacrum/checker/history"
)

// Write makes the directory and writes the report into it, replacing files of an
// earlier one.
func (r *Report) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	results, err := r.results()
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	h := r.History
	if h == nil {
		h = &history.History{}
	}
	put := func(name string, write func(io.Writer) error) {
		if err != nil {
			return
		}
		var f *os.File
		if f, err = os.Create(filepath.Join(dir, name)); err != nil {
			return
		}
		if err = write(f); err != nil {
			f.Close()
			return
		}
		err = f.Close()
	}
	bytesOf := func(b []byte) func(io.Writer) error {
		return func(w io.Writer) error {
			_, err := w.Write(b)
			return err
		}
	}
	put("history.jsonl", func(w io.Writer) error { return history.WriteJSONL(w, h) })
	put("history.edn", func(w io.Writer) error { return history.WriteEDN(w, h) })
	put("results.json", bytesOf(append(results, '\n')))
	if r.Recorded == "" {
		put("plan.txt", bytesOf([]byte(r.Plan)))
	}
	if r.certified() {
		put("certificate.json", func(w io.Writer) error { return checker.WriteCertificates(w, r.Verdicts) })
	}
	if len(r.Leads) > 0 {
		put("events.txt", func(w io.Writer) error { return writeLeads(w, r.Leads) })
	}
	if r.Trace != nil {
		put("trace.txt", bytesOf(r.Trace))
	}
	if r.Porcupine != nil {
		put("porcupine.html", bytesOf(r.Porcupine))
	}
	var page bytes.Buffer
	if err == nil {
		err = r.HTML(&page)
	}
	put("index.html", bytesOf(page.Bytes()))
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// results is the content of results.json: the map of verdicts with the overall outcome
// first, and where copies and leases were.
func (r *Report) results() ([]byte, error) {
	vs := r.Verdicts
	if vs == nil {
		vs = []checker.Verdict{}
	}
	return json.MarshalIndent(struct {
		Valid    checker.Valid     `json:"valid"`
		Verdicts []checker.Verdict `json:"verdicts"`
		Places   *Places           `json:"places,omitempty"`
	}{checker.Worst(vs...), vs, r.Places}, "", "  ")
}

// certified tells whether some verdict has evidence to give.
func (r *Report) certified() bool {
	return slices.ContainsFunc(r.Verdicts, checker.Verdict.Certified)
}

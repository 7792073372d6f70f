package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Apply makes the change to text, which is the content of d's file. Every line of
// a hunk must match exactly; a hunk that has moved is accepted, with a note, where
// its lines stand in exactly one place behind the hunk before.
func (d FileDiff) Apply(patch, text string) (changed string, notes []string, err error) {
	lines := strings.SplitAfter(text, "\n")
	if last := len(lines) - 1; lines[last] == "" {
		lines = lines[:last]
	}
	var out []string
	done := 0 // lines of the file that are already in out
	for i, h := range d.Hunks {
		at, err := h.locate(lines, done)
		if err != nil {
			return "", nil, fmt.Errorf("%s: hunk %d (%s:%d) does not apply: %w", d.Name, i+1, patch, h.Line, err)
		}
		if moved := at - h.expected(); moved != 0 {
			notes = append(notes, fmt.Sprintf("%s: hunk %d (%s:%d) applied %+d lines off, at line %d", d.Name, i+1, patch, h.Line, moved, at+1))
		}
		out = append(append(out, lines[done:at]...), h.New...)
		done = at + len(h.Old)
	}
	return strings.Join(append(out, lines[done:]...), ""), notes, nil
}

// expected is the index of the line at which the hunk says that it begins.
func (h Hunk) expected() int {
	if len(h.Old) == 0 {
		return h.Start // an insertion names the line before
	}
	return h.Start - 1
}

func (h Hunk) fits(lines []string, at int) bool {
	return at >= 0 && at+len(h.Old) <= len(lines) && slices.Equal(lines[at:at+len(h.Old)], h.Old)
}

// locate is the index in lines, from the given one on, at which the hunk stands.
func (h Hunk) locate(lines []string, from int) (int, error) {
	if at := h.expected(); at >= from && h.fits(lines, at) {
		return at, nil
	}
	if len(h.Old) == 0 {
		return 0, errors.New("an insertion without context cannot be found again: cut the patch with context")
	}
	var places []int
	for at := from; at+len(h.Old) <= len(lines); at++ {
		if h.fits(lines, at) {
			places = append(places, at+1)
		}
	}
	switch len(places) {
	case 1:
		return places[0] - 1, nil
	case 0:
		return 0, h.mismatch(lines)
	}
	return 0, fmt.Errorf("its lines stand at %v, none of them line %d: give it more context", places, h.Start)
}

// mismatch says which line is the first to differ at the stated place.
func (h Hunk) mismatch(lines []string) error {
	for i, want := range h.Old {
		at := h.expected() + i
		if at < 0 || at >= len(lines) {
			return fmt.Errorf("line %d: want %q, but the file has %d lines", at+1, want, len(lines))
		}
		if lines[at] != want {
			return fmt.Errorf("line %d: want %q, the file has %q, and the hunk stands nowhere else", at+1, want, lines[at])
		}
	}
	return errors.New("it overlaps the hunk before")
}

// Overlay writes m's patched files into dir and returns which file of the module
// at root each replaces.
func (m Mutant) Overlay(root, dir string) (replace map[string]string, notes []string, err error) {
	replace = map[string]string{}
	for i, d := range m.Files {
		original := filepath.Join(root, d.Name)
		text, err := os.ReadFile(original)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %s cannot be read (files cannot be created): %w", m.File, d.Name, err)
		}
		changed, more, err := d.Apply(m.File, string(text))
		if err != nil {
			return nil, nil, err
		}
		notes = append(notes, more...)
		patched := filepath.Join(dir, fmt.Sprintf("%d-%s", i, filepath.Base(d.Name)))
		if err := os.WriteFile(patched, []byte(changed), 0o666); err != nil {
			return nil, nil, err
		}
		replace[original] = patched
	}
	return replace, notes, nil
}

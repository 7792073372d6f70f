package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// Mutant is one patch file: what it breaks, how to notice it, and the change.
type Mutant struct {
	File      string // where it was read from
	ID, Rule  string
	Scenarios []string // swept in turn, seed by seed; "all": those of the binary
	Checks    []string // those expected to notice; empty: any
	Control   bool     // removes no safety rule
	Files     []FileDiff
}

// FileDiff is the change to one file, named relative to the module's root.
type FileDiff struct {
	Name  string
	Hunks []Hunk
}

// Hunk is one stretch of changed lines. Old and New hold whole lines, with their
// line ends.
type Hunk struct {
	Line     int // in the patch file, of the @@ line
	Start    int // first line of Old in the file, from 1; 0 for none
	Old, New []string
}

// ReadMutants parses every *.patch file of a folder, in order of name.
func ReadMutants(dir string) ([]Mutant, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.patch"))
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: no *.patch file", dir)
	}
	sort.Strings(names)
	var out []Mutant
	ids := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		m, err := ParseMutant(name, string(text))
		if err != nil {
			return nil, err
		}
		if ids[m.ID] != "" {
			return nil, fmt.Errorf("%s: id %s is taken by %s", name, m.ID, ids[m.ID])
		}
		ids[m.ID] = name
		out = append(out, m)
	}
	return out, nil
}

// parser reads a patch file line by line.
type parser struct {
	file  string
	lines []string // with line ends
	at    int
}

func (p *parser) fail(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", p.file, p.at+1, fmt.Sprintf(format, args...))
}

// ParseMutant reads one patch file. Errors name the file and line.
func ParseMutant(file, text string) (Mutant, error) {
	p := &parser{file: file, lines: strings.SplitAfter(text, "\n")}
	if last := len(p.lines) - 1; p.lines[last] == "" {
		p.lines = p.lines[:last]
	}
	m := Mutant{File: file}
	if err := p.header(&m); err != nil {
		return m, err
	}
	for p.at < len(p.lines) {
		line := p.lines[p.at]
		switch {
		case strings.HasPrefix(line, "--- "):
			if err := p.fileDiff(&m); err != nil {
				return m, err
			}
		case strings.TrimSpace(line) == "", strings.HasPrefix(line, "diff "), strings.HasPrefix(line, "index "):
			p.at++
		default:
			return m, p.fail("%q is no part of a change to an existing file; files cannot be created, deleted, renamed or binary", strings.TrimSpace(line))
		}
	}
	if len(m.Files) == 0 {
		return m, p.fail("no diff follows the header")
	}
	return m, nil
}

func (p *parser) header(m *Mutant) error {
	for ; p.at < len(p.lines); p.at++ {
		line := strings.TrimSpace(p.lines[p.at])
		if line == "" || strings.HasPrefix(line, "diff ") || strings.HasPrefix(line, "--- ") {
			break
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			return p.fail("the header has lines \"key: value\" and ends with a blank line; this is %q", line)
		}
		if err := p.field(m, key, strings.TrimSpace(value)); err != nil {
			return err
		}
	}
	switch {
	case m.ID == "":
		return p.fail("the header has no id")
	case m.Rule == "":
		return p.fail("the header has no rule: say what the patch removes")
	case len(m.Scenarios) == 0:
		return p.fail("the header names no scenarios to sweep")
	}
	return nil
}

func (p *parser) field(m *Mutant, key, value string) error {
	switch key {
	case "id":
		m.ID = value
	case "rule":
		m.Rule = value
	case "scenarios":
		m.Scenarios = fields(value)
	case "checks":
		m.Checks = fields(value)
	case "control":
		var err error
		if m.Control, err = strconv.ParseBool(value); err != nil {
			return p.fail("control is true or false, not %q", value)
		}
	case "note":
	default:
		return p.fail("unknown key %q; known are id, rule, scenarios, checks, control and note", key)
	}
	return nil
}

// fields splits a list at commas and spaces.
func fields(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
}

func (p *parser) fileDiff(m *Mutant) error {
	oldName := diffName(p.lines[p.at])
	p.at++
	if p.at == len(p.lines) || !strings.HasPrefix(p.lines[p.at], "+++ ") {
		return p.fail("a line \"+++ b/...\" must follow \"---\"")
	}
	newName := diffName(p.lines[p.at])
	if oldName != newName {
		return p.fail("the change is of %q to %q; files cannot be created, deleted or renamed", oldName, newName)
	}
	if !filepath.IsLocal(newName) {
		return p.fail("%q is not inside the module", newName)
	}
	for _, f := range m.Files {
		if f.Name == newName {
			return p.fail("%s is changed twice; put its hunks together", newName)
		}
	}
	p.at++
	d := FileDiff{Name: newName}
	for p.at < len(p.lines) && strings.HasPrefix(p.lines[p.at], "@@ ") {
		h, err := p.hunk()
		if err != nil {
			return err
		}
		d.Hunks = append(d.Hunks, h)
	}
	if len(d.Hunks) == 0 {
		return p.fail("%s has no hunk", newName)
	}
	m.Files = append(m.Files, d)
	return nil
}

// diffName is the file of a --- or +++ line, without the a/ or b/ and a time stamp.
func diffName(line string) string {
	name, _, _ := strings.Cut(strings.TrimSpace(line[4:]), "\t")
	if len(name) > 2 && (name[:2] == "a/" || name[:2] == "b/") {
		return name[2:]
	}
	return name
}

func (p *parser) hunk() (Hunk, error) {
	h := Hunk{Line: p.at + 1}
	var oldCount, newCount int
	var err error
	parts := strings.Fields(p.lines[p.at])
	if len(parts) < 4 || parts[3] != "@@" {
		return h, p.fail("a hunk opens with \"@@ -start,count +start,count @@\"")
	}
	if h.Start, oldCount, err = hunkRange(parts[1], '-'); err != nil {
		return h, p.fail("%v", err)
	}
	if _, newCount, err = hunkRange(parts[2], '+'); err != nil {
		return h, p.fail("%v", err)
	}
	for p.at++; p.at < len(p.lines); p.at++ {
		line := p.lines[p.at]
		if line[0] == '\\' { // no newline at the end of the file
			h.cutNewline(p.lines[p.at-1][0])
			continue
		}
		if len(h.Old) == oldCount && len(h.New) == newCount {
			break
		}
		switch line[0] {
		case ' ', '\n': // some editors strip the blank of an empty context line
			text := strings.TrimPrefix(line, " ")
			h.Old, h.New = append(h.Old, text), append(h.New, text)
		case '-':
			h.Old = append(h.Old, line[1:])
		case '+':
			h.New = append(h.New, line[1:])
		default:
			return h, p.fail("a line of a hunk begins with a blank, + or -; this is %q", strings.TrimSpace(line))
		}
	}
	if len(h.Old) != oldCount || len(h.New) != newCount {
		return h, p.fail("the hunk of line %d promises %d old and %d new lines and has %d and %d", h.Line, oldCount, newCount, len(h.Old), len(h.New))
	}
	return h, nil
}

func (h *Hunk) cutNewline(kind byte) {
	cut := func(lines []string) {
		if len(lines) > 0 {
			lines[len(lines)-1] = strings.TrimSuffix(lines[len(lines)-1], "\n")
		}
	}
	if kind != '+' {
		cut(h.Old)
	}
	if kind != '-' {
		cut(h.New)
	}
}

func hunkRange(s string, sign byte) (start, count int, err error) {
	if s == "" || s[0] != sign {
		return 0, 0, fmt.Errorf("%q is no range %cstart,count", s, sign)
	}
	first, second, two := strings.Cut(s[1:], ",")
	if start, err = strconv.Atoi(first); err != nil {
		return 0, 0, fmt.Errorf("%q is no range %cstart,count", s, sign)
	}
	count = 1
	if two {
		if count, err = strconv.Atoi(second); err != nil {
			return 0, 0, fmt.Errorf("%q is no range %cstart,count", s, sign)
		}
	}
	return start, count, nil
}

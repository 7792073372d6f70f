package history

import (
	"os"
	"path/filepath"
	"strings"
)

// SharedDir finds the folder of shared test data (recorded histories): the
// environment variable SIMULACRUM_SHARED, or a folder named shared beside this
// directory or any above it. Empty when there is none: tests then skip with a
// message.
func SharedDir() string {
	if d := os.Getenv("SIMULACRUM_SHARED"); d != "" {
		return d
	}
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		try := filepath.Join(dir, "shared")
		if st, err := os.Stat(filepath.Join(try, "data", "histories")); err == nil && st.IsDir() {
			return try
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

// Label is the verdict that its source gives a recorded history.
type Label struct {
	File  string // path of the history
	Name  string // the same, as LABELS.tsv has it
	Model string
	Valid bool
}

// Labels lists the labelled histories of the shared test data. Without the folder
// there are none, and no error.
func Labels() ([]Label, error) {
	dir := SharedDir()
	if dir == "" {
		return nil, nil
	}
	dir = filepath.Join(dir, "data", "histories")
	text, err := os.ReadFile(filepath.Join(dir, "LABELS.tsv"))
	if err != nil {
		return nil, err
	}
	var all []Label
	for _, line := range strings.Split(string(text), "\n") {
		if f := strings.Split(line, "\t"); len(f) == 3 && (f[2] == "true" || f[2] == "false") {
			all = append(all, Label{File: filepath.Join(dir, f[0]), Name: f[0], Model: f[1], Valid: f[2] == "true"})
		}
	}
	return all, nil
}

package history

import (
	"os"
	"path/filepath"
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

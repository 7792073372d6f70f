package scenarios

import (
	"embed"
	"fmt"
	"os"
	"path"
	"strings"
)

//go:embed files/*.toml found/*.toml
var files embed.FS

// Found names the embedded runs that once found a bug, sorted, in the form in which
// Load takes them: "found/asleep-behind". Each has the seed that found it.
func Found() []string {
	entries, err := files.ReadDir("found")
	if err != nil {
		panic("scenarios: the embedded files cannot be listed: " + err.Error())
	}
	var names []string
	for _, e := range entries {
		names = append(names, "found/"+strings.TrimSuffix(e.Name(), ".toml"))
	}
	return names
}

// List names the embedded scenarios, sorted.
func List() []string {
	entries, err := files.ReadDir("files")
	if err != nil {
		panic("scenarios: the embedded files cannot be listed: " + err.Error())
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".toml"))
	}
	return names
}

// Load reads an embedded scenario by its name, or a file by its path: whatever
// holds a slash or ends in .toml. Errors name the file and line.
func Load(nameOrPath string) (*Scenario, error) {
	var text []byte
	var err error
	where := nameOrPath
	if strings.HasPrefix(nameOrPath, "found/") && !strings.HasSuffix(nameOrPath, ".toml") {
		where = nameOrPath + ".toml"
		text, err = files.ReadFile(where)
	} else if strings.Contains(nameOrPath, "/") || strings.HasSuffix(nameOrPath, ".toml") {
		text, err = os.ReadFile(nameOrPath)
	} else {
		where = path.Join("files", nameOrPath+".toml")
		if text, err = files.ReadFile(where); err != nil {
			return nil, fmt.Errorf("no scenario is called %q: there are %s, or give the path of a file that ends in .toml", nameOrPath, strings.Join(List(), ", "))
		}
	}
	if err != nil {
		return nil, err
	}
	s, err := Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	return s, nil
}

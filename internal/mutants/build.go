package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Binary is a built command. Equal sources give equal hashes, wherever they were
// patched and built.
type Binary struct {
	Path, Hash string
}

// Build compiles the command of the module at root with the files of replace in
// place of the module's own, into a file below dir.
func Build(root, pkg, dir, name string, replace map[string]string) (Binary, error) {
	b := Binary{Path: filepath.Join(dir, name)}
	overlay, err := json.Marshal(struct{ Replace map[string]string }{replace})
	if err != nil {
		return b, err
	}
	file := filepath.Join(dir, name+".overlay.json")
	if err := os.WriteFile(file, overlay, 0o666); err != nil {
		return b, err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-overlay", file, "-o", b.Path, pkg)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		text := strings.TrimSpace(string(out))
		for original, patched := range replace {
			text = strings.ReplaceAll(text, patched, original)
		}
		return b, fmt.Errorf("does not build (%v):\n%s", err, text)
	}
	content, err := os.ReadFile(b.Path)
	if err != nil {
		return b, err
	}
	sum := sha256.Sum256(content)
	b.Hash = hex.EncodeToString(sum[:6])
	return b, nil
}

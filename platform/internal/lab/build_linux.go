package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

var (
	buildMu  sync.Mutex // guards buildDir and what is in it
	buildDir string
	built    = map[string]bool{}
)

var packages = map[string]string{
	"sallyportd": "sallyport/platform/cmd/sallyportd",
	"sallyport":  "sallyport/app/cmd/sallyport",
}

// build builds a binary once for this process.
func build(name string) (string, error) {
	buildMu.Lock()
	defer buildMu.Unlock()
	if buildDir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		buildDir = filepath.Join(cache, "sallyport-lab")
		if err := os.MkdirAll(buildDir, 0o755); err != nil {
			return "", err
		}
	}
	path := filepath.Join(buildDir, name)
	if built[name] {
		return path, nil
	}
	cmd := exec.Command("go", "build", "-o", path, packages[name])
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	built[name] = true
	return path, nil
}

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
)

var packages = map[string]string{
	"sallyportd": "sallyport/platform/cmd/sallyportd",
	"sallyport":  "sallyport/app/cmd/sallyport",

	"sallyport-token": "sallyport/platform/cmd/sallyport-token",
	"sallyport-gui":   "sallyport/app/cmd/sallyport-gui",
}

var (
	buildMu sync.Mutex // guards built and the folder of builds
	built   = map[string]string{}
)

// build builds a binary once for this process, and returns its path.
func build(name string) (string, error) {
	buildMu.Lock()
	defer buildMu.Unlock()
	if path, ok := built[name]; ok {
		return path, nil
	}
	dir, err := buildDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	args, cgo := []string{"build", "-o", path}, "CGO_ENABLED=0"
	if name == "sallyport-gui" {
		args, cgo = append(args, "-tags", "migrated_fynedo,no_emoji"), "CGO_ENABLED=1"
	}
	cmd := exec.Command("go", append(args, packages[name])...)
	cmd.Env = append(os.Environ(), cgo)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	built[name] = path
	return path, nil
}

// buildDir returns a folder for this process's builds. A process that is
// killed cannot remove its own, so those of processes that are gone go now.
func buildDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	all := filepath.Join(cache, "sallyport-lab")
	mine := filepath.Join(all, strconv.Itoa(os.Getpid()))
	if err := os.MkdirAll(mine, 0o755); err != nil {
		return "", err
	}
	old, err := os.ReadDir(all)
	if err != nil {
		return "", err
	}
	for _, d := range old {
		if _, err := strconv.Atoi(d.Name()); err != nil {
			continue
		}
		if _, err := os.Stat(filepath.Join("/proc", d.Name())); os.IsNotExist(err) {
			_ = os.RemoveAll(filepath.Join(all, d.Name()))
		}
	}
	return mine, nil
}

package dns

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"sallyport/core/host"
	"sallyport/platform/internal/atomicfile"
)

const (
	// marker begins the first line of a file of ours; what follows identifies
	// the writing.
	marker = "# Sallyport "
	// maxNameservers is what resolvers read of the list (resolv.conf(5)).
	maxNameservers = 3
	// maxFile bounds the resolv.conf that is read and kept.
	maxFile = 1 << 20
)

// A resolvConf is /etc/resolv.conf and the place of its backup.
type resolvConf struct {
	path, backup string
	first        string // the first process of the machine: "/proc/1"
}

// An original is what the file was before us. Its content is in the backup.
type original struct {
	ID     string      `json:"id"` // in the first line of what we wrote
	Absent bool        `json:"absent,omitempty"`
	Link   string      `json:"link,omitempty"` // target, when it was a symbolic link
	SHA256 string      `json:"sha256,omitempty"`
	Mode   fs.FileMode `json:"mode,omitempty"`
	UID    int         `json:"uid,omitempty"`
	GID    int         `json:"gid,omitempty"`
}

// set writes the file. known is the original by the journal, or nil; note
// writes the journal.
func (f *resolvConf) set(known *original, c host.DNSConfig, note func(*original) error) error {
	now, err := f.read()
	if err != nil {
		return err
	}
	if known != nil && isOurs(now, known.ID) {
		if bytes.Equal(now, f.content(known.ID, c)) {
			return nil
		}
		return f.write(f.content(known.ID, c), 0o644, -1, -1)
	}
	if bytes.HasPrefix(now, []byte(marker)) {
		return fmt.Errorf("%s was written by another instance of this service: %w", f.path, host.ErrInUse)
	}
	o, err := f.keep(now)
	if err != nil {
		return err
	}
	if err := note(o); err != nil {
		return err
	}
	if err := f.write(f.content(o.ID, c), 0o644, -1, -1); err != nil {
		return errors.Join(err, f.restore(o))
	}
	return nil
}

// read returns the content; nil when there is no file, or nothing where a
// link leads.
func (f *resolvConf) read() ([]byte, error) {
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", f.path, maxFile)
	}
	return b, err
}

// keep describes the present file and writes its backup.
func (f *resolvConf) keep(now []byte) (*original, error) {
	o := &original{ID: rand.Text()}
	var st unix.Stat_t
	err := unix.Lstat(f.path, &st)
	switch {
	case errors.Is(err, unix.ENOENT):
		o.Absent = true
		return o, nil
	case err != nil:
		return nil, &fs.PathError{Op: "lstat", Path: f.path, Err: err}
	case st.Mode&unix.S_IFMT == unix.S_IFLNK:
		o.Link, err = os.Readlink(f.path)
		return o, err
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, fmt.Errorf("%s is not a regular file", f.path)
	}
	sum := sha256.Sum256(now)
	o.SHA256 = hex.EncodeToString(sum[:])
	o.Mode, o.UID, o.GID = fs.FileMode(st.Mode).Perm(), int(st.Uid), int(st.Gid)
	if err := atomicfile.Write(f.backup, now, 0o600); err != nil {
		return nil, fmt.Errorf("back up %s: %w", f.path, err)
	}
	return o, nil
}

func (f *resolvConf) content(id string, c host.DNSConfig) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s\n# The name servers of a VPN tunnel. The original comes back when the tunnel goes down;\n# until then it is in %s. Changes to this file are lost.\n",
		marker, id, filepath.Dir(f.backup))
	if len(c.Search) > 0 {
		b.WriteString("search")
		for _, d := range c.Search {
			b.WriteString(" " + strings.TrimSuffix(d, "."))
		}
		b.WriteByte('\n')
	}
	for _, s := range c.Servers[:min(len(c.Servers), maxNameservers)] {
		b.WriteString("nameserver " + s.Unmap().String() + "\n")
	}
	return []byte(b.String())
}

// isOurs looks at the first line only, since a crash amid a write in place
// leaves a mixture.
func isOurs(content []byte, id string) bool {
	return bytes.HasPrefix(content, []byte(marker+id+"\n"))
}

// restore brings the original back, if the present file is still ours.
func (f *resolvConf) restore(o *original) error {
	now, err := f.read()
	if err != nil {
		return err
	}
	if !isOurs(now, o.ID) {
		return nil // whoever wrote it since knows better
	}
	switch {
	case o.Absent:
		return os.Remove(f.path)
	case o.Link != "":
		return f.relink(o.Link)
	}
	b, err := os.ReadFile(f.backup)
	if err != nil {
		return fmt.Errorf("read backup: %w", err)
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != o.SHA256 {
		return fmt.Errorf("the backup %s is not what it was: restore %s by hand", f.backup, f.path)
	}
	return f.write(b, o.Mode, o.UID, o.GID)
}

// forget removes the backup.
func (f *resolvConf) forget() error {
	if err := os.Remove(f.backup); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// relink puts a symbolic link in the place of the file.
func (f *resolvConf) relink(target string) error {
	tmp := filepath.Join(filepath.Dir(f.path), ".resolv.conf."+rand.Text())
	if err := os.Symlink(target, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, f.path); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return nil
}

// write replaces the file, or the link in its place, at once. Where that is
// impossible, because the file is a mount of its own or its folder is
// read-only (containers, ip netns exec), it writes into the file.
func (f *resolvConf) write(b []byte, mode fs.FileMode, uid, gid int) error {
	err := f.replace(b, mode, uid, gid)
	if err == nil {
		return nil
	}
	info, statErr := os.Lstat(f.path)
	if statErr != nil || !info.Mode().IsRegular() {
		return err
	}
	for _, e := range []error{unix.EBUSY, unix.EXDEV, unix.EROFS, unix.EACCES, unix.EPERM} {
		if errors.Is(err, e) {
			return f.overwrite(b)
		}
	}
	return err
}

func (f *resolvConf) replace(b []byte, mode fs.FileMode, uid, gid int) error {
	tmp := filepath.Join(filepath.Dir(f.path), ".resolv.conf."+rand.Text())
	err := atomicfile.Write(tmp, b, mode)
	if err == nil && uid >= 0 {
		err = os.Chown(tmp, uid, gid)
	}
	if err == nil {
		err = os.Rename(tmp, f.path)
	}
	if err != nil {
		_ = os.Remove(tmp)
	}
	return err
}

// overwrite cuts the file to its new length last, so that it is never without
// our marker.
func (f *resolvConf) overwrite(b []byte) error {
	file, err := os.OpenFile(f.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(b, 0)
	if err == nil {
		err = file.Truncate(int64(len(b)))
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

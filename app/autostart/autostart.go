// Package autostart starts the window, hidden in the tray, when the user logs
// in: as an XDG autostart entry, a value under the Run key of Windows, or a
// LaunchAgent of macOS. Each belongs to the user alone and needs no privilege.
package autostart

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Name is what the system lists us under.
const Name = "Sallyport"

// id names our entry among those of others.
const id = "org.sallyport.gui"

// An Entry is what is started at login.
type Entry struct {
	Program string // absolute path
	Args    []string
}

// Current returns the entry for the running program, which starts hidden.
func Current() (Entry, error) {
	p, err := os.Executable()
	if err != nil {
		return Entry{}, fmt.Errorf("find the program: %w", err)
	}
	return Entry{Program: p, Args: []string{"--hidden"}}, nil
}

// check refuses what no format can carry.
func (e Entry) check() error {
	if !filepath.IsAbs(e.Program) {
		return fmt.Errorf("%q is no absolute path", e.Program)
	}
	for _, s := range append([]string{e.Program}, e.Args...) {
		if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\ufffd' }) {
			return fmt.Errorf("%q has a control character", s)
		}
	}
	return nil
}

// desktopFile is e as an XDG autostart file (Desktop Entry Specification 1.5).
func desktopFile(e Entry) string {
	words := make([]string, 0, 1+len(e.Args))
	for _, s := range append([]string{e.Program}, e.Args...) {
		words = append(words, execWord(s))
	}
	return "[Desktop Entry]\nType=Application\nName=" + Name + "\nExec=" + strings.Join(words, " ") +
		"\nIcon=sallyport\nTerminal=false\nNoDisplay=true\nX-GNOME-Autostart-enabled=true\n"
}

// execWord quotes a word of the Exec key: first as a command line ("The Exec
// key"), then as a string ("Possible value types").
func execWord(s string) string {
	s = strings.ReplaceAll(s, "%", "%%")
	if s == "" || strings.ContainsAny(s, " \t\n\"'\\><~|&;$*?#()`") {
		s = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", `$`, `\$`).Replace(s) + `"`
	}
	return strings.ReplaceAll(s, `\`, `\\`)
}

// runValue is e as a value of the Run key, quoted as CommandLineToArgvW reads it.
func runValue(e Entry) string {
	words := make([]string, 0, 1+len(e.Args))
	for i, s := range append([]string{e.Program}, e.Args...) {
		words = append(words, winWord(s, i == 0))
	}
	return strings.Join(words, " ")
}

func winWord(s string, always bool) string {
	if !always && s != "" && !strings.ContainsAny(s, " \t\"") {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	slashes := 0
	for _, r := range s {
		switch r {
		case '\\':
			slashes++
		case '"':
			b.WriteString(strings.Repeat(`\`, slashes+1))
			slashes = 0
		default:
			slashes = 0
		}
		b.WriteRune(r)
	}
	b.WriteString(strings.Repeat(`\`, slashes))
	b.WriteByte('"')
	return b.String()
}

// agent is e as a property list for launchd.
func agent(e Entry) string {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>Label</key>
	<string>` + id + `</string>
	<key>ProgramArguments</key>
	<array>
`)
	for _, s := range append([]string{e.Program}, e.Args...) {
		b.WriteString("\t\t<string>")
		_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
		b.WriteString("</string>\n")
	}
	b.WriteString("\t</array>\n\t<key>RunAtLoad</key>\n\t<true/>\n\t<key>ProcessType</key>\n\t<string>Interactive</string>\n</dict>\n</plist>\n")
	return b.String()
}

// store writes a file whole, or removes it when text is empty.
func store(path, text string) error {
	if text == "" {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove %s: %w", path, err)
		}
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("start at login: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".sallyport-*")
	if err != nil {
		return fmt.Errorf("start at login: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(text)
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// stored reports whether the file at path is there and does not say that it is
// switched off, as desktops do.
func stored(path string) (bool, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(b)) {
		switch strings.ToLower(strings.ReplaceAll(strings.TrimSpace(line), " ", "")) {
		case "hidden=true", "x-gnome-autostart-enabled=false":
			return false, nil
		}
	}
	return true, nil
}

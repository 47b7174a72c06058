package autostart

import (
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestDesktopFile(t *testing.T) {
	for _, c := range []struct {
		e    Entry
		want string
	}{
		{Entry{"/usr/bin/sallyport-gui", []string{"--hidden"}}, `Exec=/usr/bin/sallyport-gui --hidden`},
		{Entry{"/opt/My Apps/gui", nil}, `Exec="/opt/My Apps/gui"`},
		{Entry{`/opt/100%/a"b$c`, nil}, `Exec="/opt/100%%/a\\"b\\$c"`},
		{Entry{`/opt/a\b`, nil}, `Exec="/opt/a\\\\b"`},
		{Entry{"/bin/x", []string{""}}, `Exec=/bin/x ""`},
	} {
		if got := desktopFile(c.e); !strings.Contains(got, "\n"+c.want+"\n") {
			t.Errorf("%+v:\n%s\nwant a line %s", c.e, got, c.want)
		}
	}
}

func TestRunValue(t *testing.T) {
	for _, c := range []struct {
		e    Entry
		want string
	}{
		{Entry{`C:\Program Files\Sallyport\sallyport-gui.exe`, []string{"--hidden"}}, `"C:\Program Files\Sallyport\sallyport-gui.exe" --hidden`},
		{Entry{`C:\x.exe`, []string{`a "b"`, `c d\`, ""}}, `"C:\x.exe" "a \"b\"" "c d\\" ""`},
	} {
		if got := runValue(c.e); got != c.want {
			t.Errorf("%+v: %s, want %s", c.e, got, c.want)
		}
	}
}

func TestAgent(t *testing.T) {
	got := agent(Entry{"/Applications/<Sally & Port>/gui", []string{"--hidden"}})
	if !strings.Contains(got, "<string>/Applications/&lt;Sally &amp; Port&gt;/gui</string>") {
		t.Error(got)
	}
	d := xml.NewDecoder(strings.NewReader(got))
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, got)
		}
	}
}

func TestCheck(t *testing.T) {
	root := map[bool]string{true: `C:\`, false: "/"}[runtime.GOOS == "windows"]
	for e, want := range map[string]bool{root + "bin/gui": true, "bin/gui": false, root + "a\nExec=evil": false, "": false} {
		if err := (Entry{Program: e}).check(); (err == nil) != want {
			t.Errorf("%q: %v", e, err)
		}
	}
	if err := (Entry{root + "gui", []string{"a\x00b"}}).check(); err == nil {
		t.Error("a zero byte passes")
	}
}

func TestStore(t *testing.T) {
	p := filepath.Join(t.TempDir(), "autostart", "x.desktop")
	check := func(want bool) {
		t.Helper()
		if got, err := stored(p); got != want || err != nil {
			t.Errorf("stored: %v, %v", got, err)
		}
	}
	check(false)
	for range 2 {
		if err := store(p, desktopFile(Entry{Program: "/bin/gui"})); err != nil {
			t.Fatal(err)
		}
	}
	check(true)
	if err := os.WriteFile(p, []byte("[Desktop Entry]\nHidden = true\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	check(false) // a desktop has switched it off
	for range 2 {
		if err := store(p, ""); err != nil {
			t.Fatal(err)
		}
	}
	check(false)
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(p), "*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

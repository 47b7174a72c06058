package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/app/model"
	"sallyport/app/ui/kit"
)

func TestParse(t *testing.T) {
	o, err := parse([]string{"--page", "monitor", "--hidden", "--socket", "/run/x", "office.conf"})
	if err != nil || o.page != kit.Monitor || !o.hidden || o.socket != "/run/x" || len(o.files) != 1 || !filepath.IsAbs(o.files[0]) {
		t.Errorf("%+v, %v", o, err)
	}
	for args, code := range map[string]int{"--version": exitOK, "--help": exitOK, "--nonsense": exitUsage, "--page=moon": exitUsage} {
		var out, errs bytes.Buffer
		if got := run([]string{args}, &out, &errs); got != code || out.Len()+errs.Len() == 0 {
			t.Errorf("%s: %d, %s%s", args, got, &out, &errs)
		}
	}
}

func TestJudge(t *testing.T) {
	for s, want := range map[signs]model.Link{
		{}:                         model.Missing,
		{unit: true}:               model.Stopped,
		{program: true}:            model.Stopped,
		{socket: true, unit: true}: model.Lost,
		{own: true}:                model.Stopped,
		{own: true, socket: true}:  model.Lost,
	} {
		if got := judge(s); got != want {
			t.Errorf("%+v: %v, want %v", s, got, want)
		}
	}
}

func TestWord(t *testing.T) {
	for s, want := range map[string]string{"/usr/sbin/sallyportd": "/usr/sbin/sallyportd", "a b": "'a b'", "it's": `'it'\''s'`, "": "''", "$(x)": "'$(x)'"} {
		if got := word(s); got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
	}
	if s := remedies("/tmp/my socket"); !strings.Contains(s.Start, "'/tmp/my socket'") {
		t.Error(s.Start)
	}
}

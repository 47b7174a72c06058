package i18n

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2/lang"

	"sallyport/app/model"
)

// using speaks a language until the test ends.
func using(t *testing.T, language string) {
	t.Helper()
	before := Current()
	Use(language)
	t.Cleanup(func() { Use(before) })
}

// TestUseLanguages changes the language at run time: our texts and Fyne's own
// words follow, whatever the system's language is.
func TestUseLanguages(t *testing.T) {
	for _, tt := range []struct{ tag, safe, days, open string }{
		{"de", "Geschützt", "1 Tag", "Öffnen"},
		{"fr", "Protégé", "1 jour", "Ouvrir"},
		{"es", "Protegido", "1 día", "Abrir"},
		{"zh", "受保护", "1 天", "打开"},
		{"en", "Protected", "1 day", "Open"},
	} {
		using(t, tt.tag)
		if got := T("mark.safe"); got != tt.safe {
			t.Errorf("%s: mark.safe is %q, want %q", tt.tag, got, tt.safe)
		}
		if got := T("common.duration.days", "Count", 1); got != tt.days {
			t.Errorf("%s: a day is %q, want %q", tt.tag, got, tt.days)
		}
		if got := lang.L("Open"); got != tt.open {
			t.Errorf("%s: Fyne says %q, want %q", tt.tag, got, tt.open)
		}
		if got := Current(); got != tt.tag {
			t.Errorf("speaks %s, want %s", got, tt.tag)
		}
	}
	Use("tlh")
	if got := Current(); !spoken(got) {
		t.Errorf("a language that we do not speak led to %q", got)
	}
}

// TestSystem starts the program in sessions of several languages.
func TestSystem(t *testing.T) {
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		t.Log("the language of the session cannot be chosen by a test here")
		return
	}
	const ask = "I18N_TEST_ASK"
	if os.Getenv(ask) != "" {
		fmt.Printf("=%s %s %s=\n", Current(), T("mark.safe"), lang.L("Save"))
		return
	}
	for session, want := range map[string]string{
		"de_DE.UTF-8": "de Geschützt Speichern", "de_AT": "de Geschützt Speichern", "fr_CA.UTF-8": "fr Protégé Enregistrer",
		"es_MX.UTF-8": "es Protegido Guardar", "zh_CN.UTF-8": "zh 受保护 保存", "zh_TW.UTF-8": "zh 受保护 保存",
		"C": "en Protected Save", "": "en Protected Save", "ja_JP.UTF-8": "en Protected Save", "it_IT.UTF-8": "en Protected Save",
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSystem$", "-test.v")
		cmd.Env = append(os.Environ(), ask+"=1", "LANGUAGE=", "LC_ALL=", "LC_MESSAGES=", "LANG="+session)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "="+want+"=") {
			t.Errorf("in %q: %v, %s; want %s", session, err, out, want)
		}
	}
}

func TestSay(t *testing.T) {
	using(t, "en")
	for _, tt := range []struct {
		text model.Text
		want string
	}{
		{model.Text{}, ""},
		{model.Text{Key: "no.such.key"}, "no.such.key"},
		{model.Text{Key: "model.heads.safe", Params: map[string]any{"Count": 1}}, "1 connection is protected"},
		{model.Text{Key: "model.heads.safe", Params: map[string]any{"Count": 1200}}, "1,200 connections are protected"},
		{model.Text{Key: "model.ask.pin", Params: map[string]any{"Count": 3}}, "It asks for the PIN of a token."}, // counts nothing
		{model.Text{Key: "model.head.safe", Params: map[string]any{"Name": "{{.X}} <b>\x1b\u202e"}}, "{{.X}} <b>\ufffd\ufffd is protected"},
		{model.Text{Key: "model.story.networks", Params: map[string]any{"Gateway": model.Text{Key: "model.gateway"}, "Networks": "10.0.0.0/8"}},
			"Protected: all traffic to 10.0.0.0/8 goes through the gateway."},
	} {
		if got := Say(tt.text); got != tt.want {
			t.Errorf("%+v: got %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestFormats(t *testing.T) {
	berlin := time.FixedZone("", 3600)
	SetNow(func() time.Time { return time.Date(2026, 11, 21, 14, 0, 0, 0, berlin) })
	t.Cleanup(func() { SetNow(time.Now) })
	today, before := time.Date(2026, 11, 21, 8, 5, 9, 0, time.UTC), time.Date(2026, 3, 1, 23, 30, 0, 0, time.UTC)
	for tag, want := range map[string]string{
		"en": "999 B|1.0 kB|1.2 MB|12 MB|1.0 GB/s|-1,234,567|12,345|9,999|0 s|59 s|3 min 20 s|2 h|1 day 1 h|12 days|09:05|2 Mar 2026 00:30|99%|09:05:09",
		"de": "999 B|1,0 kB|1,2 MB|12 MB|1,0 GB/s|-1.234.567|12.345|9.999|0 s|59 s|3 min 20 s|2 h|1 Tag 1 h|12 Tage|09:05|02.03.2026 00:30|99 %|09:05:09",
		"fr": "999 o|1,0 ko|1,2 Mo|12 Mo|1,0 Go/s|-1 234 567|12 345|9999|0 s|59 s|3 min 20 s|2 h|1 jour 1 h|12 jours|09:05|02/03/2026 00:30|99 %|09:05:09",
		"es": "999 B|1,0 kB|1,2 MB|12 MB|1,0 GB/s|-1.234.567|12.345|9999|0 s|59 s|3 min 20 s|2 h|1 día 1 h|12 días|09:05|02/03/2026 00:30|99 %|09:05:09",
		"zh": "999 B|1.0 kB|1.2 MB|12 MB|1.0 GB/s|-1,234,567|12,345|9,999|0 秒|59 秒|3 分 20 秒|2 小时|1 天 1 小时|12 天|09:05|2026/03/02 00:30|99%|09:05:09",
	} {
		using(t, tag)
		got := strings.Join([]string{
			Bytes(999), Bytes(1000), Bytes(1_234_567), Bytes(12_345_678), Rate(999_999_999), Number(-1234567), Count(12345), Number(9999),
			Duration(-time.Hour), Duration(59*time.Second + 999*time.Millisecond), Duration(200 * time.Second), Duration(2*time.Hour + 3*time.Second),
			Duration(25 * time.Hour), Duration(12 * 24 * time.Hour), Time(today), Time(before), Percent(99.99), Seconds(today),
		}, "|")
		if got = strings.ReplaceAll(got, "\u00a0", " "); got != want {
			t.Errorf("%s:\n got %s\nwant %s", tag, got, want)
		}
	}
}

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/app"
	fynetheme "fyne.io/fyne/v2/theme"

	"sallyport/app/autostart"
	"sallyport/app/i18n"
	"sallyport/app/model"
	"sallyport/app/prefs"
	"sallyport/app/single"
	"sallyport/app/theme"
	"sallyport/app/tray"
	"sallyport/app/ui"
	"sallyport/app/ui/kit"
	"sallyport/app/vault"
	"sallyport/core/api"
	"sallyport/platform/ipc/client"
)

// appID names us to the desktop.
const appID = "org.sallyport.gui"

// A program is the window and the tray over one model.
type program struct {
	opt     options
	prefs   *prefs.Store
	model   *model.Model
	trace   *trace
	release func() // of the single instance; nil when there is none
	ctx     context.Context
	cancel  context.CancelFunc
	all     sync.WaitGroup

	tray   *tray.Tray
	panel  bool // a panel shows the tray
	win    *ui.Window
	app    fyne.App
	pace   *pace
	raised chan struct{} // the window can be brought up: closed when the loop runs
}

func newProgram(o options) (*program, error) {
	p := &program{opt: o, prefs: openPrefs(os.Stderr), raised: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if o.trace != "" {
		var err error
		if p.trace, err = openTrace(o.trace); err != nil {
			return nil, err
		}
	}
	c := client.New(o.socket)
	p.model = model.New(model.Options{Backend: c, Vault: vault.New(), Probe: func() model.Link { return probe(o.socket) }})
	p.all.Go(func() { _ = p.model.Run(p.ctx) })
	context.AfterFunc(p.ctx, func() { _ = c.Close() })
	return p, nil
}

func (p *program) close() {
	p.cancel()
	p.all.Wait()
	if p.release != nil {
		p.release()
	}
	p.trace.close()
}

// again is called when the program is started once more.
func (p *program) again(m single.Message) {
	if m.Quiet {
		return
	}
	select {
	case <-p.raised:
	case <-p.ctx.Done():
		return
	}
	if p.win == nil {
		p.tell(i18n.T("app.nowindow.title"), i18n.T("app.nowindow.text"))
		return
	}
	p.do(func() {
		p.win.Raise()
		p.win.Show(kit.Page(m.Page))
		p.win.Import(m.Files)
	})
}

// run shows the window and the tray, or the tray alone where there is no
// OpenGL, until the user quits.
func (p *program) run(errs io.Writer) int {
	p.panel = tray.Available()
	if why := lacksGL(p.ctx); why != "" {
		return p.trayOnly(errs, why)
	}
	if why := p.window(); why != "" {
		return p.trayOnly(errs, why)
	}
	return exitOK
}

func (p *program) dark() bool {
	switch p.prefs.Get().Look {
	case prefs.Dark:
		return true
	case prefs.Light:
		return false
	}
	return p.app == nil || p.app.Settings().ThemeVariant() == fynetheme.VariantDark
}

// window shows the window until the user quits. It says why there can be none,
// which a display that has gone since it was tried is the reason for.
func (p *program) window() (why string) {
	app.SetMetadata(fyne.AppMetadata{ID: appID, Name: "Sallyport", Version: api.Version, Icon: theme.AppIcon(),
		Migrations: map[string]bool{"fyneDo": true}})
	p.app = app.NewWithID(appID)
	p.app.SetIcon(theme.AppIcon())
	p.pace = newPace(func() bool { return !p.win.Visible() })
	p.win = ui.New(p.ctx, p.app, ui.Options{Model: p.model, Prefs: p.prefs, Login: login{}, Notifies: true, Service: remedies(p.opt.socket),
		Close: p.hide, Shown: p.shown, Poke: p.pace.poke})
	if why := lacksToolkit(); why != "" {
		p.app, p.win, p.pace = nil, nil, nil
		return why
	}
	p.tray = tray.New(p.dark(), p.act)
	p.app.Settings().AddListener(func(fyne.Settings) { p.tray.SetDark(p.dark()) })
	p.app.Lifecycle().SetOnStarted(func() {
		p.pace.start()
		p.tray.Start()
		p.win.Follow()
		stop := p.model.Watch(func(s *model.Snapshot) { p.tray.Show(tray.MenuOf(s, true)) })
		context.AfterFunc(p.ctx, stop)
		if p.trace != nil {
			p.all.Go(func() { p.trace.follow(p.ctx, p.win) })
		}
		close(p.raised)
		if p.opt.page != "" {
			p.win.Show(p.opt.page)
		}
		if p.opt.hidden && p.panel {
			return
		}
		p.win.SetVisible(true)
		p.win.Import(p.opt.files)
	})
	p.app.Lifecycle().SetOnStopped(func() { p.cancel() })
	stop := p.model.Notices(func(n model.Notice) {
		if p.prefs.Get().Notify {
			p.do(func() { p.app.SendNotification(fyne.NewNotification(i18n.Say(n.Title), i18n.Say(n.Body))) })
		}
	})
	defer stop()
	p.signals(func() { p.do(p.app.Quit) })
	if !p.opt.hidden || !p.panel {
		p.win.Window().Show()
	}
	p.app.Run()
	p.cancel()
	return ""
}

// hide is what closing the window does: it goes on in the tray, or ends where
// no panel shows one, since nobody could bring it back.
func (p *program) hide() {
	if !p.panel {
		p.app.Quit()
		return
	}
	p.win.SetVisible(false)
	p.win.Window().Hide()
}

// shown is called after a snapshot is on the screen.
func (p *program) shown(s *model.Snapshot) { p.trace.write(s, p.win.Displayed()) }

// act does what an item of the tray's menu says.
func (p *program) act(it tray.Item) {
	do := func(f func(ctx context.Context) error) {
		p.all.Go(func() {
			err := f(p.ctx)
			if e := api.AsError(err); e != nil && e.Code != api.CodeCancelled && p.ctx.Err() == nil {
				what, why, _ := model.ErrorText(e)
				p.tell(i18n.Say(what), i18n.Say(why))
			}
		})
	}
	switch it.Action {
	case tray.Open:
		p.raise(func() {})
	case tray.Show:
		p.raise(func() { p.win.Go(kit.Connections, it.Connection) })
	case tray.Why:
		if p.win == nil {
			p.tell("Sallyport", it.Title)
			return
		}
		p.raise(func() {
			if it.Connection != "" {
				p.win.Go(kit.Diagnosis, it.Connection)
			} else {
				p.win.Show(kit.Connections)
			}
		})
	case tray.Connect:
		do(func(ctx context.Context) error { return p.model.Connect(ctx, it.Connection) })
	case tray.Disconnect:
		do(func(ctx context.Context) error { return p.model.Disconnect(ctx, it.Connection) })
	case tray.SetProfile:
		do(func(ctx context.Context) error {
			return p.model.Backend().SetProfile(ctx, it.Connection, it.Profile)
		})
	case tray.Quit:
		if p.win != nil {
			p.do(p.app.Quit)
			return
		}
		p.tray.Quit()
	}
}

// do runs f soon on Fyne's goroutine. It is called on others.
func (p *program) do(f func()) {
	fyne.Do(f)
	p.pace.poke()
}

func (p *program) raise(then func()) {
	if p.win == nil {
		p.tell(i18n.T("app.nowindow.title"), i18n.T("app.nowindow.text"))
		return
	}
	p.do(func() {
		p.win.Raise()
		then()
	})
}

// tell shows a notification that answers what the user has just done: the
// setting does not silence it.
func (p *program) tell(title, body string) {
	if p.app != nil {
		p.do(func() { p.app.SendNotification(fyne.NewNotification(title, body)) })
		return
	}
	if err := tray.Notify(title, body); err != nil {
		fmt.Fprintf(os.Stderr, "%s\n%s\n", title, body)
	}
}

// trayOnly shows the tray without a window, and says why there is none.
func (p *program) trayOnly(errs io.Writer, why string) int {
	fmt.Fprintf(errs, "sallyport-gui: %s\n%s\n", i18n.T("app.nogl", "Why", why), i18n.T("app.nowindow.text"))
	if !p.panel {
		fmt.Fprintf(errs, "%s\n", i18n.T("app.nopanel"))
		p.tell(i18n.T("app.nowindow.title"), i18n.T("app.nowindow.text"))
		return exitFailed
	}
	p.tray = tray.New(p.prefs.Get().Look != prefs.Light, p.act)
	close(p.raised)
	p.tell(i18n.T("app.nowindow.title"), i18n.T("app.nowindow.text"))
	stopNotices := p.model.Notices(func(n model.Notice) {
		if p.prefs.Get().Notify {
			p.tell(i18n.Say(n.Title), i18n.Say(n.Body))
		}
	})
	stopWatch := p.model.Watch(func(s *model.Snapshot) {
		p.tray.Show(tray.MenuOf(s, false))
		p.trace.write(s, nil)
	})
	p.signals(p.tray.Quit)
	p.tray.Run()
	p.cancel()
	stopWatch()
	stopNotices()
	return exitOK
}

// signals calls quit when the session or the user ends us.
func (p *program) signals(quit func()) {
	sig := make(chan os.Signal, 1)
	signal.Notify(sig, os.Interrupt, syscall.SIGTERM)
	p.all.Go(func() {
		defer signal.Stop(sig)
		select {
		case <-sig:
			quit()
		case <-p.ctx.Done():
		}
	})
}

// login is autostart as the settings want it.
type login struct{}

// Enabled implements settings.Login.
func (login) Enabled() (bool, error) { return autostart.Enabled() }

// Set implements settings.Login.
func (login) Set(on bool) error {
	if !on {
		return autostart.Disable()
	}
	e, err := autostart.Current()
	if err != nil {
		return err
	}
	return autostart.Enable(e)
}

// Package wizard makes, changes, imports and hands out connections: the
// wizard of a new connection, the same for one that is there, the import of
// files with its preview, the export and the QR code.
//
// Each function opens a flow in env.Window, over the view that is in front,
// and returns at once; they run on Fyne's goroutine.
package wizard

import "sallyport/app/ui/kit"

// New opens the wizard for a new connection.
func New(env *kit.Env) {}

// Edit opens the wizard with the settings of a connection. Its secrets stay
// what they are where the fields for them are left empty.
func Edit(env *kit.Env, name string) {}

// Import opens the import with these files, which were chosen, dropped on the
// window or named on the command line. Without files it asks for them.
func Import(env *kit.Env, files []string) {}

// Export asks where to and writes a connection as a file, without its secrets.
func Export(env *kit.Env, name string) {}

// QR shows a connection, without its secrets, as a QR code.
func QR(env *kit.Env, name string) {}

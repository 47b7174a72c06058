package paths

// ConfigDir holds connection profiles, certificates and secrets.
func ConfigDir() string { return "/Library/Application Support/Sallyport" }

// StateDir holds the journals that undo changes of the machine.
func StateDir() string { return "/var/db/sallyport" }

// Socket is where the service listens to front ends.
func Socket() string { return "/var/run/sallyport/sallyport.sock" }

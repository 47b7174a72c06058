package paths

// ConfigDir holds connection profiles, certificates and secrets.
func ConfigDir() string { return "/etc/sallyport" }

// StateDir holds the journals that undo changes of the machine.
func StateDir() string { return "/var/lib/sallyport" }

// Socket is where the service listens to front ends.
func Socket() string { return "/run/sallyport/sallyport.sock" }

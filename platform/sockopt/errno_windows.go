package sockopt

import "golang.org/x/sys/windows"

const (
	errInUse  = windows.WSAEADDRINUSE
	errTooBig = windows.WSAEMSGSIZE
)

package tray

import (
	"fmt"
	"runtime"

	"sallyport/app/model"
	"sallyport/assets"
)

// Icon returns the icon of a mark as the panel of this system takes it.
func Icon(m model.Mark, dark bool) []byte {
	panel := "light"
	if dark {
		panel = "dark"
	}
	b, err := assets.Icons.ReadFile(fmt.Sprintf("icons/tray/%v-%s-48.png", m, panel))
	if err != nil {
		panic(err) // compiled in; a test reads all of them
	}
	if runtime.GOOS == "windows" {
		return ico(b)
	}
	return b
}

// ico wraps a PNG of 48 × 48 as an icon file with one picture, which Windows
// takes since Vista.
func ico(png []byte) []byte {
	n := len(png)
	return append([]byte{
		0, 0, 1, 0, 1, 0, // an icon, one picture
		48, 48, 0, 0, 1, 0, 32, 0, // its size, no palette, one plane, 32 bits
		byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24), 22, 0, 0, 0, // its length and place
	}, png...)
}

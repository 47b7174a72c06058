package assets

import "embed"

// Icons holds icons/mark-NAME.svg, one for each mark of a state and each of a
// shape of its own; icons/page-NAME.svg, one for each page of the window; and
// icons/tray/NAME-PANEL-SIZE.png, the marks in colour for a light or a dark
// panel. icons/make writes the latter.
//
//go:embed icons/*.svg icons/tray/*.png
var Icons embed.FS

// Icon is the icon of the program, as PNG of 512 × 512.
//
//go:embed icon.png
var Icon []byte

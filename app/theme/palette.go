package theme

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"

	"sallyport/app/model"
)

// The palettes. Every text has a contrast of 4.5:1 or more on every ground that
// it can stand on (WCAG 2.2, success criterion 1.4.3); a test measures them.
var (
	light = palette{
		theme.ColorNameBackground:                rgb(0xF4F6F8),
		ColorSurface:                             rgb(0xFFFFFF),
		ColorRail:                                rgb(0xE9EDF1),
		ColorSelected:                            rgb(0xD9E5F6),
		theme.ColorNameForeground:                rgb(0x17202B),
		ColorSubtle:                              rgb(0x505C6C),
		theme.ColorNamePlaceHolder:               rgb(0x5C6878),
		theme.ColorNameDisabled:                  rgb(0x5F6B7A),
		theme.ColorNamePrimary:                   rgb(0x1D5FBF),
		theme.ColorNameHyperlink:                 rgb(0x1D5FBF),
		theme.ColorNameForegroundOnPrimary:       rgb(0xFFFFFF),
		theme.ColorNameButton:                    rgb(0xE6EAEF),
		theme.ColorNameDisabledButton:            rgb(0xEBEEF1),
		theme.ColorNameHover:                     rgba(0x0B1B30, 0x12),
		theme.ColorNamePressed:                   rgba(0x0B1B30, 0x22),
		theme.ColorNameFocus:                     rgba(0x1D5FBF, 0x66),
		theme.ColorNameSelection:                 rgba(0x1D5FBF, 0x33),
		theme.ColorNameInputBackground:           rgb(0xFFFFFF),
		theme.ColorNameInputBorder:               rgb(0x8A95A3),
		theme.ColorNameMenuBackground:            rgb(0xFFFFFF),
		theme.ColorNameOverlayBackground:         rgb(0xFFFFFF),
		theme.ColorNameHeaderBackground:          rgb(0xEDF0F3),
		theme.ColorNameInnerWindowBorder:         rgb(0xFFFFFF),
		theme.ColorNameInnerWindowBorderInactive: rgb(0xF4F6F8),
		theme.ColorNameSeparator:                 rgb(0xD8DEE5),
		theme.ColorNameShadow:                    rgba(0x0B1B30, 0x2A),
		theme.ColorNameScrollBar:                 rgba(0x17202B, 0x66),
		theme.ColorNameScrollBarBackground:       rgba(0x17202B, 0x0A),
		theme.ColorNameSuccess:                   rgb(0x0A7340),
		theme.ColorNameForegroundOnSuccess:       rgb(0xFFFFFF),
		theme.ColorNameWarning:                   rgb(0x8F5600),
		theme.ColorNameForegroundOnWarning:       rgb(0xFFFFFF),
		theme.ColorNameError:                     rgb(0xB3261E),
		theme.ColorNameForegroundOnError:         rgb(0xFFFFFF),

		ColorOf(model.Off):     rgb(0x566273),
		ColorOf(model.Safe):    rgb(0x0A7340),
		ColorOf(model.Busy):    rgb(0x1D5FBF),
		ColorOf(model.Partly):  rgb(0x8F5600),
		ColorOf(model.Blocked): rgb(0x6A3FA0),
		ColorOf(model.Fault):   rgb(0xB3261E),
		TintOf(model.Off):      rgb(0xECEFF3),
		TintOf(model.Safe):     rgb(0xE3F4EA),
		TintOf(model.Busy):     rgb(0xE4EEFB),
		TintOf(model.Partly):   rgb(0xFDF1DC),
		TintOf(model.Blocked):  rgb(0xF0E9F8),
		TintOf(model.Fault):    rgb(0xFCE9E7),
	}
	dark = palette{
		theme.ColorNameBackground:                rgb(0x12171E),
		ColorSurface:                             rgb(0x1B222B),
		ColorRail:                                rgb(0x0D1117),
		ColorSelected:                            rgb(0x24364F),
		theme.ColorNameForeground:                rgb(0xE7ECF2),
		ColorSubtle:                              rgb(0xA6B2C1),
		theme.ColorNamePlaceHolder:               rgb(0x9AA7B7),
		theme.ColorNameDisabled:                  rgb(0x8E9BAB),
		theme.ColorNamePrimary:                   rgb(0x7DB2FF),
		theme.ColorNameHyperlink:                 rgb(0x7DB2FF),
		theme.ColorNameForegroundOnPrimary:       rgb(0x08162B),
		theme.ColorNameButton:                    rgb(0x2B3440),
		theme.ColorNameDisabledButton:            rgb(0x222A34),
		theme.ColorNameHover:                     rgba(0xFFFFFF, 0x12),
		theme.ColorNamePressed:                   rgba(0xFFFFFF, 0x22),
		theme.ColorNameFocus:                     rgba(0x7DB2FF, 0x66),
		theme.ColorNameSelection:                 rgba(0x7DB2FF, 0x44),
		theme.ColorNameInputBackground:           rgb(0x151B23),
		theme.ColorNameInputBorder:               rgb(0x5F6C7B),
		theme.ColorNameMenuBackground:            rgb(0x232C37),
		theme.ColorNameOverlayBackground:         rgb(0x1B222B),
		theme.ColorNameHeaderBackground:          rgb(0x222A34),
		theme.ColorNameInnerWindowBorder:         rgb(0x1B222B),
		theme.ColorNameInnerWindowBorderInactive: rgb(0x12171E),
		theme.ColorNameSeparator:                 rgb(0x313B47),
		theme.ColorNameShadow:                    rgba(0x000000, 0x66),
		theme.ColorNameScrollBar:                 rgba(0xE7ECF2, 0x66),
		theme.ColorNameScrollBarBackground:       rgba(0xE7ECF2, 0x0A),
		theme.ColorNameSuccess:                   rgb(0x4CC38A),
		theme.ColorNameForegroundOnSuccess:       rgb(0x06210F),
		theme.ColorNameWarning:                   rgb(0xF0B849),
		theme.ColorNameForegroundOnWarning:       rgb(0x261900),
		theme.ColorNameError:                     rgb(0xFF8A80),
		theme.ColorNameForegroundOnError:         rgb(0x2B0805),

		ColorOf(model.Off):     rgb(0xA3AFBE),
		ColorOf(model.Safe):    rgb(0x4CC38A),
		ColorOf(model.Busy):    rgb(0x7DB2FF),
		ColorOf(model.Partly):  rgb(0xF0B849),
		ColorOf(model.Blocked): rgb(0xC4A2F5),
		ColorOf(model.Fault):   rgb(0xFF8A80),
		TintOf(model.Off):      rgb(0x262E38),
		TintOf(model.Safe):     rgb(0x163527),
		TintOf(model.Busy):     rgb(0x1B3150),
		TintOf(model.Partly):   rgb(0x3A2E14),
		TintOf(model.Blocked):  rgb(0x32264A),
		TintOf(model.Fault):    rgb(0x432220),
	}
)

type palette map[fyne.ThemeColorName]color.NRGBA

func rgb(c uint32) color.NRGBA { return rgba(c, 0xFF) }

func rgba(c uint32, a uint8) color.NRGBA {
	return color.NRGBA{R: uint8(c >> 16), G: uint8(c >> 8), B: uint8(c), A: a}
}

package kit

import "sallyport/app/model"

// Marks returns all marks.
func Marks() []model.Mark {
	return []model.Mark{model.Off, model.Safe, model.Busy, model.Partly, model.Blocked, model.Fault}
}

//go:build !ci

package main

import (
	"fmt"
	"io"
	"runtime"

	"github.com/go-gl/gl/v2.1/gl"
	"github.com/go-gl/glfw/v3.4/glfw"
)

// probeGL makes a window with the OpenGL that the real one needs, without
// showing it.
func probeGL(errs io.Writer) int {
	runtime.LockOSThread()
	fail := func(err error) int {
		fmt.Fprintln(errs, err)
		return exitFailed
	}
	if err := glfw.Init(); err != nil {
		return fail(err)
	}
	defer glfw.Terminate()
	glfw.WindowHint(glfw.Visible, glfw.False)
	glfw.WindowHint(glfw.ContextVersionMajor, 2)
	glfw.WindowHint(glfw.ContextVersionMinor, 1)
	w, err := glfw.CreateWindow(16, 16, "Sallyport", nil, nil)
	if err != nil {
		return fail(err)
	}
	defer w.Destroy()
	w.MakeContextCurrent()
	if err := gl.Init(); err != nil {
		return fail(err)
	}
	if gl.GoStr(gl.GetString(gl.VERSION)) == "" {
		return fail(fmt.Errorf("OpenGL tells no version"))
	}
	return exitOK
}

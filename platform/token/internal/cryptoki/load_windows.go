package cryptoki

import "golang.org/x/sys/windows"

// load loads a library, and returns where it begins to answer. What the library
// needs besides is looked for beside it and among the system's own.
func load(path string) (uintptr, error) {
	lib, err := windows.LoadLibraryEx(path, 0, windows.LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR|windows.LOAD_LIBRARY_SEARCH_SYSTEM32)
	if err != nil {
		return 0, err
	}
	return windows.GetProcAddress(lib, "C_GetFunctionList")
}

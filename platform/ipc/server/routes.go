package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"sallyport/core/api"
	"sallyport/platform/ipc"
)

// Limits of an import beside the size of its body.
const (
	maxFiles    = 1024
	maxFilePath = 4096
	maxPassword = 4096
)

// A handler serves a request with a value to answer, or explains why not.
type handler func(s *Server, w http.ResponseWriter, r *http.Request) (any, error)

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"GET " + ipc.Prefix + "/state":                          (*Server).state,
		"GET " + ipc.Prefix + "/dynamic":                        (*Server).dynamic,
		"GET " + ipc.Prefix + "/log":                            (*Server).logEntries,
		"GET " + ipc.Prefix + "/events":                         (*Server).events,
		"POST " + ipc.Prefix + "/import":                        (*Server).importFiles,
		"POST " + ipc.Prefix + "/connections/{name}/connect":    (*Server).connect,
		"POST " + ipc.Prefix + "/connections/{name}/disconnect": (*Server).disconnect,
		"DELETE " + ipc.Prefix + "/connections/{name}":          (*Server).remove,

		"POST " + ipc.Prefix + "/answer":                     (*Server).answerPrompt,
		"GET " + ipc.Prefix + "/connections/{name}/export":   (*Server).export,
		"POST " + ipc.Prefix + "/connections/{name}/profile": (*Server).setProfile,
		"POST " + ipc.Prefix + "/test":                       (*Server).test,
		"GET " + ipc.Prefix + "/traffic":                     (*Server).traffic,
		"GET " + ipc.Prefix + "/tokens":                      (*Server).tokens,
		"GET " + ipc.Prefix + "/exchanges":                   (*Server).exchanges,

		"GET " + ipc.Prefix + "/security":                        (*Server).security,
		"GET " + ipc.Prefix + "/policies":                        (*Server).policies,
		"POST " + ipc.Prefix + "/policies":                       (*Server).storePolicy,
		"GET " + ipc.Prefix + "/policies/{name}":                 (*Server).policy,
		"DELETE " + ipc.Prefix + "/policies/{name}":              (*Server).removePolicy,
		"GET " + ipc.Prefix + "/policies/{name}/diff/{other}":    (*Server).diffPolicies,
		"POST " + ipc.Prefix + "/policies/{name}/assign":         (*Server).assign,
		"POST " + ipc.Prefix + "/unassign":                       (*Server).unassign,
		"GET " + ipc.Prefix + "/explain":                         (*Server).explainFlow,
		"POST " + ipc.Prefix + "/simulate":                       (*Server).simulate,
		"POST " + ipc.Prefix + "/connections/{name}/allow-clear": (*Server).allowClear,
		"GET " + ipc.Prefix + "/memories":                        (*Server).memories,
		"POST " + ipc.Prefix + "/memories/pin":                   (*Server).pin,
		"POST " + ipc.Prefix + "/memories/forget":                (*Server).forget,

		"/": func(s *Server, _ http.ResponseWriter, r *http.Request) (any, error) { return nil, unknown(r) },
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, h) })
	}
	return mux
}

// streamed is what a handler returns that has written its answer itself.
type streamed struct{}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, h handler) {
	ctx, cancel, err := deadline(r)
	if err != nil {
		s.fail(w, api.AsError(err))
		return
	}
	defer cancel()
	v, err := h(s, w, r.WithContext(ctx))
	if err != nil {
		s.fail(w, api.AsError(stopping(r.Context(), err)))
		return
	}
	if _, ok := v.(streamed); !ok {
		s.write(w, http.StatusOK, v)
	}
}

// deadline gives the request the time that its caller waits.
func deadline(r *http.Request) (context.Context, context.CancelFunc, error) {
	v := r.Header.Get(ipc.HeaderTimeout)
	if v == "" {
		return r.Context(), func() {}, nil
	}
	ms, err := strconv.ParseInt(v, 10, 32)
	if err != nil || ms < 0 {
		return nil, nil, usage("The header %s is not a number of milliseconds.", ipc.HeaderTimeout)
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(ms)*time.Millisecond)
	return ctx, cancel, nil
}

func (s *Server) state(_ http.ResponseWriter, r *http.Request) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	st, err := s.backend.State(r.Context())
	st.Connections = notNil(st.Connections)
	return st, err
}

func (s *Server) dynamic(_ http.ResponseWriter, r *http.Request) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	return s.backend.Dynamic(r.Context())
}

func (s *Server) logEntries(_ http.ResponseWriter, r *http.Request) (any, error) {
	q, err := query(r, "limit")
	if err != nil {
		return nil, err
	}
	limit := 200
	if q.Has("limit") {
		limit, err = strconv.Atoi(q.Get("limit"))
		if err != nil || limit < 0 || limit > ipc.MaxLog {
			return nil, usage("The limit must be a number from 0 to %d.", ipc.MaxLog)
		}
	}
	entries, err := s.backend.Log(r.Context(), limit)
	return notNil(entries), err
}

func (s *Server) importFiles(w http.ResponseWriter, r *http.Request) (any, error) {
	release, err := s.imports.take(r.Context())
	if err != nil {
		return nil, err
	}
	defer release()
	var req api.ImportRequest
	// The backend has copied what it keeps. What the decoder buffered is beyond
	// reach; what we hold does not outlive the request.
	defer func() { clear(req.Password) }()
	if err := s.read(w, r, ipc.MaxImportBody, &req); err != nil {
		return nil, err
	}
	if err := checkImport(req); err != nil {
		return nil, err
	}
	s.audit(r, "import "+strconv.Quote(req.Files[0].Path))
	return s.backend.Import(s.asked(r), req)
}

func checkImport(r api.ImportRequest) error {
	switch {
	case len(r.Files) == 0:
		return usage("There is no file to import.")
	case len(r.Files) > maxFiles || len(r.Asked) > maxFiles:
		return usage("An import may bring at most %d files.", maxFiles)
	case len(r.Password) > maxPassword:
		return usage("A password may have at most %d bytes.", maxPassword)
	}
	for _, f := range r.Files {
		if f.Path == "" || len(f.Path) > maxFilePath {
			return usage("A file's path must have between 1 and %d bytes.", maxFilePath)
		}
	}
	for _, p := range r.Asked {
		if len(p) > maxFilePath {
			return usage("A file's path must have between 1 and %d bytes.", maxFilePath)
		}
	}
	if r.Name != "" {
		if err := ipc.CheckName(r.Name); err != nil {
			return usage("The name for the connection does not do: %v.", err)
		}
	}
	return nil
}

func (s *Server) connect(w http.ResponseWriter, r *http.Request) (any, error) {
	name, err := nameOf(r)
	if err != nil {
		return nil, err
	}
	var body ipc.ConnectBody
	if err := s.read(w, r, ipc.MaxBody, &body); err != nil {
		return nil, err
	}
	if body.Profile != "" {
		if err := checkProfile(body.Profile); err != nil {
			return nil, err
		}
	}
	s.audit(r, "connect "+strconv.Quote(name))
	return struct{}{}, s.backend.Connect(s.asked(r), api.ConnectRequest{Name: name, Wait: body.Wait, Profile: body.Profile})
}

func (s *Server) disconnect(_ http.ResponseWriter, r *http.Request) (any, error) {
	name, err := bare(r)
	if err != nil {
		return nil, err
	}
	s.audit(r, "disconnect "+strconv.Quote(name))
	return struct{}{}, s.backend.Disconnect(s.asked(r), name)
}

func (s *Server) remove(_ http.ResponseWriter, r *http.Request) (any, error) {
	name, err := bare(r)
	if err != nil {
		return nil, err
	}
	s.audit(r, "remove "+strconv.Quote(name))
	return struct{}{}, s.backend.Remove(s.asked(r), name)
}

// audit notes who asked for a change.
func (s *Server) audit(r *http.Request, what string) {
	if who, ok := r.Context().Value(callerKey{}).(caller); ok {
		s.log(api.LogInfo, what+": asked by "+who.String())
	}
}

// asked returns the request's context with the caller's name in it, for what
// the backend records. The process is left out: it will be gone by then.
func (s *Server) asked(r *http.Request) context.Context {
	who, ok := r.Context().Value(callerKey{}).(caller)
	if !ok {
		return r.Context()
	}
	text := ipc.Peer{UID: who.UID, Vetted: who.Vetted}.String()
	if name := s.lookupUser(who.UID); !who.Vetted && name != "" {
		text = name + " (" + text + ")"
	}
	return api.WithCaller(r.Context(), text)
}

// bare returns the name in the path of a request that has nothing else.
func bare(r *http.Request) (string, error) {
	if err := empty(r); err != nil {
		return "", err
	}
	return nameOf(r)
}

func nameOf(r *http.Request) (string, error) {
	if _, err := query(r); err != nil {
		return "", err
	}
	return segment(r, "name")
}

// segment returns a name that the path holds.
func segment(r *http.Request, key string) (string, error) {
	name := r.PathValue(key)
	if err := ipc.CheckName(name); err != nil {
		return "", usage("%q is no name: %v.", truncate(name), err)
	}
	return name, nil
}

// query parses the query, which may hold each of the known parameters once.
func query(r *http.Request, known ...string) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, usage("The query of the request is malformed.")
	}
	allowed := 0
	for _, k := range known {
		if len(q[k]) > 1 {
			return nil, usage("The parameter %s is there twice.", k)
		}
		allowed += len(q[k])
	}
	if allowed != len(q) {
		return nil, usage("The request has a parameter that it must not have.")
	}
	return q, nil
}

// read reads and decodes the body, which must be one JSON value of v's shape.
func (s *Server) read(w http.ResponseWriter, r *http.Request, limit int64, v any) error {
	if _, err := query(r); err != nil {
		return err
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != ipc.ContentJSON {
		return usage("The body of the request must be %s.", ipc.ContentJSON)
	}
	if r.ContentLength < 0 {
		return usage("The request must say how long its body is.")
	}
	if r.ContentLength > limit {
		// Not read, so the connection cannot go on.
		w.Header().Set("Connection", "close")
		return &api.Error{Code: api.CodeUsage, What: "The request is too large.",
			Why: fmt.Sprintf("It has %d bytes, and at most %d are taken.", r.ContentLength, limit)}
	}
	rc := http.NewResponseController(w)
	timed := rc.SetReadDeadline(time.Now().Add(bodyTimeout)) == nil
	body := make([]byte, r.ContentLength)
	defer clear(body) // it may hold a password
	if _, err := io.ReadFull(r.Body, body); err != nil {
		w.Header().Set("Connection", "close")
		return usage("The body of the request ended early.")
	}
	if timed {
		rc.SetReadDeadline(time.Time{})
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return &api.Error{Code: api.CodeUsage, What: "The body of the request is not the JSON that belongs there.", Why: jsonWhy(err)}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return usage("Something follows the JSON in the body of the request.")
	}
	return nil
}

// jsonWhy describes a decoding error without quoting values, which may be secret.
func jsonWhy(err error) string {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Sprintf("The field %q cannot be a JSON %s.", e.Field, e.Value)
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("It is malformed at byte %d.", e.Offset)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "It ends early."
	}
	return "It holds an unknown field or a value that does not fit."
}

// notNil keeps an empty list an empty list in JSON.
func notNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func usage(format string, args ...any) *api.Error {
	return &api.Error{Code: api.CodeUsage, What: fmt.Sprintf(format, args...)}
}

// unknown explains a path that this version does not serve.
func unknown(r *http.Request) error {
	return &api.Error{Code: api.CodeUnsupported, What: "The service does not know this request.",
		Why:  fmt.Sprintf("It speaks version %d of the API, and the request was %s %q.", api.APIVersion, r.Method, truncate(r.URL.Path)),
		Next: "Use the command line and the service of one release, and restart the service after an upgrade."}
}

func truncate(s string) string {
	if len(s) > 128 {
		return s[:128] + "…"
	}
	return s
}

// statuses maps codes to HTTP; every other code is 422: understood, and failed.
var statuses = map[api.ErrorCode]int{
	api.CodeInternal:    http.StatusInternalServerError,
	api.CodeUsage:       http.StatusBadRequest,
	api.CodeUnreachable: http.StatusServiceUnavailable,
	api.CodeNotAllowed:  http.StatusForbidden,
	api.CodeNotFound:    http.StatusNotFound,
	api.CodeExists:      http.StatusConflict,
	api.CodeBusy:        http.StatusConflict,
	api.CodeUnsupported: http.StatusNotImplemented,
	api.CodeTimeout:     http.StatusGatewayTimeout,
}

func (s *Server) fail(w http.ResponseWriter, e *api.Error) {
	status, ok := statuses[e.Code]
	if !ok {
		status = http.StatusUnprocessableEntity
	}
	s.write(w, status, ipc.ErrorBody{Error: e})
}

func (s *Server) write(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil || len(b) > ipc.MaxResponse {
		s.log(api.LogError, fmt.Sprintf("encode an answer of %d bytes: %v", len(b), err))
		status, b = http.StatusInternalServerError, []byte(`{"error":{"code":"internal","what":"The answer could not be encoded."}}`)
	}
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	w.Header().Set("Content-Type", ipc.ContentJSON)
	w.WriteHeader(status)
	w.Write(b)
}

package server

import (
	"net/http"
	"strconv"

	"sallyport/core/api"
	"sallyport/platform/ipc"
)

func (s *Server) answerPrompt(w http.ResponseWriter, r *http.Request) (any, error) {
	var a api.Answer
	defer func() { clear(a.Secret) }() // see importFiles
	if err := s.read(w, r, ipc.MaxBody, &a); err != nil {
		return nil, err
	}
	switch {
	case a.ID == "" || len(a.ID) > ipc.MaxName || len(a.Choice) > ipc.MaxName:
		return nil, usage("That answers no prompt.")
	case len(a.Secret) > maxPassword:
		return nil, usage("A password may have at most %d bytes.", maxPassword)
	}
	s.audit(r, "answer a prompt")
	return struct{}{}, s.backend.Answer(s.asked(r), a)
}

func (s *Server) export(_ http.ResponseWriter, r *http.Request) (any, error) {
	name, err := bare(r)
	if err != nil {
		return nil, err
	}
	s.audit(r, "export "+strconv.Quote(name))
	return s.backend.Export(s.asked(r), name)
}

func (s *Server) setProfile(w http.ResponseWriter, r *http.Request) (any, error) {
	name, err := nameOf(r)
	if err != nil {
		return nil, err
	}
	var body ipc.ProfileBody
	if err := s.read(w, r, ipc.MaxBody, &body); err != nil {
		return nil, err
	}
	if err := checkProfile(body.Profile); err != nil {
		return nil, err
	}
	s.audit(r, "profile "+string(body.Profile)+" for "+strconv.Quote(name))
	return struct{}{}, s.backend.SetProfile(s.asked(r), name, body.Profile)
}

func checkProfile(p api.Profile) error {
	switch p {
	case api.Respond, api.Request, api.Require:
		return nil
	}
	return usage("There is no profile %q; the profiles are respond, request and require.", truncate(string(p)))
}

func (s *Server) test(w http.ResponseWriter, r *http.Request) (any, error) {
	release, err := s.tests.take(r.Context())
	if err != nil {
		return nil, err
	}
	defer release()
	var req api.ImportRequest
	defer func() { clear(req.Password) }() // see importFiles
	if err := s.read(w, r, ipc.MaxImportBody, &req); err != nil {
		return nil, err
	}
	if err := checkImport(req); err != nil {
		return nil, err
	}
	s.audit(r, "test "+strconv.Quote(req.Files[0].Path))
	return s.backend.Test(s.asked(r), req)
}

func (s *Server) traffic(_ http.ResponseWriter, r *http.Request) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	t, err := s.backend.Traffic(r.Context())
	if t == nil {
		t = map[string]api.Counters{}
	}
	return t, err
}

func (s *Server) tokens(_ http.ResponseWriter, r *http.Request) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	t, err := s.backend.Tokens(r.Context())
	t.Modules, t.Tokens = notNil(t.Modules), notNil(t.Tokens)
	return t, err
}

func (s *Server) exchanges(_ http.ResponseWriter, r *http.Request) (any, error) {
	q, err := query(r, "connection", "limit")
	if err != nil {
		return nil, err
	}
	name, limit := q.Get("connection"), 200
	if name != "" {
		if err := ipc.CheckName(name); err != nil {
			return nil, usage("%q is no name: %v.", truncate(name), err)
		}
	}
	if q.Has("limit") {
		limit, err = strconv.Atoi(q.Get("limit"))
		if err != nil || limit < 0 || limit > ipc.MaxMessages {
			return nil, usage("The limit must be a number from 0 to %d.", ipc.MaxMessages)
		}
	}
	messages, err := s.backend.Exchanges(r.Context(), name, limit)
	return notNil(messages), err
}

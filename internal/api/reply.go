package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
)

// writeJSON answers with a JSON body. HTML characters are not escaped: nobody embeds it in a page.
func writeJSON(w http.ResponseWriter, status int, v any) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil { // a bug: everything that is answered is plain data
		status, body = http.StatusInternalServerError, *bytes.NewBufferString(`{"id":"server_error","message":"the answer cannot be written"}`)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // the client is gone; nothing to do about it
}

// ok answers 200 with v under one top-level key.
func ok(w http.ResponseWriter, key string, v any) error {
	writeJSON(w, http.StatusOK, map[string]any{key: v})
	return nil
}

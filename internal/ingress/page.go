package ingress

import (
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"strings"
)

// page is an answer of our own. It is the error that leads to it.
type page struct {
	status int
	code   string // in the header Shiplog-Ingress, to tell our answers from an app's
	title  string
	text   string
	retry  bool // Retry-After
}

func (p *page) Error() string { return p.title }

var (
	errNoApp       = &page{404, "no-app", "No app here", "No app answers at this address. Check the name.", false}
	errNoRoute     = &page{404, "no-route", "Nothing at this path", "The app has no service for this path.", false}
	errStopped     = &page{503, "stopped", "Stopped", "This app is stopped. Whoever runs it can start it again.", false}
	errDeploying   = &page{503, "deploying", "Deploying", "This app is on its way. Try again in a moment.", true}
	errUnreachable = &page{502, "unreachable", "No answer", "The app does not answer. Its logs say why.", false}
	errProtocol    = &page{505, "protocol", "HTTP/1.1 only", "HTTP/2 without TLS is not spoken here.", false}
	errConnect     = &page{405, "connect", "Not a proxy", "CONNECT is not something this server does.", false}
)

// pageOf finds the page of an error; anything unknown is an app that does not answer.
func pageOf(err error) *page {
	var p *page
	if errors.As(err, &p) {
		return p
	}
	return errUnreachable
}

// write answers in HTML where the client asks for it, else in plain text.
func (p *page) write(w http.ResponseWriter, r *http.Request, x *exchange) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Shiplog-Ingress", p.code)
	if p.retry {
		h.Set("Retry-After", "2")
	}
	host := x.host
	if len(host) > 100 {
		host = host[:100] + "…"
	}
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(p.status)
		fmt.Fprintf(w, "%d %s\n%s\n", p.status, p.title, p.text)
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	w.WriteHeader(p.status)
	_, _ = io.WriteString(w, `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>`+p.title+`</title><style>body{font:1.1em/1.5 system-ui,sans-serif;max-width:32em;margin:18vh auto;padding:0 1em}
@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}}small{color:#888}</style>
<h1>`+p.title+`</h1><p>`+p.text+`</p><p><small>`+fmt.Sprint(p.status)+` · `+html.EscapeString(host)+`</small></p></html>
`)
}

package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// page is the part of a list that was asked for.
type page struct {
	number  int // from 1
	per     int
	request *url.URL
}

const (
	defaultPerPage = 20
	maxPerPage     = 200
	maxPage        = 1 << 24 // far beyond any list, and its offset fits in an int
)

// pageOf reads ?page= and ?per_page=. What is not a number above zero means the default, as App Platform has it.
func pageOf(r *http.Request) page {
	p := page{number: 1, per: defaultPerPage, request: r.URL}
	if n, err := strconv.Atoi(r.URL.Query().Get("page")); err == nil && n > 0 {
		p.number = min(n, maxPage)
	}
	if n, err := strconv.Atoi(r.URL.Query().Get("per_page")); err == nil && n > 0 {
		p.per = min(n, maxPerPage)
	}
	return p
}

func (p page) offset() int { return (p.number - 1) * p.per }

// list answers a page of a list under its key, with links and the total.
func (s *server) list(w http.ResponseWriter, p page, key string, items any, total int) error {
	writeJSON(w, http.StatusOK, map[string]any{
		key: items, "links": p.links(s.PublicURL, total), "meta": map[string]int{"total": total},
	})
	return nil
}

// links returns absolute links to the other pages; none when there is one page.
func (p page) links(base string, total int) map[string]any {
	last := max(1, (total+p.per-1)/p.per)
	pages := map[string]string{}
	to := func(name string, n int) {
		q := p.request.Query()
		q.Set("page", fmt.Sprint(n))
		q.Set("per_page", fmt.Sprint(p.per))
		pages[name] = base + p.request.Path + "?" + q.Encode()
	}
	if p.number > 1 && last >= 1 {
		to("first", 1)
		to("prev", min(p.number-1, last))
	}
	if p.number < last {
		to("next", p.number+1)
		to("last", last)
	}
	if len(pages) == 0 || last == 1 && p.number == 1 {
		return map[string]any{}
	}
	return map[string]any{"pages": pages}
}

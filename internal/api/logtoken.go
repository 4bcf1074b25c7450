package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// logURLTime is how long a log URL may be opened. A log that is being followed when it passes goes on.
const logURLTime = 5 * time.Minute

var errBadLogURL = &failure{http.StatusForbidden, "forbidden", "the log URL is not valid, or not any more: ask for a new one"}

// signLogURL returns base+path with a query that nobody can change, good until the time.
func signLogURL(key []byte, base, path string, q url.Values, until time.Time) string {
	q.Set("expires", strconv.FormatInt(until.Unix(), 10))
	q.Set("token", logToken(key, path, q))
	return base + path + "?" + q.Encode()
}

// checkLogURL returns the query of a URL that signLogURL made, if its time is not over.
func checkLogURL(key []byte, u *url.URL, now time.Time) (url.Values, error) {
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errBadLogURL
	}
	token := q.Get("token")
	if len(q["token"]) != 1 || !hmac.Equal([]byte(token), []byte(logToken(key, u.Path, q))) {
		return nil, errBadLogURL
	}
	expires, err := strconv.ParseInt(q.Get("expires"), 10, 64)
	if err != nil || now.Unix() > expires {
		return nil, errBadLogURL
	}
	q.Del("token")
	return q, nil
}

// logToken covers the path and everything in the query but itself. Encode escapes and sorts, so that no two URLs have
// the same form.
func logToken(key []byte, path string, q url.Values) string {
	rest := url.Values{}
	for name, values := range q {
		if name != "token" {
			rest[name] = values
		}
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("shiplog log url\n" + url.PathEscape(path) + "\n" + rest.Encode()))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/client"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

func init() {
	// go-git clones local paths by default. Nothing here goes through its list of protocols, but so nobody ever can.
	client.InstallProtocol("file", nil)
}

// session is the client's side of git-upload-pack.
type session interface {
	AdvertisedReferencesContext(context.Context) (*packp.AdvRefs, error)
	UploadPack(context.Context, *packp.UploadPackRequest) (*packp.UploadPackResponse, error)
	Close() error
}

// server is a talk with one git server, which has told its refs.
type server struct {
	session
	refs   *packp.AdvRefs
	guard  *guard
	budget *budget
}

// connect asks a server for its refs. An empty repository has none.
func connect(ctx context.Context, src Source, b *budget) (*server, error) {
	u, err := parseURL(src.URL)
	if err != nil {
		return nil, err
	}
	s := &server{guard: &guard{allow: src.Allow}, budget: b}
	switch u.Scheme {
	case "ssh":
		return nil, fmt.Errorf("%w: there are no ssh keys and no known hosts yet; use the repository's https URL", ErrRefused)
	case "git":
		s.session, err = openDaemon(ctx, u, s.guard, b)
	default:
		s.session, err = openHTTP(src, u, s.guard, b)
	}
	if err != nil {
		return nil, s.explain(err)
	}
	s.refs, err = s.AdvertisedReferencesContext(ctx)
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		s.refs, err = packp.NewAdvRefs(), nil
	}
	if err != nil {
		_ = s.Close()
		return nil, s.explain(err)
	}
	return s, nil
}

// explain makes one of this package's errors of what a library says.
func (s *server) explain(err error) error {
	if over := s.budget.exceeded(); over != nil {
		return over
	}
	err = s.guard.reason(err)
	var status *githttp.Err
	switch {
	case err == nil, errors.Is(err, ErrRefused), errors.Is(err, ErrTooBig), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return fmt.Errorf("%w: the server has no such repository, or hides it; look at the URL and the credentials", ErrNoRef)
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed):
		return fmt.Errorf("%w: the server wants credentials for this repository, or others; set them for its host", ErrDenied)
	case errors.As(unexpected(err), &status):
		return fmt.Errorf("%w: the server answered %d; try again later", ErrUnreachable, status.StatusCode())
	}
	return fmt.Errorf("%w: %s; try again, or look at the server and its address", ErrUnreachable, oneLine(err))
}

// unexpected takes off the coats that go-git puts on errors and that errors.As cannot see through.
func unexpected(err error) error {
	for {
		switch e := err.(type) {
		case *plumbing.UnexpectedError:
			err = e.Err
		case *plumbing.PermanentError:
			err = e.Err
		default:
			return err
		}
	}
}

// oneLine is an error's text as it may stand in a message: what a server says is cut short and has no control characters.
func oneLine(err error) string {
	var u *url.Error
	if e := unexpected(err); errors.As(e, &u) {
		err = u.Err // its text holds the URL again
	}
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, err.Error())
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	return text
}

// openHTTP returns a session over http or https. Every body is counted, redirects stay on the host, and no proxy is asked:
// its address would be the one that is checked.
func openHTTP(src Source, u *url.URL, g *guard, b *budget) (session, error) {
	user, password := src.credentials(u)
	bare := *u
	bare.User = nil
	endpoint, err := transport.NewEndpoint(bare.String())
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrRefused, err)
	}
	web := &http.Transport{
		DialContext: g.dial, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: time.Minute,
		MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true, MaxIdleConns: 2, IdleConnTimeout: 10 * time.Second,
	}
	git := githttp.NewClientWithOptions(&http.Client{Transport: counting{web, b}, CheckRedirect: stayOnHost},
		&githttp.ClientOptions{RedirectPolicy: githttp.FollowInitialRedirects})
	var auth transport.AuthMethod
	if password != "" {
		auth = &githttp.BasicAuth{Username: user, Password: password}
	}
	s, err := git.NewUploadPackSession(endpoint, auth)
	if err != nil {
		return nil, err
	}
	return webSession{s, web}, nil
}

// webSession closes the connections that were kept open.
type webSession struct {
	transport.UploadPackSession
	web *http.Transport
}

func (s webSession) Close() error {
	s.web.CloseIdleConnections()
	return s.UploadPackSession.Close()
}

// stayOnHost refuses a redirect to another host or port; http may become https.
func stayOnHost(req *http.Request, via []*http.Request) error {
	from, to := via[0].URL, req.URL
	upgrade := from.Scheme == "http" && to.Scheme == "https" && from.Port() == "" && to.Port() == ""
	if strings.EqualFold(from.Hostname(), to.Hostname()) && (from.Port() == to.Port() && from.Scheme == to.Scheme || upgrade) {
		return nil
	}
	return fmt.Errorf("%w: the server redirects to another host, %s; write that URL if you trust it", ErrRefused, Redact(to.String()))
}

// counting counts the bodies of responses.
type counting struct {
	http.RoundTripper
	budget *budget
}

func (c counting) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := c.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	res.Body = counted{res.Body, c.budget}
	if res.StatusCode >= 300 { // an error page is for people: a little of it is enough
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, 4<<10), res.Body}
	}
	return res, nil
}

package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// daemon is a session with git-daemon over git://. go-git's own dials by itself, where the address cannot be checked.
type daemon struct {
	conn net.Conn
	in   io.ReadCloser // counted
	stop func() bool
}

func openDaemon(ctx context.Context, u *url.URL, g *guard, b *budget) (session, error) {
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), "9418")
	}
	conn, err := g.dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	d := &daemon{conn: conn, in: counted{conn, b}, stop: context.AfterFunc(ctx, func() { _ = conn.Close() })}
	ask := packp.GitProtoRequest{RequestCommand: transport.UploadPackServiceName, Pathname: u.Path, Host: u.Host}
	if strings.ContainsRune(u.Path, 0) {
		err = fmt.Errorf("%w: the path holds a zero byte", ErrRefused)
	} else {
		err = ask.Encode(conn)
	}
	if err != nil {
		_ = d.Close()
		return nil, err
	}
	return d, nil
}

func (d *daemon) AdvertisedReferencesContext(context.Context) (*packp.AdvRefs, error) {
	refs := packp.NewAdvRefs()
	err := refs.Decode(d.in)
	var line *pktline.ErrorLine
	switch {
	case errors.Is(err, packp.ErrEmptyAdvRefs), err == nil && refs.IsEmpty():
		return nil, transport.ErrEmptyRemoteRepository
	case errors.As(err, &line) && strings.Contains(line.Text, "repository not"):
		return nil, transport.ErrRepositoryNotFound
	case errors.As(err, &line):
		return nil, transport.ErrAuthorizationFailed // "access denied or repository not exported"
	case err != nil:
		return nil, err
	}
	transport.FilterUnsupportedCapabilities(refs.Capabilities)
	return refs, nil
}

func (d *daemon) UploadPack(_ context.Context, req *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	if err := req.Validate(); err != nil {
		return nil, err
	}
	if err := req.UploadRequest.Encode(d.conn); err != nil {
		return nil, err
	}
	if err := pktline.NewEncoder(d.conn).EncodeString("done\n"); err != nil {
		return nil, err
	}
	res := packp.NewUploadPackResponse(req)
	return res, res.Decode(d.in)
}

func (d *daemon) Close() error {
	d.stop()
	return d.conn.Close()
}

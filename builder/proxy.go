package builder

import (
	"bufio"
	"context"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
	"time"

	"shiplog/internal/inet"
)

// proxyUser is the user name of the proxy. Only the steps know its password: RUN steps share their loopback.
const proxyUser = "build"

// dialPolicy says where the proxy connects to.
type dialPolicy struct {
	Allow []netip.Prefix // networks beside the public ones
	Exact []string       // "host:port", allowed wherever they are
}

// serveProxy is a SOCKS5 server (RFC 1928, RFC 1929) for the registries that buildah talks to: it runs in the child and
// so in the host's network, checks every address it is about to connect to, and knows no other command than CONNECT.
func serveProxy(l net.Listener, password string, policy dialPolicy) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(time.Minute))
			r := bufio.NewReader(conn)
			host, err := greet(r, conn, password)
			if err != nil {
				return
			}
			up, err := policy.dial(host)
			if err != nil {
				fmt.Println(err) // the build log is the only place a person would look
				why := byte(4)   // host unreachable
				if errors.Is(err, errNotPublic) {
					why = 2 // not allowed by ruleset
				} else if errors.Is(err, syscall.ECONNREFUSED) {
					why = 5
				}
				_, _ = conn.Write([]byte{5, why, 0, 1, 0, 0, 0, 0, 0, 0})
				return
			}
			defer up.Close()
			_ = conn.SetDeadline(time.Time{})
			_, _ = conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
			relay(r, conn, up)
		}()
	}
}

// greet does the handshake and returns the "host:port" asked for.
func greet(r *bufio.Reader, w io.Writer, password string) (string, error) {
	bad := errors.New("not a SOCKS5 CONNECT with our password")
	if v, err := r.ReadByte(); err != nil || v != 5 {
		return "", bad
	}
	methods, err := counted(r)
	if err != nil || !slices.Contains(methods, 2) {
		return "", bad
	}
	_, _ = w.Write([]byte{5, 2})
	if v, err := r.ReadByte(); err != nil || v != 1 {
		return "", bad
	}
	_, err1 := counted(r)
	given, err2 := counted(r)
	if err1 != nil || err2 != nil || subtle.ConstantTimeCompare(given, []byte(password)) != 1 {
		_, _ = w.Write([]byte{1, 1})
		return "", bad
	}
	_, _ = w.Write([]byte{1, 0})
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil || head[0] != 5 || head[1] != 1 {
		return "", bad
	}
	var host []byte
	switch head[3] {
	case 1:
		host = make([]byte, 4)
	case 4:
		host = make([]byte, 16)
	case 3:
		if host, err = counted(r); err != nil {
			return "", bad
		}
	default:
		return "", bad
	}
	name := string(host)
	if head[3] != 3 {
		if _, err := io.ReadFull(r, host); err != nil {
			return "", bad
		}
		a, _ := netip.AddrFromSlice(host)
		name = a.String()
	}
	port := make([]byte, 2)
	if _, err := io.ReadFull(r, port); err != nil {
		return "", bad
	}
	return net.JoinHostPort(name, strconv.Itoa(int(binary.BigEndian.Uint16(port)))), nil
}

// counted reads a length byte and that many bytes.
func counted(r *bufio.Reader) ([]byte, error) {
	n, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	b := make([]byte, n)
	_, err = io.ReadFull(r, b)
	return b, err
}

var errNotPublic = errors.New("is not a public address")

// dial connects where the policy allows it. The check is on the address that a name resolved to, at connect.
func (p dialPolicy) dial(address string) (net.Conn, error) {
	d := net.Dialer{Timeout: 20 * time.Second}
	if !slices.Contains(p.Exact, address) {
		d.ControlContext = func(_ context.Context, _, resolved string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(resolved)
			if err != nil {
				return err
			}
			if a := ap.Addr().WithZone(""); isOwn(a) || !inet.Public(a) && !inet.Contains(p.Allow, a) {
				return fmt.Errorf("%s %w: allow its network with --source-allow", a, errNotPublic)
			}
			return nil
		}
	}
	return d.Dial("tcp", address)
}

// relay copies both ways until both are done.
func relay(r io.Reader, a, b net.Conn) {
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(b, r)
		closeWrite(b)
		close(done)
	}()
	_, _ = io.Copy(a, b)
	closeWrite(a)
	<-done
}

func closeWrite(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.CloseWrite()
	}
}

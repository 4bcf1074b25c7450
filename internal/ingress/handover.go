package ingress

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// A handover, on one connection of the control socket:
//
//	new -> old  POST /handover
//	old -> new  200; from now on the old one changes no routes
//	old -> new  one byte, and with it the descriptor of the socket that requests come in at
//	new -> old  one byte: it serves, and answers on the control socket
//	old         finishes what is under way and ends, which closes the connection
//
// Without the last byte nothing has happened, and the old one goes on. Both accept meanwhile, from one queue.

// handoverTime is how long the old one waits for the new one to serve.
const handoverTime = 5 * time.Second

// predecessor is the ingress that this one takes over from; nil: there is none.
type predecessor struct{ conn *net.UnixConn }

// listen returns the socket that requests come in at: its own or, where another ingress answers, that one's.
func listen(ctx context.Context, o Options) (net.Listener, *predecessor, error) {
	asking, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	old, err := NewClient(o.Socket).Health(asking)
	if err != nil { // nobody answers
		ln, err := net.Listen("tcp", o.Listen)
		return ln, nil, err
	}
	if old.same(o) {
		return nil, nil, fmt.Errorf("the ingress at %s runs already, as process %d", o.Socket, old.PID)
	}
	ln, prev, err := takeOver(o.Socket)
	if err != nil {
		return nil, nil, fmt.Errorf("take over from process %d: %w", old.PID, err)
	}
	if old.listens(o.Listen) {
		return ln, prev, nil
	}
	ln.Close()
	if ln, err = net.Listen("tcp", o.Listen); err != nil {
		prev.close()
		return nil, nil, err
	}
	return ln, prev, nil
}

// same reports whether an ingress is what the options ask for.
func (h Health) same(o Options) bool { return h.Version == o.Version && h.listens(o.Listen) }

// listens reports whether an ingress answers at an address as a person writes it: "localhost:8000", ":8000".
func (h Health) listens(addr string) bool {
	if h.Listen == addr {
		return true
	}
	want, err := net.ResolveTCPAddr("tcp", addr)
	have, err2 := net.ResolveTCPAddr("tcp", h.Listen)
	if err != nil || err2 != nil || want.Port != have.Port && want.Port != 0 {
		return false
	}
	return want.IP.Equal(have.IP) || (want.IP == nil || want.IP.IsUnspecified()) && have.IP.IsUnspecified()
}

func takeOver(socket string) (net.Listener, *predecessor, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, nil, err
	}
	ln, err := inherit(conn)
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return ln, &predecessor{conn}, nil
}

func inherit(conn *net.UnixConn) (net.Listener, error) {
	_ = conn.SetDeadline(time.Now().Add(handoverTime))
	if _, err := conn.Write([]byte("POST /handover HTTP/1.1\r\nHost: ingress\r\nContent-Length: 0\r\n\r\n")); err != nil {
		return nil, err
	}
	// The answer and the byte that carries the descriptor are apart in the stream only if nothing is read beyond the
	// answer: descriptors come with the first byte of their message, and a buffered reader would lose them.
	if err := readAnswer(conn); err != nil {
		return nil, err
	}
	control := make([]byte, syscall.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(make([]byte, 1), control)
	if err != nil {
		return nil, err
	}
	messages, err := syscall.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		return nil, errors.New("no socket came")
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.New("no socket came")
	}
	syscall.CloseOnExec(fds[0])
	f := os.NewFile(uintptr(fds[0]), "inherited")
	defer f.Close()
	return net.FileListener(f)
}

const handoverAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

func readAnswer(conn *net.UnixConn) error {
	answer := make([]byte, 0, len(handoverAnswer))
	for len(answer) < len(handoverAnswer) {
		b := make([]byte, 1)
		if _, err := conn.Read(b); err != nil {
			return err
		}
		if answer = append(answer, b[0]); answer[len(answer)-1] != handoverAnswer[len(answer)-1] {
			return errors.New("it does not hand over")
		}
	}
	return nil
}

// done tells the old one that this one serves. Until the old one has ended, drains wait for it: its requests are not
// counted here.
func (p *predecessor) done(px *proxy) error {
	if p == nil {
		return nil
	}
	if _, err := p.conn.Write([]byte{1}); err != nil {
		return err
	}
	px.router.elsewhere.Store(true)
	go func() {
		_ = p.conn.SetDeadline(time.Now().Add(stopTime + 5*time.Second))
		_, _ = p.conn.Read(make([]byte, 1)) // the end of the connection is the end of the old one
		px.router.elsewhere.Store(false)
	}()
	return nil
}

func (p *predecessor) close() {
	if p != nil {
		p.conn.Close()
	}
}

// handover gives the listening socket away, and ends this ingress once the other one serves.
func (s *server) handover(w http.ResponseWriter, _ *http.Request) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	s.proxy.router.setClosed(true)
	if err := s.handOver(conn, buffered); err != nil {
		s.proxy.router.setClosed(false)
		conn.Close()
		s.o.Log.Warn("a handover did not come about", "err", err)
		return
	}
	s.next = conn // its end tells the other one that this one has ended
	s.handed.Store(true)
	s.quit()
}

func (s *server) handOver(conn net.Conn, buffered *bufio.ReadWriter) error {
	unix, ok := conn.(*net.UnixConn)
	tcp, ok2 := s.ln.(*net.TCPListener)
	if !ok || !ok2 {
		return errors.New("the sockets are of another kind")
	}
	f, err := tcp.File()
	if err != nil {
		return err
	}
	defer f.Close()
	_ = conn.SetDeadline(time.Now().Add(handoverTime))
	if _, err := unix.Write([]byte(handoverAnswer)); err != nil {
		return err
	}
	if _, _, err := unix.WriteMsgUnix([]byte{1}, syscall.UnixRights(int(f.Fd())), nil); err != nil {
		return err
	}
	_, err = buffered.ReadByte()
	return err
}

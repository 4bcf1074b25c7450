package main

import (
	"encoding/json"
	"net/http"
	"syscall"
	"testing"
	"time"
)

// An ingress that dies is started again, with the routes it had.
func TestTheIngressIsStartedAgain(t *testing.T) {
	s := start(t)
	s.quick("hello")
	r := s.clone("hello")
	r.hello("one")
	r.push()
	s.answers("hello", "one")
	before := s.ingressPID()
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.answers("hello", "one")
	if after := s.ingressPID(); after == before || after == 0 {
		t.Errorf("the ingress is process %d, and was %d", after, before)
	}
}

// endIngress ends the ingress that the service left running, by the pid it gives itself.
func (s *site) endIngress() {
	if pid := s.ingressPID(); pid > 1 {
		_ = syscall.Kill(pid, syscall.SIGTERM)
	}
}

// ingressPID is the process that answers for the ingress; 0 when none does.
func (s *site) ingressPID() int {
	client := &http.Client{Timeout: 2 * time.Second, Transport: overSocket(s.path("ingress.sock"))}
	defer client.CloseIdleConnections()
	res, err := client.Get("http://ingress/health")
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	var health struct {
		PID int `json:"pid"`
	}
	_ = json.NewDecoder(res.Body).Decode(&health)
	return health.PID
}

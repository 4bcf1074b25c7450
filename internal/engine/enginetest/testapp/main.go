// Testapp is what tests run in containers. What it does is told by its environment:
//
//	PORT     listens there (default 8080); 0: listens nowhere
//	VERSION  answered to GET /
//	MODE     "crash" does not listen and exits with code 3 after 150 ms; "never" does not listen; "stubborn" ignores TERM; "hungry" allocates without end
//	TICK     prints "tick <n>" at this interval
//
// GET /file?path=… answers a file of the container, GET /fetch?url=… what another server answers there.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	fmt.Println("testapp", os.Getenv("VERSION"), "starts")
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	mode := os.Getenv("MODE")
	if every, err := time.ParseDuration(os.Getenv("TICK")); err == nil {
		go tick(every)
	}
	if port := os.Getenv("PORT"); port != "0" && mode != "never" && mode != "crash" {
		if port == "" {
			port = "8080"
		}
		go serve(port)
	}
	switch mode {
	case "crash":
		time.Sleep(150 * time.Millisecond)
		fmt.Fprintln(os.Stderr, "fatal: cannot open the database")
		os.Exit(3)
	case "stubborn":
		for range term {
			fmt.Println("TERM is ignored")
		}
	case "hungry":
		for eaten := [][]byte{}; ; {
			b := make([]byte, 1<<20)
			for k := range b {
				b[k] = 1
			}
			eaten = append(eaten, b)
		}
	}
	<-term
	fmt.Println("testapp ends on TERM")
}

func tick(every time.Duration) {
	for n := 1; ; n++ {
		fmt.Println("tick", n)
		time.Sleep(every)
	}
}

func serve(port string) {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" && r.URL.Path != "/healthz" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, os.Getenv("VERSION"))
	})
	http.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		b, err := os.ReadFile(r.FormValue("path"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(b)
	})
	http.HandleFunc("/fetch", func(w http.ResponseWriter, r *http.Request) {
		client := http.Client{Timeout: time.Second}
		resp, err := client.Get(r.FormValue("url"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		_, _ = io.Copy(w, resp.Body)
	})
	fmt.Println(http.ListenAndServe(":"+port, nil))
	os.Exit(1)
}

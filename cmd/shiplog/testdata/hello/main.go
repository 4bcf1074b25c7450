// Command hello is the sample app of the end-to-end tests: it answers every request with the text in /answer. With
// START_AFTER it begins to listen only after so long.
package main

import (
	"fmt"
	"net/http"
	"os"
	"time"
)

func main() {
	answer, err := os.ReadFile("/answer")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if wait, err := time.ParseDuration(os.Getenv("START_AFTER")); err == nil {
		time.Sleep(wait)
	}
	fmt.Printf("answering %s", answer)
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(answer) })
	if err := http.ListenAndServe(":"+os.Getenv("PORT"), nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

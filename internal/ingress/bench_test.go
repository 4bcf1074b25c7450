package ingress

import (
	"io"
	"net/http"
	"testing"
	"time"
)

// BenchmarkProxy compares a request through the ingress with one straight to the app; "x-direct" is the ratio.
func BenchmarkProxy(b *testing.B) {
	r := start1(b)
	addr := serve(b, says("ok"))
	r.set(hello(1, addr))
	ask := func(b *testing.B, url string, c *http.Client) time.Duration {
		start := time.Now()
		for b.Loop() {
			res, err := c.Get(url)
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		return time.Since(start) / time.Duration(b.N)
	}
	var direct time.Duration
	b.Run("direct", func(b *testing.B) { direct = ask(b, "http://"+addr+"/", http.DefaultClient) })
	b.Run("proxied", func(b *testing.B) {
		if took := ask(b, "http://hello.localhost/", r.client()); direct > 0 {
			b.ReportMetric(float64(took)/float64(direct), "x-direct")
		}
	})
}

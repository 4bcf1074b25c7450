package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"
)

func newClearCacheCommand(c *cli) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "clear-cache",
		Short: "Forget the layers of earlier builds, so that the next build of every app begins anew",
		Long: `Forget the layers of earlier builds and the base images, of every app. Builds under way keep theirs until they end. To
build one app once without the cache, and keep the cache: shiplog deploy APP --no-cache.`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !confirmed(cmd, yes, true, "Forget the layers of every app's builds?") {
				return usage("nothing was done")
			}
			if err := c.call(cmd.Context(), http.MethodDelete, "/v2/build-cache", nil, nil); err != nil {
				return err
			}
			return c.show(cmd, map[string]bool{"cleared": true}, func(w io.Writer) { fmt.Fprintln(w, "the build cache is empty") })
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// clearCache is DELETE /v2/build-cache.
func (s *service) clearCache(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if err := s.builder.ClearCache(r.Context()); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = json.NewEncoder(w).Encode(map[string]string{"id": "service_unavailable", "message": "the build cache is not empty: " + err.Error()})
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]bool{"cleared": true})
}

package main

import (
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"shiplog/internal/ingress"
)

func newIngressCommand() *cobra.Command {
	o := ingress.Options{Version: version}
	cmd := &cobra.Command{
		Use:   "ingress",
		Short: "Run the ingress: what the apps' requests come in by",
		Long: `Run the ingress. The service starts it by itself where none runs, and leaves it running when it ends; as a unit of its
own it is started before the service, with the same --listen, --socket and --state.`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
			return ingress.Run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.Listen, "listen", "127.0.0.1:8000", "address that the apps answer at")
	cmd.Flags().StringVar(&o.Socket, "socket", "data/ingress.sock", "socket that the service gives it its routes by")
	cmd.Flags().StringVar(&o.State, "state", "data/ingress.json", "file that the routes are kept in")
	return cmd
}

package registry

import (
	"context"
	"io"
	"log/slog"
	"sync"

	"github.com/sirupsen/logrus"
)

// quiet takes over logrus, the process-wide logger that distribution writes a line to for every request: nothing reaches
// standard error any more, and warnings and errors (to distribution a missing manifest is one) go to slog's default logger
// as debug lines. Builds, whose libraries use logrus too, run in processes that never open a registry.
var quiet = sync.OnceFunc(func() {
	logrus.SetOutput(io.Discard)
	logrus.SetLevel(logrus.WarnLevel)
	logrus.AddHook(bridge{})
})

// bridge is the logrus hook.
type bridge struct{}

func (bridge) Levels() []logrus.Level {
	return []logrus.Level{logrus.PanicLevel, logrus.FatalLevel, logrus.ErrorLevel, logrus.WarnLevel}
}

func (bridge) Fire(e *logrus.Entry) error {
	log := slog.Default()
	if !log.Enabled(context.Background(), slog.LevelDebug) {
		return nil
	}
	attrs := []slog.Attr{slog.String("level", e.Level.String())}
	for _, key := range []string{"http.request.method", "http.request.uri", "vars.name", "err.code", "err.detail"} {
		if v, ok := e.Data[key]; ok {
			attrs = append(attrs, slog.Any(key, v))
		}
	}
	log.LogAttrs(context.Background(), slog.LevelDebug, "registry: "+e.Message, attrs...)
	return nil
}

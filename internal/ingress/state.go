package ingress

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"shiplog/internal/durable"
)

// state is what the ingress keeps on disk.
type state struct {
	Version int                  `json:"version"` // 1
	Apps    map[string]AppRoutes `json:"apps"`
	Removed map[string]uint64    `json:"removed,omitempty"`
}

// loadState reads the saved table; none is an empty one. A file that cannot be understood is moved aside and said so:
// the service gives every app's routes again when it reconciles.
func loadState(path string, log *slog.Logger) (state, error) {
	empty := state{Version: 1, Apps: map[string]AppRoutes{}, Removed: map[string]uint64{}}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	if err != nil {
		return state{}, fmt.Errorf("read the saved routes: %w", err)
	}
	s, err := parseState(text)
	if err != nil {
		aside := fmt.Sprintf("%s.corrupt-%d", path, time.Now().Unix())
		if err := os.Rename(path, aside); err != nil {
			return state{}, fmt.Errorf("move the corrupt saved routes aside: %w", err)
		}
		log.Error("the saved routes cannot be read; starting without any until the service gives them", "err", err, "moved_to", aside)
		return empty, nil
	}
	return s, nil
}

func parseState(text []byte) (state, error) {
	s := state{Apps: map[string]AppRoutes{}, Removed: map[string]uint64{}}
	if err := json.Unmarshal(text, &s); err != nil {
		return state{}, err
	}
	if s.Version != 1 || s.Apps == nil || s.Removed == nil {
		return state{}, fmt.Errorf("version %d of the file is not known", s.Version)
	}
	for id, a := range s.Apps {
		checked, err := a.Check()
		if err != nil {
			return state{}, err
		}
		if a.App != id {
			return state{}, fmt.Errorf("app %s stands under %s", a.App, id)
		}
		s.Apps[id] = checked
	}
	return s, nil
}

// saveState replaces the file in one step; when it returns the new one survives a power cut.
func saveState(path string, s state) error {
	s.Version = 1
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return durable.Write(path, text)
}

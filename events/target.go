package events

// Target is what one component runs, or should run.
type Target struct {
	// Revision is the commit the image is built from. Zero for a component whose source is an image.
	Revision Revision `json:"revision,omitzero"`
	// Image is the repository of a source image, without tag or digest. Empty for an image that we build.
	Image string `json:"image,omitempty"`
	// Digest is the exact image. Empty while it is not built yet.
	Digest Digest `json:"digest,omitempty"`
}

// IsZero reports whether nothing is wanted yet.
func (t Target) IsZero() bool { return t == Target{} }

// Same reports whether two targets would run the same thing: the same digest where both have one, else the same
// commit of the same source.
func (t Target) Same(u Target) bool {
	if t.Digest != "" && u.Digest != "" {
		return t.Digest == u.Digest
	}
	return t.Revision.Commit == u.Revision.Commit && t.Image == u.Image && !t.IsZero()
}

// String is the revision or, failing that, the digest, for people.
func (t Target) String() string {
	switch {
	case !t.Revision.IsZero():
		return t.Revision.String()
	case t.Image != "" && t.Digest != "":
		return t.Image + "@" + string(t.Digest)
	default:
		return string(t.Digest)
	}
}

// Package secrets keeps values that must not be in the log: variables of type SECRET, credentials, hook secrets.
//
// A secret is known by owner (an app's id, or a room's name such as "hooks"), name and version. What is stored under a
// version never changes: a new value is a new version, and a rollback of configuration brings the old version back. An
// event holds a version or, in a spec, a reference (EV[1:…]), never the value.
//
//	DIR/secrets/<owner>/<name, escaped>/<version>.age   one age file (age-encryption.org/v1) each
//	KEYS/secrets.key                                    the X25519 identity that reads them; back it up apart
//
// Each file holds its owner, name and version inside the encryption, so that one file put in another's place is
// noticed. Whoever has the key file can make valid files: the key is what is trusted.
package secrets

// Package gitwatch turns what happens in git repositories into commands: webhooks that say that something was pushed, and
// comparing the built-in remote with what the log knows. It also resolves what people write (a branch, a tag, a commit)
// to what can be deployed.
//
// A webhook is a hint. Its facts are recorded as a push ([Watch.GitHub]) before anything else is asked of anybody; the
// reactor then has the push judged ([Watch.Judge]), which resolves the ref at the git server, and that commit is what is
// built. Nothing that a sender says is used as a URL, an identity or a permission.
package gitwatch

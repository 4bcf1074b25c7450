// Package natslog is the log of events on NATS JetStream, and the only home of nats.go and nats-server.
//
//	server, err := natslog.Start(natslog.ServerOptions{Dir: dir})   // embedded: no port, every write synced
//	log, err := natslog.Open(ctx, server.Conn(), natslog.Options{}) // an events.Log
//	lines, err := natslog.OpenLines(ctx, server.Conn(), …)          // a logs.Store
//	deliveries, err := natslog.OpenDeliveries(ctx, server.Conn(), …)
//
// # The stream of events
//
// One stream holds every event. An event's subject is the root and its [events.Subject]: "shiplog.app.<id>",
// "shiplog.name.<kind>.<name>". Its headers are the envelope, its body the payload, its stream sequence the sequence of
// its [events.Position]. Nothing in it is ever deleted or changed: Open makes the stream that way, or refuses one that is
// made otherwise.
//
// # Epochs
//
// The stream of epoch 1 is called SHIPLOG, that of epoch n SHIPLOG-n, and each says its epoch in its metadata
// ("shiplog_epoch"). Open takes the highest. Rolling a log to the next epoch means: take the subjects away from the old
// stream, create the next one with the carried state, and keep the old one as it is.
//
// # How an append is committed
//
// One goroutine publishes (committer.go). What arrives while it waits for the disk goes into the next atomic batch
// together, so that a burst costs one sync and not hundreds. Each append keeps its own expectation on each of its
// subjects; when a shared batch is refused its members go one by one. Whatever the answer was, before anybody is told
// "conflict" or "unavailable" the subjects are read again (settle.go), because an append whose answer was lost is one
// that happened.
package natslog

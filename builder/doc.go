// Package builder makes images: it checks out a commit, builds it with buildah and pushes the result by digest.
//
// Nothing hostile runs in the service. Every build is a tree of processes that can be killed as one:
//
//	service            Build: makes the job's directory and cgroup, starts the child, waits, removes everything
//	└─ child           pid 1 of its own pid, mount, ipc and uts namespaces; sees a root made of /usr, a few files of
//	   │               /etc, the layer storage and the job's directory, and nothing else of the host. Has the host's
//	   │               network: it checks out, and dials registries for the steps
//	   └─ steps        the same, in a network namespace of its own: buildah runs here, so RUN and ADD can reach public
//	      │            addresses and nothing else. Registries are reached through the child, which checks each address
//	      └─ runc      one container for each RUN step, in the steps' network namespace
//
// The child dies with the service (PDEATHSIG), and everything below it with the child (pid namespace), and with the
// last of them the mounts, the network namespace and its veth pair. What can survive a kill -9 is files: the job's
// directory, an empty cgroup, a half-made container in the storage. [Open] removes those.
//
// # What a build may reach
//
// RUN, ADD and FROM reach public addresses and the networks in Options.NetAllow; never this host. Remote ADD is not
// refused but runs in the same network as RUN, so redirects and names that resolve to private addresses lead nowhere.
// RUN asks the host's nameservers, wherever they are. There is no IPv6. A build secret is a file that only its RUN step
// sees; while the step runs there is a copy in the layer storage (buildah makes it), which goes with the build.
//
// # What builds share
//
// Layers and base images are shared by all apps of an instance, cache mounts by the builds of one image repository.
// Somebody who may push code to one app and knows the id of another app's image can build on its layers.
//
// # Digests
//
// A layer carries no time younger than the commit that it was first built at. So a commit built without cache has the
// same digest wherever and whenever that is, as far as its Dockerfile allows; built with cache, its image shares the
// layers of earlier commits and their times. Without that, every push would build every step again.
//
// A program that uses this package calls [Main] first thing in main, and so does a test in TestMain.
package builder

package builder

// serviceName is the name under which the test binary runs itself as a service that will be killed.
const serviceName = "test-service"

func service() {}

"""earwitness over HTTP: an API, a page, durable jobs and an audit log, all on the user's own machine."""

"""HTTP of a service: the protocol over uvicorn, the middleware, problems, and the health pages."""

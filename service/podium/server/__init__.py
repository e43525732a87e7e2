"""The HTTP server. The only floor that imports litestar."""

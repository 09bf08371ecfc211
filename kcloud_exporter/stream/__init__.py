"""Stream: snapshots as they come, over SSE and WebSocket, and the live page that shows them."""

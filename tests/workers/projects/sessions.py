"""Open and close sessions with the typed API, as code on the Python side of a pool does."""

from opentelemetry.instrumentation.snakepit import session, session_affinity

for number in range(3):
    name = f"sess-{number}"
    session("created", name, correlation_id=f"order-{number}")
    session_affinity("assigned", name, worker_id="inference-1")
    session_affinity("broken", name, worker_id="inference-1")
    session("destroyed", name, correlation_id=f"order-{number}")

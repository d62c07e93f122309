"""A real Kubernetes API server for tests: built once, cached, started on loopback with etcd.

```python
with ApiServer(find_api_server(), folder) as server:
    configuration = Configuration(
        host=server.url, api_key={"authorization": f"Bearer {server.tokens['admin']}"}
    )
```
"""

from assay.instrumentation.testing.kubernetes.build import (
    ApiServerNotFoundError,
    build_api_server,
    cached_binary,
    find_api_server,
)
from assay.instrumentation.testing.kubernetes.server import ApiServer

__all__ = ["ApiServer", "ApiServerNotFoundError", "build_api_server", "cached_binary", "find_api_server"]

"""GitPython (3.1.41 and later): its git operations as spans, events and series.

```python
from opentelemetry.instrumentation.alumiini.gitpython import GitPythonInstrumentor

GitPythonInstrumentor().instrument()
```

clone, fetch, pull, push, checkout and ls-remote are instrumented, by GitPython's methods (`Repo.clone_from`,
`Remote.fetch`) and by `repo.git.*`. A method that runs git is one operation, not two.
"""

from opentelemetry.instrumentation.alumiini.gitpython._instrumentor import GitPythonInstrumentor

__all__ = ["GitPythonInstrumentor"]

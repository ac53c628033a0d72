"""What the study's notebooks compute with. `docs/architecture.md` has the packages and their order."""

import sys

# Where this package is there, jsonschema, which checks every notebook that is read or written, compiles a grammar of
# internationalised addresses. That takes seconds, and no schema of the study asks for one.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
